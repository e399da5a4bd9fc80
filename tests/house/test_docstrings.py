"""Examples in docstrings are promises too."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(file for file in (ROOT / "flask_oauth_accounts").rglob("*.py") if ">>>" in file.read_text())


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_examples_in_docstrings_run(file: Path) -> None:
    """Who copies an example from a docstring expects it to work."""
    module = importlib.import_module(".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0
