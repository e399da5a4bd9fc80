"""Bad configuration is refused when the application starts, with the key and the remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_caching import Cache
from flask_sqlalchemy import SQLAlchemy

from flask_oauth_accounts import ConfigurationError, OAuth, OAuthAccounts, UntrustedHostError, create_blueprint

OAUTH2: dict[str, Any] = {
    "client_id": "1",
    "client_secret": "2",
    "access_token_url": "https://provider.test/token",
    "authorize_url": "https://provider.test/authorize",
}
OAUTH1 = {**OAUTH2, "request_token_url": "https://provider.test/request_token"}


def set_up_accounts(app: Flask, oauth: OAuth) -> None:
    """``OAuthAccounts.init_app`` on a database of the test's own."""
    app.config.setdefault("SQLALCHEMY_DATABASE_URI", "sqlite://")
    db = SQLAlchemy()

    class User(db.Model):  # type: ignore[name-defined, misc]
        id = db.Column(db.Integer, primary_key=True)

    db.init_app(app)
    OAuthAccounts(oauth, db=db, user_model=User).init_app(app)


def test_missing_client_id_at_register(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    """Tests and commands would not run where no credentials are; or the first visitor would find out, not the log."""
    for arguments in ({**OAUTH2, "client_id": None}, {"server_metadata_url": "https://provider.test/x"}):
        caplog.clear()
        oauth = OAuth(app)
        oauth.register("dev", **arguments)
        assert "DEV_CLIENT_ID is not set" in caplog.text and 'register("dev")' in caplog.text
        with app.test_request_context(), pytest.raises(ConfigurationError, match="DEV_CLIENT_ID"):
            oauth.dev.authorize_redirect("https://app.test/authorize")


def test_client_id_that_comes_after_register(app: Flask) -> None:
    """An application that reads its environment after ``register`` would have clients without an id."""
    oauth = OAuth(app)
    client = oauth.register("dev", **{**OAUTH2, "client_id": None})
    app.config["DEV_CLIENT_ID"] = "late"
    assert client.client_id == oauth.dev.client_id == "late"


def test_missing_client_id_at_the_start_of_the_accounts(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    """Migrations could not be made where no credentials are; or nobody would be told before the first visitor."""
    oauth = OAuth()
    oauth.register("github")
    set_up_accounts(app, oauth)
    assert "GITHUB_CLIENT_ID is not set" in caplog.text


def test_missing_client_id_of_a_named_provider(create_app: Callable[..., Flask], tmp_path: Path) -> None:
    """An operator who names a provider and forgets its id would learn it from the first visitor."""
    app = create_app(OAUTH_ACCOUNTS_PROVIDERS="github", SQLALCHEMY_DATABASE_URI=f"sqlite:///{tmp_path / 'x.db'}")
    app.instance_path = str(tmp_path)
    with pytest.raises(ConfigurationError, match="GITHUB_CLIENT_ID is not set"):
        app.register_blueprint(create_blueprint())


def test_missing_client_id_at_the_blueprint(
    create_app: Callable[..., Flask], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """``flask oauth doctor`` could not say what is missing; or a visitor would see a fault without a page."""
    app = create_app(SQLALCHEMY_DATABASE_URI=f"sqlite:///{tmp_path / 'x.db'}")
    app.instance_path = str(tmp_path)
    OAuth(app).register("github")
    app.register_blueprint(create_blueprint())
    assert "GITHUB_CLIENT_ID is not set" in caplog.text
    assert app.test_client().get("/login/github").status_code == 503
    result = app.test_cli_runner().invoke(args=["oauth", "doctor", "--offline"])
    assert result.exit_code == 1 and "GITHUB_CLIENT_ID is not set" in result.output


@pytest.mark.parametrize(
    "key", ["authorize_url", "access_token_url", "api_base_url", "server_metadata_url", "jwks_uri"]
)
def test_http_endpoints_are_refused(create_app: Callable[..., Flask], key: str) -> None:
    """G11: secrets would travel in the clear."""
    app = create_app()
    arguments = {**OAUTH2, key: "http://provider.test/x"}
    with pytest.raises(ConfigurationError, match=f"DEV_{key.upper()} is an http:// address.*OAUTH_ACCOUNTS_ALLOW_HTTP"):
        OAuth(app).register("dev", **arguments)
    allowed = create_app(OAUTH_ACCOUNTS_ALLOW_HTTP=["provider.test"])
    assert OAuth(allowed).register("dev", **arguments)


@pytest.mark.parametrize(
    ("names", "allowed", "refused"),
    [
        ("SSO.Internal", ["sso.internal", "sso.internal:8080", "SSO.INTERNAL"], ["a.sso.internal"]),
        ("sso.internal:8080, a.test", ["sso.internal:8080", "a.test"], ["sso.internal", "sso.internal:8081"]),
        ("sso.internal:80", ["sso.internal", "sso.internal:80"], ["sso.internal:8080"]),
        (["fd00::1", "[fd00::2]:8080"], ["[fd00::1]:9000", "[fd00::2]:8080"], ["[fd00::2]", "[fd00::3]"]),
    ],
)
def test_hosts_that_may_do_without_tls(
    create_app: Callable[..., Flask], names: Any, allowed: list[str], refused: list[str]
) -> None:
    """A spelling that never matches would look as if the setting were without effect; or more would be allowed."""
    app = create_app(OAUTH_ACCOUNTS_ALLOW_HTTP=names, TESTING=False)
    for host in allowed:
        assert OAuth(app).register("dev", **{**OAUTH2, "access_token_url": f"http://{host}/token"})
    for host in refused:
        with pytest.raises(ConfigurationError, match="ALLOW_HTTP"):
            OAuth(app).register("dev", **{**OAUTH2, "access_token_url": f"http://{host}/token"})


def test_only_the_port_that_is_named_is_asked_without_tls(create_app: Callable[..., Flask], stub: Any) -> None:
    """A call or a redirect could send the token in the clear to another service of that host."""
    app = create_app(OAUTH_ACCOUNTS_ALLOW_HTTP=[f"127.0.0.1:{stub.port}"], TESTING=False)
    client = OAuth(app).register("dev", **stub.oauth2(allowed_hosts=["127.0.0.1:1"]))
    with app.test_request_context():
        assert client.get("me", token={"access_token": "AT"}).ok
        with pytest.raises(UntrustedHostError, match="not https"):
            client.get("http://127.0.0.1:1/", token={"access_token": "AT"})


@pytest.mark.parametrize("host", ["127.0.0.1:5000", "localhost", "[::1]", "dev.localhost"])
def test_loopback_in_debug_and_testing_only(create_app: Callable[..., Flask], host: str) -> None:
    """A developer would need a switch, or a server in production would speak plain http to a neighbour."""
    arguments = {**OAUTH2, "access_token_url": f"http://{host}/token"}
    production = create_app(TESTING=False)
    for config in ({"TESTING": True}, {"TESTING": False, "DEBUG": True}):
        app = create_app(config)
        assert OAuth(app).register("dev", **arguments)
    with pytest.raises(ConfigurationError, match="ALLOW_HTTP"):
        OAuth(production).register("dev", **arguments)


@pytest.mark.parametrize(
    "url", ["provider.test/token", "ftp://provider.test/", "https://", "https://u:p@provider.test/", 7, "https://["]
)
def test_addresses_that_are_none(app: Flask, url: Any) -> None:
    """A forgotten ``https://`` would show as an unreachable provider."""
    with pytest.raises(ConfigurationError, match="DEV_ACCESS_TOKEN_URL must be an absolute https address"):
        OAuth(app).register("dev", **{**OAUTH2, "access_token_url": url})


def test_null_cache_with_oauth_1(create_app: Callable[..., Flask]) -> None:
    """Flask-Caching's default forgets everything, so no OAuth 1 login would ever finish."""
    app = create_app(CACHE_TYPE="NullCache", CACHE_NO_NULL_WARNING=True)
    Cache(app)
    oauth = OAuth(app)
    with pytest.raises(ConfigurationError, match=r"CACHE_TYPE is NullCache.*save_request_token"):
        oauth.register("dev", **OAUTH1)
    oauth.register("own", **OAUTH1, save_request_token=print, fetch_request_token=dict)
    oauth.register("two", **OAUTH2)
    later = OAuth()
    later.register("dev", **OAUTH1)
    with pytest.raises(ConfigurationError, match="CACHE_TYPE"):
        set_up_accounts(app, later)


WRONG: list[dict[str, Any]] = [
    {**OAUTH2, "access_token_url": "http://provider.test/token"},
    {**OAUTH2, "client_kwargs": {"scpoe": "a"}},
    {**OAUTH2, "client_kwargs": {"default_timeout": 0}},
    {**OAUTH2, "client_kwargs": {"default_timeout": (None, 5)}},
    {**OAUTH2, "client_kwargs": {"default_timeout": (1, 2, 3)}},
    {**OAUTH2, "access_token_params": {"method": "GET"}},
    {**OAUTH2, "preset": "gogle"},
    {**OAUTH2, "client_cls": dict},
    {**OAUTH2, "fetch_token": {}},
    {**OAUTH1, "client_kwargs": {"signature_method": "MD5"}},
    {**OAUTH1, "client_kwargs": {"signature_method": "RSA-SHA1"}},
    {**OAUTH1, "save_request_token": print},
    {**OAUTH1, "fetch_request_token": dict},
    OAUTH1,
]


@pytest.mark.parametrize("arguments", WRONG)
def test_what_is_registered_before_the_application_is_judged_when_it_starts(
    create_app: Callable[..., Flask], arguments: dict[str, Any]
) -> None:
    """With ``register`` in a module and ``init_app`` in a factory, the first visitor would find out."""
    app = create_app(CACHE_TYPE="NullCache", CACHE_NO_NULL_WARNING=True)
    Cache(app)
    oauth = OAuth()
    oauth.register("dev", **arguments)
    with pytest.raises(ConfigurationError):
        oauth.init_app(app)


def test_half_a_pair_of_functions_is_refused_at_the_first_use(create_app: Callable[..., Flask]) -> None:
    """A request token would be saved and never be found; where the application is named late, as in commands."""
    oauth = OAuth(create_app())
    with pytest.raises(ConfigurationError, match="both save_request_token and fetch_request_token"):
        oauth.register("dev", **OAUTH1, save_request_token=print)


def test_what_may_still_come_is_not_refused_at_the_start(create_app: Callable[..., Flask]) -> None:
    """``app.run(debug=True)`` and ``app.testing = True`` come after the factory; a local provider would be refused."""
    app = create_app(TESTING=False)
    oauth = OAuth()
    proxy = oauth.register("dev", **{**OAUTH2, "access_token_url": "http://127.0.0.1:5000/token"})
    oauth.init_app(app)
    with app.app_context(), pytest.raises(ConfigurationError, match="ALLOW_HTTP"):
        proxy.client_id
    app.testing = True
    with app.app_context():
        assert proxy.client_id == "1"


def test_a_missing_client_id_is_told_once(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    """The log would say the same thing for each extension that is set up."""
    oauth = OAuth()
    oauth.register("github")
    set_up_accounts(app, oauth)
    oauth.init_app(app)
    assert caplog.text.count("GITHUB_CLIENT_ID is not set") == 1


def test_no_secret_key(create_app: Callable[..., Flask]) -> None:
    """Logins could not be tied to a browser, which would show as a crash in the first login."""
    app = create_app(SECRET_KEY=None)
    with pytest.raises(ConfigurationError, match=r"SECRET_KEY is not set.*secrets\.token_hex"):
        set_up_accounts(app, OAuth())
    client = OAuth(app).register("dev", **OAUTH2)
    with app.test_request_context(), pytest.raises(ConfigurationError, match="SECRET_KEY"):
        client.authorize_redirect("https://app.test/cb")


def test_own_database_without_a_user_model(create_app: Callable[..., Flask]) -> None:
    """The developer would not learn what to write."""
    app = create_app(SQLALCHEMY_DATABASE_URI="sqlite://")
    db = SQLAlchemy(app)
    with pytest.raises(ConfigurationError, match=r"OAuthAccounts\(oauth, db=db, user_model=User\)"):
        app.register_blueprint(create_blueprint())
    with pytest.raises(ConfigurationError, match=r"OAuthAccounts\(oauth, db=db, user_model=User\)"):
        OAuthAccounts(OAuth(), db=db)


def test_database_not_initialised(app: Flask) -> None:
    """The order of the two ``init_app`` calls would have to be guessed."""
    db = SQLAlchemy()

    class User(db.Model):  # type: ignore[name-defined, misc]
        id = db.Column(db.Integer, primary_key=True)

    with pytest.raises(ConfigurationError, match=r"db\.init_app\(app\) before accounts\.init_app\(app\)"):
        OAuthAccounts(OAuth(), db=db, user_model=User).init_app(app)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("SIGNUPS", "open", "did you mean OAUTH_ACCOUNTS_SIGNUP"),
        ("SIGNUP", "maybe", '"open" or "closed"'),
        ("HTTP_TIMEOUT", "fast", "number of seconds"),
        ("HTTP_TIMEOUT", (1, 2, 3), "pair of connect and read"),
        ("FLOW_LIFETIME", 0, "more than 0 seconds"),
        ("MAX_PENDING", 1.5, "whole number"),
        ("ALLOW_HTTP", 7, "list of words"),
        ("ALLOW_HTTP", ["http://sso.internal"], "must be host names.*'http://sso.internal' is none"),
        ("ALLOW_HTTP", "*.internal", "must be host names"),
        ("ALLOW_HTTP", "sso.internal/path", "must be host names"),
        ("ALLOW_HTTP", "sso.internal:port", "must be host names"),
        ("ALLOW_HTTP", "user@sso.internal", "must be host names"),
        ("PROVIDER_LOGOUT", "perhaps", "true or false"),
        ("EXTERNAL_URL", "www.example.com", "https://www.example.com"),
        ("LINK_BY_EMAIL", "always", '"verified"'),
        ("REFRESH_LEASE", -1, "0 or more"),
    ],
)
def test_settings_of_the_package(create_app: Callable[..., Flask], key: str, value: Any, says: str) -> None:
    """A misspelt or ill-typed setting would be ignored."""
    app = create_app({f"OAUTH_ACCOUNTS_{key}": value})
    for set_up in (
        lambda: OAuth(app),
        lambda: OAuth().init_app(app),
        lambda: app.register_blueprint(create_blueprint()),
    ):
        with pytest.raises(ConfigurationError, match=f"OAUTH_ACCOUNTS_{key}.*{says}"):
            set_up()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("authorize_params", "a=b"),
        ("access_token_params", 7),
        ("allowed_hosts", 7),
        ("client_secret", ["x"]),
        ("client_id", True),
    ],
)
def test_values_of_the_wrong_kind(app: Flask, key: str, value: Any) -> None:
    """A value of the wrong kind would explode in the middle of the first login."""
    with pytest.raises(ConfigurationError, match=f"DEV_{key.upper()} must be"):
        OAuth(app).register("dev", **{**OAUTH2, key: value})


def test_no_process_wide_switch(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable of another library would switch off TLS for this one, or be set by it for others."""
    import os

    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    with pytest.raises(ConfigurationError):
        OAuth(app).register("dev", **{**OAUTH2, "access_token_url": "http://provider.test/"})
    monkeypatch.delenv("OAUTHLIB_INSECURE_TRANSPORT")
    OAuth(app).register("dev", **{**OAUTH2, "access_token_url": "http://127.0.0.1/"})
    assert not [key for key in os.environ if key.startswith("OAUTHLIB_")]


@pytest.mark.parametrize("key", ["fetch_token", "update_token", "compliance_fix"])
def test_functions_that_are_none(app: Flask, key: str) -> None:
    """The result of a call in place of the function would explode in the middle of a request."""
    with pytest.raises(ConfigurationError, match=f'{key} given to register."dev". must be a function'):
        OAuth(app).register("dev", **OAUTH2, **{key: {"access_token": "x"}})
