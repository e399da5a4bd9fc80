"""The fixtures that the other tests stand on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from flask import Flask

if TYPE_CHECKING:
    from playwright.sync_api import Page


def test_each_database_is_empty_and_can_be_written(database_url: str) -> None:
    """Tests would see each other's rows if the databases were shared."""
    engine = sa.create_engine(database_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE probe (id INTEGER)")
        connection.exec_driver_sql("INSERT INTO probe VALUES (1)")
        assert connection.exec_driver_sql("SELECT count(*) FROM probe").scalar() == 1
    engine.dispose()


def test_redis_database_is_empty(redis_url: str) -> None:
    """Tests would see each other's pending logins if the cache were shared."""
    redis = pytest.importorskip("redis")
    client = redis.Redis.from_url(redis_url)
    assert client.dbsize() == 0
    client.set("probe", "1")
    client.close()


def test_browser_sees_a_live_application(page: Page, live_server: Callable[[Flask], str]) -> None:
    """Without a browser on a real server no journey of a visitor is ever tested."""
    app = Flask(__name__)

    @app.get("/")
    def hello() -> str:
        return "<title>hello</title>"

    page.goto(live_server(app))
    assert page.title() == "hello"
