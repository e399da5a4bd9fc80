"""How long the demo takes from its start to its first page, beside an application of Flask and its extensions alone."""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import requests

INSTANT = Path(__file__).resolve().parents[1] / "examples" / "instant"

BARE = """
from flask import Flask
from flask_caching import Cache
from flask_login import LoginManager
from flask_sqlalchemy import SQLAlchemy
from werkzeug.serving import make_server

app = Flask(__name__)
app.config.update(SECRET_KEY="bench", SQLALCHEMY_DATABASE_URI="sqlite://", CACHE_TYPE="SimpleCache")
SQLAlchemy(app)
LoginManager(app)
Cache(app)
app.add_url_rule("/login", view_func=lambda: "a page")
server = make_server("127.0.0.1", 0, app)
print(f"http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
"""


def measure_starts(folder: Path, *, rounds: int) -> dict[str, float]:
    """Start both in turns.

    :param folder: made, to run in.
    :param rounds: how often.
    :return: seconds until the first page has come: the median, by what was started.
    """
    folder.mkdir()
    bare, demo = folder / "bare.py", folder / "instant"
    bare.write_text(BARE)
    shutil.copytree(INSTANT, demo, ignore=shutil.ignore_patterns("instance", "__pycache__"))
    commands = {"Flask and its extensions": [str(bare)], "the demo": [str(demo / "demo.py"), "--port", "0"]}
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            times[name].append(_start(command, folder))
    return {name: statistics.median(values) for name, values in times.items()}


def _start(command: list[str], folder: Path) -> float:
    begin = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, *command], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
            assert found is not None
            requests.get(f"{found[0]}/login", timeout=60).raise_for_status()
            return time.perf_counter() - begin
        finally:
            process.terminate()
