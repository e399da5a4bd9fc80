"""Whether this machine and the database's agree on the time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from ..errors import StorageUnavailable
from ..registry import AppState
from .common import Finding, find_engine

_GREATEST_DIFFERENCE = 5.0


def check_clock(state: AppState, *, clock: Callable[[], float] = time.time) -> Iterator[Finding]:
    """The claims of one machine hold for the others, because their clocks agree.

    :param state: of the application.
    :param clock: of this machine, in seconds since the epoch.
    """
    if state.accounts is None:
        return
    from ..storage.clock import read_clock

    begun = clock()
    try:
        theirs = read_clock(find_engine(state.accounts))
    except StorageUnavailable:
        return  # the check of the tables says so
    if theirs is None:
        return
    # The answer was given at some moment between the two.
    difference = max(begun - theirs, theirs - clock(), 0.0)
    if difference > _GREATEST_DIFFERENCE:
        yield Finding(
            "problem",
            f"the clock of the database differs from this machine's by {difference:.0f} s: two machines would refresh "
            "one token at once, which can end the grant; let both set their clocks by NTP",
        )
    else:
        yield Finding("ok", "the database's clock agrees with this machine's")
