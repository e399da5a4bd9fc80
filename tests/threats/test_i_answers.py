"""Faulty answers of the token endpoint and of userinfo: a page, nobody logged in, not a row written."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flask_oauth_accounts.testing import DevUser

OAUTH2 = pytest.mark.parametrize("name", ["two", "three"])


def refuse_answers(
    site: Any, browser: Any, name: str, *faults: dict[str, Any], statuses: tuple[int, ...] = (400, 403, 502)
) -> None:
    """None of these answers logs anybody in, and an honest one does afterwards."""
    guard = site.guard(browser)
    for fault in faults:
        callback = site.callback(browser, name)
        site.provider.fail("/oauth2/token", **fault)
        guard.refused(browser.get(callback), *statuses, exchanged=None, honest=None)
    guard.refused(browser.get(f"/authorize/{name}"), exchanged=None, honest=name)


@OAUTH2
def test_i01_an_error_that_says_200(site: Any, browser: Any, name: str) -> None:
    """An error with a token beside it would log in."""
    token = {"access_token": "x" * 20, "token_type": "Bearer"}
    bodies: list[dict[str, Any]] = [
        {"error": "invalid_grant"},
        {"error": {"message": "no"}, **token},
        {"error": "x", **token},
        {"error": ["x"], **token},
    ]
    refuse_answers(site, browser, name, *({"status": 200, "body": body} for body in bodies))


@OAUTH2
def test_i02_what_is_no_answer(site: Any, browser: Any, name: str) -> None:
    """A page in the place of a token would be a server error."""
    bodies = [
        "",
        "<html>",
        "null",
        "[]",
        "[1]",
        "5",
        '"x"',
        "true",
        "{",
        "{}",
        "\x00",
        "NaN",
        "[" * 10_000,
        "ÿ",
        '{"access_token":',
    ]
    refuse_answers(
        site,
        browser,
        name,
        *(
            {"status": status, "body": body, "content_type": kind}
            for body in bodies
            for status, kind in ((200, "application/json"),)
        ),
        {"status": 204},
        {"status": 200, "body": b"\xff\xfe\x00", "content_type": "application/json"},
        {"status": 418},
        {"status": 302},
        {"status": 200, "body": "<p>", "content_type": "text/html"},
        {"status": 200, "body": "x", "content_type": "image/png"},
        statuses=(502,),
    )


@OAUTH2
def test_i03_no_usable_access_token(site: Any, browser: Any, name: str) -> None:
    """A token that is none would be stored, and a user made for it."""
    guard = site.guard(browser)
    value: Any
    for value in (None, "", {}, [], ["x"], 5, True, False, " ", "a\nb", "é", "\x00"):
        callback = site.callback(browser, name)
        site.provider.next_token(access_token=value)
        guard.refused(browser.get(callback), 502, exchanged=None, honest=None)
    callback = site.callback(browser, name)
    site.provider.next_token(remove=["access_token"])
    guard.refused(browser.get(callback), 502, exchanged=None, honest=name)


@pytest.mark.parametrize(
    ("token_type", "accepted"),
    [
        ("BEARER", True),
        ("bearer", True),
        (None, True),
        ("", True),
        ("mac", False),
        ("DPoP", False),
        (5, False),
        (["Bearer"], False),
    ],
)
def test_i04_kinds_of_tokens(site: Any, browser: Any, token_type: Any, accepted: bool) -> None:
    """A token that cannot be used would be stored as one that can."""
    callback = site.callback(browser, "two")
    site.provider.next_token(token_type=token_type)
    response = browser.get(callback)
    if token_type == "":
        assert response.status_code in (302, 502)
        return
    assert response.status_code == (302 if accepted else 502)
    assert (site.who(browser) is not None) is accepted
    if accepted:
        assert browser.get("/api/two").json["subject"] == "dev-1001"


@pytest.mark.parametrize("value", [0, 1, 10**15, "never", None, -5, {"a": 1}])
def test_i06_an_expiry_that_the_provider_dates(site: Any, browser: Any, value: Any) -> None:
    """A provider's clock would make a token live for ever, or never."""
    callback = site.callback(browser, "two")
    site.provider.next_token(expires_at=value)
    assert browser.get(callback).status_code == 302
    row = site.rows("oauth2_token")[0]
    assert abs(row["expires_at"] - row["updated_at"] - 3600) < 60


ODD_LIFETIMES: list[Any] = [-1, 0, 10**30, "soon", "3600", 1.5, None, True, [], {}, "1e400", float("inf")]


def test_i06_odd_lifetimes(site: Any) -> None:
    """An odd number in an answer would be a server error."""
    for value in ODD_LIFETIMES:
        browser = site.browser()
        callback = site.callback(browser, "two")
        site.provider.next_token(expires_in=value)
        assert browser.get(callback).status_code in (302, 502)
        assert browser.get("/accounts").status_code in (200, 302)


ODD_SCOPES: list[Any] = ["profile \ud800", "profile a\0b", ["profile", "\udfff"], "profile \x1b[31m", ["profile \0"]]


@pytest.mark.parametrize("scope", ODD_SCOPES, ids=ascii)
def test_a_scope_that_no_database_takes(site: Any, browser: Any, scope: Any) -> None:
    """A renewed token could not be stored, and each call after that would be a server error."""
    callback = site.callback(browser, "two")
    site.provider.next_token(scope=scope)
    assert browser.get(callback).status_code == 302
    for _ in range(2):
        site.execute("UPDATE oauth2_token SET expires_at = 1")
        site.provider.next_token(scope=scope)
        assert browser.get("/api/two").json["subject"] == "dev-1001"
        assert site.rows("oauth2_token")[0]["scope"] == "profile"


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("two", "invalid_client"),
        ("three", "invalid_grant"),
        ("two", "invalid_request"),
        ("three", "unauthorized_client"),
        ("two", "x"),
    ],
)
def test_i09_l18_a_refused_code_is_not_sent_again(
    site: Any, browser: Any, name: str, error: str, debug_log: pytest.LogCaptureFixture
) -> None:
    """A second try with the same code would end every grant of the user."""
    callback = site.callback(browser, name)
    site.provider.fail("/oauth2/token", 401 if error == "invalid_client" else 400, {"error": error}, times=None)
    guard = site.guard(browser)
    guard.refused(browser.get(callback), 502, exchanged=1, honest=name)
    assert error in debug_log.text


@pytest.mark.parametrize(
    ("kind", "accepted"),
    [("application/x-www-form-urlencoded", True), ("text/plain", True), ("application/json", False)],
)
def test_i10_an_answer_as_a_form(site: Any, browser: Any, kind: str, accepted: bool) -> None:
    """Providers that answer with a form would be shut out, or a page would be taken for one."""
    token = site.browser()
    site.log_in(token, "two")
    with site.app.app_context():
        access = site.app.extensions["flask_oauth_accounts"].accounts.oauth.two.for_user(1).token["access_token"]
    callback = site.callback(browser, "two")
    site.provider.fail("/oauth2/token", 200, f"access_token={access}&token_type=bearer", content_type=kind)
    assert browser.get(callback).status_code == (302 if accepted else 502)


@pytest.mark.parametrize("name", ["one", "two"])
def test_i11_userinfo_that_is_none(site: Any, browser: Any, name: str) -> None:
    """Somebody would be logged in without the provider having said who they are."""
    guard = site.guard(browser)
    faults: list[dict[str, Any]] = [{"status": status} for status in (400, 401, 403, 404, 500, 503, 204, 302)]
    faults += [
        {"status": 200, "body": body, "content_type": "application/json"}
        for body in ("", "<p>", "[]", "null", "{}", "5", '{"id": ', '"x"', "[" * 9999)
    ]
    faults += [
        {"status": 200, "body": {"error": "no"}},
        {"status": 200, "body": json.dumps({"id": 1}).encode("utf-16")},
        {"drop": True},
    ]
    for fault in faults:
        callback = site.callback(browser, name)
        site.provider.fail("/api/me", **fault)
        response = browser.get(callback)
        guard.refused(response, 502, 503, 504, 403, exchanged=None, honest=None)
        assert response.status_code != 403 or fault.get("status") in (401, 403)
    guard.refused(browser.get(f"/authorize/{name}"), exchanged=None, honest=name)


@pytest.mark.parametrize("name", ["one", "two", "three"])
def test_i13_a_large_answer_is_accepted(site: Any, browser: Any, name: str) -> None:
    """A user with a long profile could never log in."""
    site.provider.add_user(
        DevUser(
            "big",
            "big",
            name="B" * 5000,
            claims={"groups": [f"group-{n}" for n in range(5000)] if name != "three" else ["x" * 60] * 40},
        )
    )
    assert site.log_in(browser, name, "big").status_code == 302
    assert browser.get(f"/profile/{name}").status_code == 200
    assert browser.get("/accounts").status_code == 200
