"""``docs/json-schema.json`` describes the real answers, and tells them from each other."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from flask_oauth_accounts import token_required
from flask_oauth_accounts.testing import DevUser

DOCS = Path(__file__).resolve().parents[2] / "docs"
SCHEMA = json.loads((DOCS / "json-schema.json").read_text("utf-8"))
JSON = {"Accept": "application/json"}
PROTOCOLS = pytest.mark.parametrize("name", ["one", "two", "three"])


def validate(value: Any, name: str) -> Any:
    """Check an answer against its definition, and that it is taken for no other one."""
    assert name in SCHEMA["$defs"]
    wrapped = {**SCHEMA, "$ref": f"#/$defs/{name}"}
    Draft202012Validator(wrapped, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(value)
    return value


def test_the_schema_is_one() -> None:
    """A front end could not make its types from it."""
    Draft202012Validator.check_schema(SCHEMA)


def test_the_documented_examples_fit() -> None:
    """Documentation and schema would say different things."""
    blocks = re.findall(r"<!-- answer: (\w+) -->\n```json\n(.*?)```", (DOCS / "json.md").read_text("utf-8"), re.DOTALL)
    assert len(blocks) >= 10
    for name, text in blocks:
        validate(json.loads(text), name)


@PROTOCOLS
def test_a_whole_visit(site: Any, name: str) -> None:
    """A front end written by the schema would meet answers that it does not expect."""
    browser = site.browser()
    get = lambda path: browser.get(path, headers=JSON).json  # noqa: E731
    validate(get("/login?next=/a"), "login_page")
    validate(get("/accounts"), "problem")
    started = validate(get(f"/login/{name}"), "login")
    validate(get(site.consent(started["url"])), "authorize")
    validate(get("/login"), "login_page")
    validate(get(f"/login/{name}"), "confirm")
    validate(get(f"/profile/{name}"), "profile")
    other = "two" if name != "two" else "one"
    validate(get(f"/reconnect/{other}"), "connect_first")
    listed = validate(get("/accounts"), "accounts")
    headers = {**JSON, "X-CSRF-Token": listed["csrf_token"]}
    (own,) = listed["accounts"]
    assert own["can_disconnect"] is False
    refused = browser.post(own["disconnect_url"], headers=headers)
    assert validate(refused.json, "problem")["code"] == "last_login_method"
    connect = next(item for item in listed["providers"] if item["name"] == other)["connect_api_url"]
    started = validate(browser.post(connect, headers=headers).json, "login")
    outcome = validate(get(site.consent(started["url"], "bob")), "authorize")
    assert outcome["outcome"] == "connect"
    validate(get(own["reconnect_url"]), "login")
    listed = validate(get("/accounts"), "accounts")
    added = next(item for item in listed["accounts"] if item["provider"] == other)
    assert added["can_log_in"] is False
    validate(browser.post(added["disconnect_url"], headers=headers).json, "disconnect")
    validate(browser.post("/logout", headers=headers).json, "logout")


def test_a_taken_address(site: Any) -> None:
    """A front end could not lead a visitor out of a conflict."""
    site.provider.add_user(DevUser("twin", "twin", email="alice@example.com", email_verified=True, name="Twin"))
    site.log_in(site.browser(), "two", "alice")
    browser = site.browser()
    callback = site.consent(site.start(browser, "three"), "twin")
    problem = validate(browser.get(callback, headers=JSON).json, "problem")
    validate(browser.get(problem["resolve_url"], headers=JSON).json, "resolve")
    site.log_in(browser, "two", "alice")
    waiting = validate(browser.get("/resolve", headers=JSON).json, "resolve")
    headers = {**JSON, "X-CSRF-Token": waiting["csrf_token"]}
    assert browser.post("/resolve", headers=headers, json=["answer"]).json["outcome"] == "connect"
    done = browser.post("/resolve", headers=headers, json={"answer": "discard"}).json
    assert validate(done, "finished")["outcome"] == "discarded"


def test_problems_of_every_kind(site: Any) -> None:
    """Errors are what a front end sees least often, and must rely on most."""
    browser = site.browser()
    site.log_in(browser, "two")
    calls: list[tuple[Callable[..., Any], str, str]] = [
        (browser.get, "/login/nope", "unknown_provider"),
        (browser.get, "/authorize/two?state=x&code=y", "mismatching_state"),
        (browser.get, "/authorize/one?oauth_token=x&oauth_verifier=y", "missing_request_token"),
        (browser.post, "/connect/two", "csrf"),
        (browser.post, "/authorize/two", "bad_request"),
        (browser.get, "/logout", "bad_request"),
        (browser.get, "/connect/two", "bad_request"),
        (browser.get, "/profile/three", "missing_token"),
        (browser.get, "/reconnect/999", "unknown_connection"),
    ]
    for call, path, code in calls:
        answer = call(path, headers=JSON)
        assert answer.content_type == "application/problem+json"
        assert validate(answer.json, "problem")["code"] == code
        assert answer.json["status"] == answer.status_code
    sections = (DOCS / "errors.md").read_text("utf-8")
    assert all(f"### `{code}`" in sections for _, _, code in calls)


def test_a_view_that_needs_a_token(site: Any) -> None:
    """A front end would take the address of a consent for one it must not follow."""
    site.app.add_url_rule("/needs", view_func=token_required("three")(lambda: "enough"))
    browser = site.browser()
    stranger = browser.get("/needs", headers=JSON)
    assert (stranger.status_code, validate(stranger.json, "problem")["url"]) == (401, "/login?next=%2Fneeds")
    site.log_in(browser, "two")
    user = browser.get("/needs", headers=JSON)
    assert (user.status_code, user.json["code"]) == (401, "missing_token")
    assert validate(user.json, "problem")["url"].startswith("http://localhost/reconnect/three")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("login", {"provider": "two", "url": "javascript:alert(1)"}),
        ("login", {"provider": "two"}),
        ("logout", {"outcome": "logged_out", "next": "//evil.example"}),
        ("problem", {"type": "about:blank", "title": "x", "status": 400, "detail": "x", "code": "x"}),
        ("login_page", {"logged_in": True, "providers": []}),
    ],
)
def test_what_does_not_fit_is_refused(name: str, value: Any) -> None:
    """A schema that takes everything proves nothing."""
    assert not Draft202012Validator({**SCHEMA, "$ref": f"#/$defs/{name}"}).is_valid(value)
