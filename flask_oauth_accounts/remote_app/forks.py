"""Locks that nobody holds in a process that was forked while one of its parent's threads held them."""

from __future__ import annotations

import os
import weakref


class ForkSafe:
    """Base of what holds locks for a moment; :meth:`_renew` makes them, at first and in each forked child.

    A worker of ``gunicorn --preload`` begins as a copy of its parent with one thread: it would wait for ever for what
    another thread of the parent held.
    """

    def __init__(self) -> None:
        self._renew()
        _all.add(self)

    def _renew(self) -> None:
        raise NotImplementedError


_all: weakref.WeakSet[ForkSafe] = weakref.WeakSet()


def _renew_all() -> None:
    for each in _all:
        each._renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
