"""Reads presets: a name is looked up in the directory, and only the file that is asked for is opened."""

from __future__ import annotations

import difflib
import tomllib
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..errors import ConfigurationError
from .placeholders import Placeholder
from .preset import ExtraRequest, Preset, ProfilePaths, RefreshFacts, RevocationFacts

_DIRECTORY = Path(__file__).resolve().parent / "presets"


@cache
def list_presets() -> tuple[str, ...]:
    """:return: the names of all presets, sorted; no file is opened for this."""
    return tuple(sorted(path.stem for path in _DIRECTORY.iterdir() if path.suffix == ".toml"))


def find_preset(key: str) -> Preset | None:
    """:return: the preset of that name, ``None`` if there is none."""
    return _load(key) if key in list_presets() else None


def load_preset(key: str) -> Preset:
    """Read a preset; a second call gives the same object.

    :param key: its name.
    :return: the preset.
    :raises ConfigurationError: if there is none of that name; the sentence names the nearest ones.
    """
    preset = find_preset(key)
    if preset is not None:
        return preset
    near = difflib.get_close_matches(str(key), list_presets(), n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "use the preset 'oidc' with a SERVER_METADATA_URL"
    raise ConfigurationError(f"there is no preset {str(key)[:60]!r}; {hint}")


@cache
def _load(key: str) -> Preset:
    with (_DIRECTORY / f"{key}.toml").open("rb") as file:
        return parse_preset(key, tomllib.load(file))


def parse_preset(key: str, data: dict[str, Any]) -> Preset:
    """Build a preset from the content of its file.

    :param key: the preset's name.
    :param data: the decoded TOML.
    :return: the preset.
    :raises TypeError: for a key that no preset has, or one that is missing.
    """
    values = {name: _freeze(value) for name, value in data.items()}
    values["profile"] = ProfilePaths(**data["profile"])
    values["refresh"] = RefreshFacts(**_freeze(data.get("refresh", {})))
    values["revocation"] = RevocationFacts(**data.get("revocation", {}))
    values["placeholders"] = tuple(
        Placeholder(name=name, **item) for name, item in data.get("placeholders", {}).items()
    )
    values["requests"] = tuple(ExtraRequest(**item) for item in data.get("requests", ()))
    return Preset(key=key, **values)


def _freeze(value: Any) -> Any:
    if isinstance(value, dict):
        return MappingProxyType({name: _freeze(item) for name, item in value.items()})
    if isinstance(value, list):
        return tuple(_freeze(item) for item in value)
    return value
