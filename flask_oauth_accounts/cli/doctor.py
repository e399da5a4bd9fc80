"""``flask oauth doctor``: look for what would go wrong in production, and say what to mend."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import click
from flask import current_app
from flask.cli import with_appcontext
from werkzeug.middleware.proxy_fix import ProxyFix

from ..clients.base import is_loopback
from ..errors import OAuthError
from ..registry import AppState, get_state
from ..remote_app.caches import backend_of, is_null_cache
from .addresses import ASSUMED_HOST, find_redirect_uri, is_host_assumed
from .client_checks import check_clients
from .clock import check_clock
from .common import Finding, describe_missing_key, find_engine, is_shipped, report_errors


@click.command(
    "doctor", help="Check configuration, providers, tables, cache and cookies; exit with 1 if something is wrong."
)
@click.option("--offline", is_flag=True, help="Ask no provider.")
@report_errors
@with_appcontext
def doctor_command(offline: bool) -> None:
    """Print findings, worst ones marked, and the redirect URI to register for each provider."""
    state = get_state()
    checks: list[Callable[[AppState], Iterator[Finding]]] = [
        partial(check_clients, offline=offline),
        check_tables,
        check_clock,
        check_keys,
        check_cache,
        check_cookies,
        check_addresses,
    ]
    problems = 0
    for check in checks:
        for finding in check(state):
            problems += finding.level == "problem"
            mark = {"ok": "ok     ", "hint": "hint   ", "problem": "PROBLEM"}[finding.level]
            click.echo(f"{mark}  {finding.text}")
    click.echo(f"{problems} problems" if problems != 1 else "1 problem")
    if problems:
        raise click.exceptions.Exit(1)


def check_tables(state: AppState) -> Iterator[Finding]:
    """The tables are there and as this version needs them, and every stored secret can be opened."""
    accounts = state.accounts
    if accounts is None:
        yield Finding("hint", "no accounts are set up: a registry only")
        return
    from ..storage.migrate import check

    try:
        differences = check(find_engine(accounts), None if is_shipped(accounts) else accounts.models.tables)
    except OAuthError as error:
        yield Finding("problem", f"database: {error.operator_message}")
        return
    if differences and accounts.migrates:
        yield Finding("ok", "tables are brought up to date on first use")
        return
    remedy = "flask oauth db upgrade" if is_shipped(accounts) else "flask db migrate && flask db upgrade"
    for difference in differences:
        yield Finding("problem", f"tables: {difference}; run: {remedy}")
    if not differences:
        yield Finding("ok", "tables are up to date")
        yield from _check_secrets(state)


def _check_secrets(state: AppState) -> Iterator[Finding]:
    for key_id, count in state.accounts.store.count_by_key().items():
        if key_id not in state.keys.key_ids:
            yield Finding("problem", describe_missing_key(key_id, count))


def check_keys(state: AppState) -> Iterator[Finding]:
    """Which key seals."""
    if state.accounts is None:
        return
    ring = state.keys
    if not state.settings.keys:
        yield Finding(
            "hint", "secrets are sealed with a key derived from SECRET_KEY; OAUTH_ACCOUNTS_KEYS keeps them apart"
        )
    else:
        yield Finding("ok", f"secrets are sealed with the key {ring.key_ids[0]}")


def check_cache(state: AppState) -> Iterator[Finding]:
    """Pending logins can be found again, by every worker."""
    cache = state.find_any_cache(state.oauth)
    if cache is None:
        yield Finding("hint", "no cache: pending logins lie sealed in the session cookie")
        return
    if is_null_cache(cache):
        yield Finding(
            "problem", 'CACHE_TYPE is NullCache, which forgets everything: set it to "RedisCache" or "FileSystemCache"'
        )
        return
    kind = type(backend_of(cache)).__name__
    if "SimpleCache" in kind:
        yield Finding(
            "hint", "SimpleCache is one process's own: with several workers use RedisCache or FileSystemCache"
        )
    else:
        yield Finding("ok", f"pending logins wait in {kind}")


def check_cookies(state: AppState) -> Iterator[Finding]:
    """The session cookie is safe, and comes back with the callback."""
    config = current_app.config
    is_https = (state.settings.external_url or "").startswith("https:")
    relaxed = (current_app.debug or current_app.testing) and not is_https
    if not config["SESSION_COOKIE_SECURE"] and not relaxed:
        yield Finding("problem", "SESSION_COOKIE_SECURE is off: the session travels without TLS too; set it to True")
    if not config["SESSION_COOKIE_HTTPONLY"]:
        yield Finding("problem", "SESSION_COOKIE_HTTPONLY is off: scripts can read the session; set it to True")
    same_site = config["SESSION_COOKIE_SAMESITE"]
    if same_site == "Strict":
        yield Finding("problem", "SESSION_COOKIE_SAMESITE is Strict: the cookie stays behind at the callback; use Lax")
    elif same_site is None and not relaxed:
        yield Finding("hint", 'SESSION_COOKIE_SAMESITE is not set; "Lax" is what browsers assume, so say it')
    else:
        yield Finding("ok", "session cookie comes back with the callback")


def check_addresses(state: AppState) -> Iterator[Finding]:
    """The redirect URI is what the providers know, also behind a proxy."""
    external = state.settings.external_url
    if external is None:
        if is_host_assumed() and find_redirect_uri("any") is not None:
            yield Finding(
                "hint",
                f"the host {ASSUMED_HOST} is assumed, because that is where `flask run` listens; elsewhere set "
                "OAUTH_ACCOUNTS_EXTERNAL_URL",
            )
        if not current_app.debug and not current_app.testing:
            yield from _check_proxy()
        return
    parts = urlsplit(external)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        yield Finding(
            "problem", f"OAUTH_ACCOUNTS_EXTERNAL_URL is {external}: codes would travel in the clear; use https"
        )
    else:
        yield Finding("ok", f"the application is at {external}")


def _check_proxy() -> Iterator[Finding]:
    """Without an address of its own, the application believes the request; a proxy's request says http."""
    wrapped: Any = current_app.wsgi_app
    while wrapped is not None and not isinstance(wrapped, ProxyFix):
        wrapped = getattr(wrapped, "app", None) or getattr(wrapped, "wsgi_app", None)
    if isinstance(wrapped, ProxyFix) and wrapped.x_proto and wrapped.x_host:
        yield Finding("ok", "ProxyFix tells which address the browser sees")
        return
    remedy = "set OAUTH_ACCOUNTS_EXTERNAL_URL to the address that the browser sees"
    if isinstance(wrapped, ProxyFix):
        yield Finding(
            "problem", f"ProxyFix does not believe X-Forwarded-Proto and X-Forwarded-Host: set both, or {remedy}"
        )
        return
    is_https = current_app.config["SESSION_COOKIE_SECURE"] or current_app.config["PREFERRED_URL_SCHEME"] == "https"
    yield Finding(
        "problem" if is_https else "hint",
        "redirect URIs take scheme and host from the request; behind a proxy that speaks https outside they would "
        f"begin with http: {remedy}, or use werkzeug's ProxyFix",
    )
