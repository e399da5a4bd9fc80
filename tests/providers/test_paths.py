"""The language of claim paths."""

from __future__ import annotations

import pytest

from flask_oauth_accounts.providers.paths import find_value, parse_path

DOCUMENT = {
    "a": {"b": {"c": 1}},
    "list": [{"v": "first"}, {"v": "second", "on": True}, {"v": "third", "on": True, "off": True}],
    "empty": "",
    "null": None,
    "zero": 0,
    "no": False,
    "first": " Ada ",
    "last": "Example",
    "https://slack.com/team_id": "T1",
    "text": "abc",
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("a.b.c", 1),
        ("a.b.x", None),
        ("a.b.c.d", None),
        ("list[0].v", "first"),
        ("list[9].v", None),
        ("list[?on].v", "second"),
        ("list[?on&off].v", "third"),
        ("list[?missing].v", None),
        ("text[0]", None),
        ("text[?on]", None),
        ("empty | null | last", "Example"),
        ("zero | last", 0),
        ("no | last", False),
        ("first + last", "Ada Example"),
        ("null + last", "Example"),
        ("null + empty", None),
        ('"https://slack.com/team_id"', "T1"),
        ("$more.x", "y"),
        ("more.x", None),
        ("", None),
    ],
)
def test_find_value(path: str, value: object) -> None:
    """A path that finds the wrong value names the wrong person."""
    found = find_value(path, DOCUMENT, {"more": {"x": "y"}})
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("path", ["", ".a", "a.", "a..b", "a[", "a[x]", "a[?]", "a b", "[0]a", "a[-1]"])
def test_broken_path_is_refused(path: str) -> None:
    """A broken path must be seen when the preset is written, not by a user."""
    with pytest.raises(ValueError, match="claim path"):
        parse_path(path)
