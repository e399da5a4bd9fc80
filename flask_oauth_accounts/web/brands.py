"""The colours of the providers: pure functions from a colour to a readable rule in the stylesheet."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

NEUTRAL = "#57606a"
_HEX = re.compile(r"#[0-9a-fA-F]{6}")
_SLUG = re.compile(r"[A-Za-z0-9_-]{1,60}")


@dataclass(frozen=True)
class Brand:
    """One rule of the stylesheet.

    :ivar css_class: the class that elements carry.
    :ivar color: the provider's own colour, ``#rrggbb``.
    :ivar text_color: black or white, whichever reads better on it; at least 4.5 to 1 in each case.
    """

    css_class: str
    color: str
    text_color: str


def create_brand(name: str, color: str | None) -> Brand:
    """:param name: of the client in the registry.

    :param color: as the preset gives it; a neutral one takes the place of whatever is not ``#rrggbb``.
    """
    shown = color.lower() if color and _HEX.fullmatch(color) else NEUTRAL
    return Brand(css_class(name), shown, readable_on(shown))


def css_class(name: str) -> str:
    """:return: a class name for any client name."""
    slug = name if _SLUG.fullmatch(name) else hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:12]
    return f"oa-brand-{slug}"


def readable_on(color: str) -> str:
    """:return: white or black, whichever has the greater contrast to ``color`` (WCAG 2.2, contrast ratio)."""
    return "#ffffff" if contrast(color, "#ffffff") >= contrast(color, "#000000") else "#000000"


def contrast(first: str, second: str) -> float:
    """:return: the contrast ratio of two colours, from 1 to 21."""
    lighter, darker = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: str) -> float:
    channels = [int(color[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
