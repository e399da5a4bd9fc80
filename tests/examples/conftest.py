"""The examples are run as their readers find them: imported from their folder, with nothing replaced."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def load_example(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """Import a module of an example afresh, by its name below ``examples``."""
    monkeypatch.syspath_prepend(str(ROOT))
    before = set(sys.modules)

    def load(name: str) -> ModuleType:
        return importlib.import_module(f"examples.{name}")

    yield load
    for name in set(sys.modules) - before:
        if name.startswith("examples"):
            del sys.modules[name]
