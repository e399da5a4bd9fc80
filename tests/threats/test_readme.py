"""The table of threats names every row, and every row has a test."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROWS = re.findall(r"^\| ([A-M]\d\d) \| .* \| (.*) \|$", (HERE / "README.md").read_text("utf-8"), re.M)


def find_ids(path: Path) -> set[str]:
    """The ids of rows that the names of a file's tests carry; ``d01_to_d10`` stands for all between."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            found |= set(re.findall(r"(?<=_)[a-m]\d\d(?=_)", node.name))
            for letter, first, last in re.findall(r"_([a-m])(\d\d)_to_[a-m](\d\d)_", node.name):
                found |= {f"{letter}{number:02}" for number in range(int(first), int(last) + 1)}
    return found


def test_the_table_is_there() -> None:
    """A change of the table's form would let this check pass with no rows at all."""
    assert len(ROWS) == len({row for row, _ in ROWS}) > 150


@pytest.mark.parametrize("section", sorted({row[0] for row, _ in ROWS}))
def test_every_row_has_the_tests_it_names(section: str) -> None:
    """A threat would be thought of and never tested."""
    missing = []
    for row, files in ROWS:
        paths = [HERE.parent / name for name in re.findall(r"`([^`]+)`", files)]
        if row.startswith(section) and not any(row.lower() in find_ids(path) for path in paths):
            missing.append(row)
    assert not missing
