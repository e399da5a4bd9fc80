"""The claim paths of a preset: a small language that finds one value in a provider's answer.

==============================  =====================================================================
``data.username``               nested objects
``emails[0].value``             an element of a list
``emails[?primary].email``      the first element whose ``primary`` is JSON true (``[?a&b]``: both)
``$emails[?primary].email``     the same in a further answer, the one called ``emails``
``name | login``                the first alternative that is neither absent, null nor empty
``first_name + last_name``      the texts that are there, joined by a blank
==============================  =====================================================================

A key that holds a dot or another special character is written in double quotes: ``"https://slack.com/team_id"``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

_STEP = re.compile(
    r"""(?P<dot>\.)?(?:"(?P<quoted>[^"]+)"|(?P<key>[A-Za-z0-9_@$:/-]+))|\[(?P<index>\d+)\]|\[\?(?P<flags>[\w&]+)\]"""
)
_ALTERNATIVES = re.compile(r"""\s*\|\s*(?=(?:[^"]*"[^"]*")*[^"]*$)""")


class _Step(NamedTuple):
    key: str | None = None
    position: int | None = None
    flags: tuple[str, ...] = ()


@lru_cache(maxsize=512)
def parse_path(path: str) -> tuple[_Step, ...]:
    """Read one plain path.

    :param path: without alternatives and sums.
    :return: its steps.
    :raises ValueError: if this is not a path.
    """
    steps: list[_Step] = []
    position = 0
    while position < len(path):
        match = _STEP.match(path, position)
        if match is None or bool(match["dot"]) != bool(steps and (match["key"] or match["quoted"])):
            raise ValueError(f"{path!r} is not a claim path")
        position = match.end()
        if match["index"] is not None:
            steps.append(_Step(position=int(match["index"])))
        elif match["flags"]:
            steps.append(_Step(flags=tuple(match["flags"].split("&"))))
        else:
            steps.append(_Step(key=match["quoted"] or match["key"]))
    if not steps:
        raise ValueError("a claim path is empty")
    return tuple(steps)


def find_value(path: str, document: Mapping[str, Any], extra: Mapping[str, Any] | None = None) -> Any:
    """Find the value that a path leads to.

    :param path: in the language of this module; ``""`` finds nothing.
    :param document: the provider's answer.
    :param extra: further answers by name.
    :return: the value as it is, or ``None``.
    """
    for alternative in _ALTERNATIVES.split(path) if path else ():
        value = _sum(alternative, document, extra or {})
        if value is not None and value != "":
            return value
    return None


def _sum(expression: str, document: Mapping[str, Any], extra: Mapping[str, Any]) -> Any:
    parts = expression.split(" + ")
    if len(parts) == 1:
        return _walk(parts[0].strip(), document, extra)
    texts = [_walk(part.strip(), document, extra) for part in parts]
    return " ".join(text.strip() for text in texts if isinstance(text, str) and text.strip())


def _walk(path: str, document: Mapping[str, Any], extra: Mapping[str, Any]) -> Any:
    value: Any = extra if path.startswith("$") else document
    for step in parse_path(path.removeprefix("$")):
        value = _take(step, value)
        if value is None:
            return None
    return value


def _take(step: _Step, value: Any) -> Any:
    if step.key is not None:
        return value.get(step.key) if isinstance(value, Mapping) else None
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
        return None
    if step.position is not None:
        return value[step.position] if step.position < len(value) else None
    for item in value:
        if isinstance(item, Mapping) and all(item.get(flag) is True for flag in step.flags):
            return item
    return None
