"""What was given to :meth:`OAuth.register`: for every application, or for the one in whose context it was given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from flask import Flask

_EXTENSION_KEY = "flask_oauth_accounts.registrations"


@dataclass(frozen=True)
class Entry:
    """One registration."""

    name: str
    overwrite: bool
    arguments: Mapping[str, Any] = field(repr=False)


class Entries:
    """The registrations of one registry.

    Those of one application lie with that application: a registry of a module outlives it, and must not keep it alive.
    """

    def __init__(self) -> None:
        self._shared: dict[str, Entry] = {}
        self._narrow: set[str] = set()

    def _own(self, app: Flask) -> dict[str, Entry]:
        by_registry = app.extensions.setdefault(_EXTENSION_KEY, WeakKeyDictionary())
        own: dict[str, Entry] = by_registry.setdefault(self, {})
        return own

    def list_for(self, app: Flask | None) -> dict[str, Entry]:
        """:return: what counts in an application; its own goes before what is there for all. ``None``: for all."""
        return self._shared if app is None else {**self._shared, **self._own(app)}

    def describe_missing(self, name: str) -> str:
        """:return: why a client is not there."""
        where = "; it was registered in the context of another application" if name in self._narrow else ""
        return f"No such client: {name}{where}"

    def add(self, entry: Entry, app: Flask | None, apps: Iterable[Flask]) -> None:
        """Add a registration in place of an earlier one of its name.

        :param app: the one that it is for; ``None`` for every one.
        :param apps: all that are known; what is for every one replaces what they have of that name.
        """
        if app is not None:
            self._own(app)[entry.name] = entry
            self._narrow.add(entry.name)
            return
        self._shared[entry.name] = entry
        for known in apps:
            self._own(known).pop(entry.name, None)

    def remove(self, name: str, app: Flask | None, apps: Iterable[Flask]) -> None:
        """Remove a registration: an application's own where it has one, else the one that is there for all.

        :param app: as for :meth:`add`.
        :param apps: as for :meth:`add`.
        """
        if app is not None and self._own(app).pop(name, None) is not None:
            return
        self._shared.pop(name, None)
        for known in apps if app is None else ():
            self._own(known).pop(name, None)
