"""What a login and an API call cost, beside the peers: ``python benchmarks/run.py [--quick]``.

Everything is measured in one run, against one provider in a process of its own, in turns: what else the machine does
hits all alike. The numbers of two machines say nothing about each other; the ratios do.
"""

from __future__ import annotations

import argparse
import functools
import gc
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

# Without these, requests asks the environment for certificate authorities before the session's own.
for _name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
    os.environ.pop(_name, None)
# Flask-Dance asks for it to log in on an address without TLS, which the test client has.
os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"
os.environ["OAUTHLIB_RELAX_TOKEN_SCOPE"] = "1"

from sites import Site, create_authlib, create_flask_dance, create_ours, create_raw, create_unrelated  # noqa: E402
from start import measure_starts  # noqa: E402
from stub import Stub, run_stub  # noqa: E402

Action = Callable[[], object]


def measure(actions: dict[str, Action], *, rounds: int, repeats: int) -> dict[str, float]:
    """Run the actions in turns.

    :param rounds: how often each has its turn.
    :param repeats: how often it runs in a turn.
    :return: seconds for one run of each: the median of its turns.
    """
    times: dict[str, list[float]] = {name: [] for name in actions}
    for action in actions.values():
        action()
    for _ in range(rounds):
        for name, action in actions.items():
            gc.collect()
            begin = time.perf_counter()
            for _ in range(repeats):
                action()
            times[name].append((time.perf_counter() - begin) / repeats)
    return {name: statistics.median(values) for name, values in times.items()}


def measure_calls(sites: list[Site], count: int, *, rounds: int, repeats: int) -> dict[str, float]:
    """Time one web request with ``count`` API calls in it.

    :return: seconds by site.
    """

    def create(site: Site) -> Action:
        browser = site.browser()

        def call() -> None:
            response = browser.get("/call", query_string={"count": count})
            assert response.text == "bob", response.text

        return call

    return measure({site.name: create(site) for site in sites}, rounds=rounds, repeats=repeats)


def count_connections(sites: list[Site], stub: Stub) -> dict[str, int]:
    """Make 100 web requests with one API call each.

    :return: connections opened by each site.
    """
    opened = {}
    for site in sites:
        browser = site.browser()
        before = stub.connections()
        for _ in range(100):
            assert browser.get("/call").status_code == 200
        opened[site.name] = stub.connections() - before
    return opened


def measure_logins(sites: list[Site], *, rounds: int, repeats: int) -> tuple[dict[str, float], dict[str, float]]:
    """Time the two halves of a returning user's login.

    :return: seconds for a start, and for a callback, by site.
    """
    starts: dict[str, list[float]] = {site.name: [] for site in sites}
    ends: dict[str, list[float]] = {site.name: [] for site in sites}
    for number in range(rounds + 1):
        for site in sites:
            gc.collect()
            browsers = [site.app.test_client() for _ in range(repeats)]
            begin = time.perf_counter()
            states = [site.begin(browser) for browser in browsers]
            middle = time.perf_counter()
            for browser, state in zip(browsers, states, strict=True):
                assert site.end(browser, state) == 302
            end = time.perf_counter()
            if number:  # the first turn warms up
                starts[site.name].append((middle - begin) / repeats)
                ends[site.name].append((end - middle) / repeats)
    return (
        {name: statistics.median(values) for name, values in starts.items()},
        {name: statistics.median(values) for name, values in ends.items()},
    )


def measure_unrelated(folder: Path, *, rounds: int, repeats: int) -> dict[str, float]:
    """Time a page that does not use the package.

    :return: seconds for one request, by what is registered.
    """
    browsers = {
        "Flask-Login and Flask-SQLAlchemy": create_unrelated(folder, providers=0).test_client(),
        "30 providers beside them": create_unrelated(folder, providers=30).test_client(),
    }
    actions: dict[str, Action] = {name: functools.partial(browser.get, "/page") for name, browser in browsers.items()}
    return measure(actions, rounds=rounds, repeats=repeats)


def show(title: str, header: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Print a table."""
    lines = [list(map(str, header)), *[list(map(str, row)) for row in rows]]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    print(f"\n{title}")
    for line in lines:
        first, *rest = [
            cell.ljust(w) if not n else cell.rjust(w) for n, (cell, w) in enumerate(zip(line, widths, strict=True))
        ]
        print("  " + "  ".join([first, *rest]))


def report(stub: Stub, folder: Path, *, scale: float) -> None:
    """Measure everything and print it.

    :param scale: 1 for numbers to rely on, less for a quick look.
    """
    raw, ours = create_raw(stub, folder), create_ours(stub, folder)
    peers = [create_authlib(stub, folder), create_flask_dance(stub, folder)]
    sites = [raw, ours, *peers]
    rounds = max(1, round(7 * scale))

    def times(number: int) -> int:
        return max(1, round(number * scale))

    show("Connections opened", ("", "per 100 calls"), count_connections(sites, stub).items())
    for count, repeats in ((1, 60), (10, 12)):
        seconds = measure_calls(sites, count, rounds=rounds, repeats=times(repeats))
        show(
            f"A web request with {count} API call{'s' if count > 1 else ''} and a stored token",
            ("", "ms", "of requests"),
            [(name, f"{value * 1000:.2f}", f"{seconds[raw.name] / value:.2f}") for name, value in seconds.items()],
        )
    starts, ends = measure_logins([ours, *peers], rounds=rounds, repeats=times(30))
    show(
        "Logins of a returning user",
        ("", "starts per second", "callbacks per second"),
        [(name, f"{1 / starts[name]:.0f}", f"{1 / ends[name]:.0f}") for name in starts],
    )
    pages = measure_unrelated(folder, rounds=rounds, repeats=times(300))
    show(
        "A page that does not use the package", ("registered", "µs"), [(k, f"{v * 1e6:.0f}") for k, v in pages.items()]
    )
    started = measure_starts(folder / "starts", rounds=rounds)
    show("From the start to the first page", ("", "s"), [(name, f"{value:.2f}") for name, value in started.items()])


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="a look whether it works; the numbers mean little")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder, run_stub(Path(folder)) as stub:
        print(f"Python {sys.version.split()[0]}, one thread, TLS, provider in a process of its own")
        report(stub, Path(folder), scale=0.04 if arguments.quick else 1.0)


if __name__ == "__main__":
    main()
