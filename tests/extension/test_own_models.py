"""Way B: an application's own database and users."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
import sqlalchemy as sa
from flask import Flask
from flask.cli import with_appcontext
from flask_login import LoginManager, UserMixin, current_user, login_required
from flask_migrate import Migrate, init, migrate, upgrade
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from flask_oauth_accounts import (
    OAuth,
    OAuth1TokenMixin,
    OAuth2TokenMixin,
    OAuthAccounts,
    OAuthEventMixin,
    OAuthIdentityMixin,
    create_blueprint,
    current_oauth,
    signals,
)
from flask_oauth_accounts.errors import ConfigurationError, MissingTokenError, ReauthorizationRequired
from flask_oauth_accounts.testing import DevProvider, oauth_login

JSON = {"Accept": "application/json"}
KEYS: dict[str, Any] = {
    "integer": (sa.Integer(), None),
    "uuid": (sa.Uuid(), uuid.uuid4),
    "string": (sa.String(36), lambda: f"user-{uuid.uuid4().hex[:8]}"),
}


@dataclass
class Site:
    """An application with all that belongs to it."""

    app: Flask
    db: SQLAlchemy
    user_model: Any
    accounts: OAuthAccounts

    def close(self) -> None:
        with self.app.app_context():
            self.app.extensions["flask_oauth_accounts"].accounts.store.dispose()
            self.db.engine.dispose()


def create_database(kind: str = "integer") -> tuple[SQLAlchemy, Any]:
    class Base(DeclarativeBase):
        pass

    db = SQLAlchemy(model_class=Base)
    type_, default = KEYS[kind]

    class User(UserMixin, db.Model):
        __tablename__ = "people"
        pk: Mapped[Any] = mapped_column("pk", type_, primary_key=True, default=default)
        email: Mapped[str | None] = mapped_column(sa.String(320))
        nick: Mapped[str | None] = mapped_column(sa.String(80))

        def get_id(self) -> str:
            return str(self.pk)

    return db, User


def create_site(
    provider: DevProvider, url: str, kind: str = "integer", models: Any = None, engine: dict[str, Any] | None = None
) -> Site:
    db, user_model = create_database(kind)
    given = {} if models is None else {"models": models(db, user_model)}
    accounts = OAuthAccounts(OAuth(), db=db, user_model=user_model, **given)
    for name, protocol in (("one", "oauth1"), ("two", "oauth2"), ("three", "oidc")):
        accounts.oauth.register(name, **provider.register_kwargs(protocol))
    app = Flask("site")
    app.config.update(SECRET_KEY="for this test", TESTING=True, SQLALCHEMY_DATABASE_URI=url)
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = engine or {}
    db.init_app(app)
    manager = LoginManager(app)
    parse = uuid.UUID if kind == "uuid" else int if kind == "integer" else str
    manager.user_loader(lambda key: db.session.get(user_model, parse(key)))
    accounts.init_app(app)
    app.register_blueprint(create_blueprint(), url_prefix="/auth")

    @app.get("/me")
    @login_required
    def me() -> Any:
        return {"user": str(current_user.pk), "name": current_oauth.two.get("me").json()["name"]}

    return Site(app, db, user_model, accounts)


@pytest.fixture
def make_site(oauth_provider: DevProvider) -> Iterator[Callable[..., Site]]:
    made: list[Site] = []

    def make(url: str, *, create: bool = True, **options: Any) -> Site:
        made.append(create_site(oauth_provider, url, **options))
        if create:
            with made[-1].app.app_context():
                made[-1].db.create_all()
        return made[-1]

    yield make
    for site in made:
        site.close()


@pytest.fixture
def site(make_site: Callable[..., Site], sqlite_url: str) -> Site:
    return make_site(sqlite_url)


@pytest.mark.parametrize("kind", list(KEYS))
def test_users_of_any_key_log_in_and_use_their_tokens(
    make_site: Callable[..., Site], database_url: str, kind: str, oauth_provider: DevProvider
) -> None:
    """An application whose users have another kind of key could not use the package at all."""
    site = make_site(database_url, kind=kind)
    browser = site.app.test_client()
    oauth_login(browser, "two", provider=oauth_provider)
    shown = browser.get("/me").get_json()
    assert shown["name"] == "Alice Ardent"
    with site.app.app_context():
        user = site.db.session.scalars(sa.select(site.user_model)).one()
        assert str(user.pk) == shown["user"]
        assert user.email == "alice@example.com"
        for given in (user, user.pk, str(user.pk)):
            assert current_oauth.two.for_user(given).get("me").json()["name"] == "Alice Ardent"
        models = site.accounts.models
        stored = site.db.session.scalars(sa.select(models.OAuth2Token)).one()
        assert stored.user_id == user.pk
        assert stored.to_token()["access_token"]
        identity = site.db.session.scalars(sa.select(models.OAuthIdentity)).one()
        assert identity.user_id == user.pk
    again = site.app.test_client()
    oauth_login(again, "two", provider=oauth_provider)
    assert again.get("/me").get_json()["user"] == shown["user"]


def create_own_models(db: SQLAlchemy, user_model: Any) -> dict[str, Any]:
    def owner() -> Any:
        return mapped_column(sa.ForeignKey("people.pk", ondelete="CASCADE"))

    class Account(OAuthIdentityMixin, db.Model):
        __tablename__ = "my_account"
        user_id: Mapped[int] = owner()
        note: Mapped[str | None] = mapped_column(sa.String(50), default="mine")

    class Token1(OAuth1TokenMixin, db.Model):
        __tablename__ = "my_token1"
        __identity_table__ = "my_account"
        user_id: Mapped[int] = owner()

    class Token2(OAuth2TokenMixin, db.Model):
        __tablename__ = "my_token2"
        __identity_table__ = "my_account"
        user_id: Mapped[int] = owner()
        used: Mapped[int] = mapped_column(default=0)

    class Happening(OAuthEventMixin, db.Model):
        __tablename__ = "my_event"
        user_id: Mapped[int | None] = mapped_column()

    return {"OAuthIdentity": Account, "OAuth1Token": Token1, "OAuth2Token": Token2, "OAuthEvent": Happening}


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(lambda classes: classes, id="mapping"),
        pytest.param(lambda classes: SimpleNamespace(**classes), id="namespace"),
        pytest.param(lambda classes: tuple(classes.values()), id="tuple"),
    ],
)
def test_own_classes_with_own_columns_are_used(
    make_site: Callable[..., Site], database_url: str, form: Callable[..., Any], oauth_provider: DevProvider
) -> None:
    """Whoever wants columns of their own could not have them."""
    site = make_site(database_url, models=lambda db, user: form(create_own_models(db, user)))
    browser = site.app.test_client()
    oauth_login(browser, "two", provider=oauth_provider)
    oauth_login(site.app.test_client(), "one", "bob", provider=oauth_provider)
    assert browser.get("/me").get_json()["name"] == "Alice Ardent"
    assert {"my_account", "my_token1", "my_token2", "my_event", "people"} == set(site.db.metadata.tables)
    with site.app.app_context():
        models = site.accounts.models
        account = site.db.session.scalars(sa.select(models.OAuthIdentity)).first()
        assert account.note == "mine"
        token = site.db.session.scalars(sa.select(models.OAuth2Token)).one()
        assert token.used == 0
        assert token.access_token in oauth_provider.issued_secrets()
        assert models.OAuth2Token.save(account.user_id, "two", {"access_token": "x"}, "other").access_token == "x"


def test_a_class_without_its_mixin_is_named() -> None:
    """The fault would come up at the first login, as an AttributeError."""
    db, user_model = create_database()
    classes = create_own_models(db, user_model)
    with pytest.raises(ConfigurationError, match="OAuth2Token, a class with OAuth2TokenMixin"):
        OAuthAccounts(OAuth(), db=db, user_model=user_model, models={**classes, "OAuth2Token": user_model})


# -- in which order ----------------------------------------------------------------------------------------------------


def test_a_missing_user_model_is_said() -> None:
    """The developer would have to guess which of two arguments is missing."""
    with pytest.raises(ConfigurationError, match=r"OAuthAccounts\(oauth, db=db, user_model=User\)"):
        OAuthAccounts(OAuth(), db=SQLAlchemy())


def test_a_database_that_comes_too_late_is_said() -> None:
    """The order of two lines would cost an afternoon."""
    db, user_model = create_database()
    app = Flask("late")
    app.config.update(SECRET_KEY="for this test", SQLALCHEMY_DATABASE_URI="sqlite://")
    with pytest.raises(ConfigurationError, match=r"call db.init_app\(app\) before accounts.init_app\(app\)"):
        OAuthAccounts(OAuth(), db=db, user_model=user_model).init_app(app)


def test_a_second_init_app_is_said(site: Site) -> None:
    """Two vaults for one application would refresh one token twice."""
    with pytest.raises(ConfigurationError, match="set up on this application already"):
        site.accounts.init_app(site.app)


def test_a_missing_secret_key_is_said() -> None:
    """Tokens would be sealed with nothing."""
    db, user_model = create_database()
    app = Flask("open")
    app.config.update(SQLALCHEMY_DATABASE_URI="sqlite://")
    db.init_app(app)
    with pytest.raises(ConfigurationError, match="SECRET_KEY is not set"):
        OAuthAccounts(OAuth(), db=db, user_model=user_model).init_app(app)


def test_flask_login_may_come_later(oauth_provider: DevProvider, sqlite_url: str) -> None:
    """An application that calls ``login_manager.init_app`` last would have no users."""
    db, user_model = create_database()
    accounts = OAuthAccounts(OAuth(), db=db, user_model=user_model)
    accounts.oauth.register("two", **oauth_provider.register_kwargs("oauth2"))
    app = Flask("later")
    app.config.update(SECRET_KEY="for this test", TESTING=True, SQLALCHEMY_DATABASE_URI=sqlite_url)
    db.init_app(app)
    accounts.init_app(app)
    app.register_blueprint(create_blueprint())
    manager = LoginManager()
    manager.user_loader(lambda key: db.session.get(user_model, int(key)))
    manager.init_app(app)
    with app.app_context():
        db.create_all()
    browser = app.test_client()
    oauth_login(browser, "two", provider=oauth_provider)
    assert browser.get("/accounts").status_code == 200
    Site(app, db, user_model, accounts).close()


def test_users_that_flask_login_cannot_log_in_are_refused_before_anything_is_stored(
    oauth_provider: DevProvider, sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A model without ``UserMixin`` would collect users of whom none can ever log in."""

    class Base(DeclarativeBase):
        pass

    db = SQLAlchemy(model_class=Base)

    class Member(db.Model):
        id: Mapped[int] = mapped_column(primary_key=True)

    accounts = OAuthAccounts(OAuth(), db=db, user_model=Member)
    accounts.oauth.register("two", **oauth_provider.register_kwargs("oauth2"))
    app = Flask("plain")
    app.config.update(SECRET_KEY="for this test", TESTING=True, SQLALCHEMY_DATABASE_URI=sqlite_url)
    db.init_app(app)
    accounts.init_app(app)
    app.register_blueprint(create_blueprint())
    assert app.test_client().get("/login/two").status_code == 503
    assert "let Member inherit from flask_login.UserMixin" in caplog.text
    Site(app, db, Member, accounts).close()


def test_a_user_of_another_class_is_refused_with_a_sentence(site: Site) -> None:
    """The rows of user 1 of one table would be shown to user 1 of another one."""

    class Admin(UserMixin, site.db.Model):
        __tablename__ = "admins"
        id: Mapped[int] = mapped_column(primary_key=True)

    with site.app.app_context(), pytest.raises(ConfigurationError, match=r"is a Admin.*accounts of User"):
        site.app.extensions["flask_oauth_accounts"].accounts.identify(Admin(id=1))


def test_a_wrapper_of_the_applications_own_is_understood(site: Site) -> None:
    """Applications whose Flask-Login user is no model could not use the package."""

    class Wrapper(UserMixin):
        id = 7

    with site.app.app_context():
        assert site.app.extensions["flask_oauth_accounts"].accounts.identify(Wrapper()) == 7


# -- migrations --------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:'get_engine' is deprecated:DeprecationWarning")  # Flask-Migrate's own env.py
@pytest.mark.parametrize("kind", list(KEYS))
def test_a_generated_migration_runs_unedited_and_leaves_nothing_to_do(
    make_site: Callable[..., Site], database_url: str, tmp_path: Path, oauth_provider: DevProvider, kind: str
) -> None:
    """An operator would have to write the migration by hand, or get a new one each time."""
    site = make_site(database_url, create=False, kind=kind)
    Migrate(site.app, site.db, directory=str(tmp_path / "migrations"))
    with site.app.app_context():
        init()
        env = tmp_path / "migrations" / "env.py"
        # Its own logging would take the place of that of all other tests in this process.
        env.write_text(env.read_text().replace("fileConfig(config.config_file_name)", "pass"))
        migrate(message="accounts")
        (script,) = (tmp_path / "migrations" / "versions").glob("*.py")
        assert "flask_oauth_accounts" not in script.read_text()
        upgrade()
        tables = set(sa.inspect(site.db.engine).get_table_names())
        assert {"oauth_identity", "oauth1_token", "oauth2_token", "oauth_event"} < tables
        migrate(message="nothing")
    assert len(list((tmp_path / "migrations" / "versions").glob("*.py"))) == 1
    assert oauth_login(site.app.test_client(), "two", provider=oauth_provider).status_code == 302
    result = site.app.test_cli_runner().invoke(args=["oauth", "db", "check"])
    assert "up to date" in result.output


# -- tokens ------------------------------------------------------------------------------------------------------------


def test_the_stored_token_belongs_to_the_current_user(site: Site, oauth_provider: DevProvider) -> None:
    """One user's call would be made with another user's token."""

    @site.app.get("/token")
    def token() -> Any:
        found = site.accounts.fetch_token("two")
        return {"found": found is not None, "same": found == current_oauth.two.token}

    @site.app.post("/token")
    def store() -> Any:
        assert current_oauth.two.token["access_token"] != "new"
        site.accounts.update_token("two", {"access_token": "new"})
        return {"token": current_oauth.two.token["access_token"]}

    browsers = {user: site.app.test_client() for user in ("alice", "bob")}
    for user, browser in browsers.items():
        oauth_login(browser, "two", user, provider=oauth_provider)
    for user, browser in browsers.items():
        assert browser.get("/me").get_json()["name"].lower().startswith(user)

    assert site.app.test_client().get("/token").get_json()["found"] is False
    assert browsers["bob"].get("/token").get_json() == {"found": True, "same": True}
    assert browsers["bob"].post("/token").get_json() == {"token": "new"}
    with site.app.app_context():
        assert site.accounts.fetch_token("two", 2)["access_token"] == "new"
        assert site.accounts.fetch_token("two", 1)["access_token"] != "new"
        assert site.accounts.fetch_token("two") is None
        assert site.accounts.fetch_token("nope", 1) is None
        with pytest.raises(MissingTokenError):
            site.accounts.update_token("two", {"access_token": "new"})


def test_the_memo_is_kept_by_client_user_and_account(site: Site, oauth_provider: DevProvider) -> None:
    """In a job that goes through users the second one would be answered with the first one's data."""
    for user in ("alice", "bob"):
        oauth_login(site.app.test_client(), "two", user, provider=oauth_provider)
        oauth_login(site.app.test_client(), "three", user, provider=oauth_provider)
    subjects = {name: user.subject for name, user in oauth_provider.users.items()}
    with site.app.app_context():
        accounts = site.app.extensions["flask_oauth_accounts"].accounts
        second = accounts.store.load(2, "two", protocol="oauth2").token
        accounts.vault.save(1, "two", second, subjects["bob"], protocol="oauth2")
    with site.app.app_context():
        for _ in range(2):
            seen = {
                (name, user, account): getattr(current_oauth, name).for_user(user, account).get("me").json()["name"]
                for name, user, account in [
                    ("two", 1, None),
                    ("two", 1, subjects["alice"]),
                    ("two", 1, subjects["bob"]),
                    ("two", 2, None),
                    ("three", 1, None),
                    ("three", 2, None),
                ]
            }
            assert [name.split()[0] for name in seen.values()] == ["Bob", "Alice", "Bob", "Bob", "Alice", "Bob"]


def test_a_user_is_known_by_key_whatever_flask_login_calls_them(site: Site, oauth_provider: DevProvider) -> None:
    """``for_user(current_user)`` would use another user's token, whose key the text of ``get_id()`` happens to be."""
    users = site.user_model

    @site.app.get("/names")
    @login_required
    def names() -> list[str]:
        givens = (current_user, current_user._get_current_object(), current_user.pk, f" {current_user.pk}")
        clients = [site.accounts.oauth.two, *(site.accounts.oauth.two.for_user(given) for given in givens)]
        assert len({client.token["access_token"] for client in clients}) == 1
        return [client.get("me").json()["name"] for client in clients]

    for name in ("alice", "bob"):
        oauth_login(site.app.test_client(), "two", name, provider=oauth_provider)
    with site.app.app_context():
        site.db.session.execute(sa.update(users).values(nick=sa.cast(3 - users.pk, sa.String)))  # each the other's key
        site.db.session.commit()
    users.get_id = lambda user: user.nick
    manager: Any = vars(site.app)["login_manager"]
    manager.user_loader(lambda text: site.db.session.scalar(sa.select(users).filter_by(nick=text)))
    browser = site.app.test_client()
    oauth_login(browser, "two", "alice", provider=oauth_provider)
    assert browser.get("/names").get_json() == ["Alice Ardent"] * 5


def test_what_can_be_no_user_has_no_token(site: Site) -> None:
    """A number from an address would end a page with an error of the database's driver."""
    with site.app.test_request_context():
        for given in (10**30, "1.0", "", None, site.user_model(), current_user):
            assert current_oauth.two.for_user(given).token is None
            with pytest.raises(MissingTokenError):
                current_oauth.two.for_user(given).get("me")


def test_an_application_without_accounts_is_told_so(site: Site) -> None:
    """A second application that shares the models would fail with an AttributeError from inside the package."""
    other = Flask("other")
    other.config.update(SECRET_KEY="for this test", TESTING=True)
    OAuth(other)
    token = {"access_token": "a"}
    for use in (
        lambda: site.accounts.models.OAuth2Token.save(1, "two", token),
        lambda: site.accounts.fetch_token("two", 1),
        lambda: site.accounts.connections(1),
    ):
        with other.app_context(), pytest.raises(ConfigurationError, match=r"accounts\.init_app"):
            use()


def test_a_thread_and_a_command_need_an_app_context_only(site: Site, oauth_provider: DevProvider) -> None:
    """Jobs have no request; they could not use the tokens."""
    oauth_login(site.app.test_client(), "two", provider=oauth_provider)
    names: list[str] = []

    def work() -> None:
        with site.app.app_context():
            names.append(current_oauth.two.for_user(1).get("me").json()["name"])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    @site.app.cli.command("who")
    @with_appcontext
    def who() -> None:
        click.echo(current_oauth.two.for_user(1).get("me").json()["name"])

    assert names == ["Alice Ardent"]
    assert site.app.test_cli_runner().invoke(args=["who"]).output == "Alice Ardent\n"


@pytest.mark.parametrize("bound", [True, False])
def test_a_stored_token_that_is_revoked_by_the_application_is_marked(
    site: Site, oauth_provider: DevProvider, bound: bool
) -> None:
    """The grant would have ended at the provider, and the user's page go on showing a working connection."""
    told: list[str] = []

    @site.app.post("/end")
    def end() -> Any:
        client = site.accounts.oauth.two.for_user(current_user) if bound else site.accounts.oauth.two
        assert client.revoke_token() is True
        with pytest.raises(ReauthorizationRequired):
            client.get("me")
        return {"status": [connection.status for connection in site.accounts.connections(current_user)]}

    browser = site.app.test_client()
    oauth_login(browser, "two", provider=oauth_provider)
    with signals.token_revoked.connected_to(lambda sender, **values: told.append(values["account"]), site.app):
        assert browser.post("/end").get_json() == {"status": ["revoked"]}
    assert told == ["dev-1001"]
    with site.app.app_context():
        (event,) = site.app.extensions["flask_oauth_accounts"].accounts.store.list_events(kind="revoked")
    assert (event.event.outcome, event.event.account) == ("success", "dev-1001")


ONE_CONNECTION = {"pool_size": 1, "max_overflow": 0, "pool_timeout": 1}


def test_a_signal_needs_no_connection_of_the_applications_pool(
    make_site: Callable[..., Site], database_url: str, oauth_provider: DevProvider
) -> None:
    """Where the pool is used up, each refresh would wait for it, and the application would never hear of the token."""
    site = make_site(database_url, engine=ONE_CONNECTION)
    oauth_login(site.app.test_client(), "two", provider=oauth_provider)
    with site.app.app_context():
        site.db.session.execute(sa.update(site.accounts.models.OAuth2Token).values(expires_at=1))
        site.db.session.commit()
    heard: list[Any] = []

    def receive(sender: Any, *, user: Any, **values: Any) -> None:
        heard.append((user.email, user in site.db.session))

    with site.app.app_context(), signals.token_update.connected_to(receive, site.app), site.db.engine.connect():
        assert current_oauth.two.for_user(1).get("me").json()["name"] == "Alice Ardent"
        assert heard == [("alice@example.com", True)]


def test_a_sign_up_beside_a_snapshot_needs_one_connection(
    make_site: Callable[..., Site], database_url: str, oauth_provider: DevProvider
) -> None:
    """A visitor would be told that nothing works, after the account has been made, where the pool is used up."""
    site = make_site(database_url, engine=ONE_CONNECTION)

    @site.app.before_request
    def look_at_the_users() -> None:
        site.db.session.scalars(sa.select(site.user_model)).all()

    for name in ("alice", "bob"):
        browser = site.app.test_client()
        oauth_login(browser, "two", name, provider=oauth_provider)
        assert browser.get("/me").get_json()["name"].lower().startswith(name)


def test_a_user_is_forgotten_here_and_at_the_providers(site: Site, oauth_provider: DevProvider) -> None:
    """Who deletes the account would leave grants alive at the providers, and data here."""
    for name in ("two", "three"):
        oauth_login(site.app.test_client(), name, provider=oauth_provider)
    oauth_login(site.app.test_client(), "one", "bob", provider=oauth_provider)
    with site.app.app_context():
        secrets = [site.accounts.fetch_token(name, 1)["access_token"] for name in ("two", "three")]
        user = site.db.session.get(site.user_model, 1)
        forgotten = site.accounts.forget_user(user)
        assert forgotten.tokens == 2
        assert forgotten.revoked == 2
        assert all(oauth_provider.state.find_access_token(secret) is None for secret in secrets)
        store = site.app.extensions["flask_oauth_accounts"].accounts.store
        assert store.list_for_user(1) == []
        assert store.tokens_for_user(1) == []
        assert len(store.list_for_user(2)) == 1
        assert site.db.session.get(site.user_model, 1) is not None, "the user's own row is the application's"
        assert site.accounts.forget_user("2").tokens == 1
        assert site.accounts.forget_user(99).tokens == 0


def test_a_provider_that_is_down_does_not_keep_a_user_from_being_forgotten(
    site: Site, oauth_provider: DevProvider
) -> None:
    """The right to be forgotten would depend on somebody else's server."""
    oauth_login(site.app.test_client(), "two", provider=oauth_provider)
    oauth_provider.stop()
    with site.app.app_context():
        forgotten = site.accounts.forget_user(1)
        assert (forgotten.tokens, forgotten.revoked) == (1, 0)
        assert site.app.extensions["flask_oauth_accounts"].accounts.store.tokens_for_user(1) == []
