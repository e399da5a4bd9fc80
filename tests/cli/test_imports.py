"""``flask oauth import``: from tables as Flask-Dance and python-social-auth leave them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask_dance.consumer.storage.sqla import OAuthConsumerMixin
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase

from flask_oauth_accounts import oauth_bp
from flask_oauth_accounts.identity import Identity
from flask_oauth_accounts.protocols import Event
from flask_oauth_accounts.storage.legacy import LegacyTable
from flask_oauth_accounts.testing import DevProvider

SECRETS = ("dance-access", "dance-refresh", "social-access", "social-refresh", "o1-token", "o1-secret")
LATER = 4_000_000_000


class Import:
    """An application of way A on a database that an older one has used."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        with app.app_context():
            self.store.count_tokens("oauth2")  # makes the tables
            self.engine = self.accounts.db.engine
            db = self.accounts.db
            db.session.add_all([self.accounts.user_model() for _ in range(3)])
            db.session.commit()
            db.session.remove()

    @property
    def accounts(self) -> Any:
        return self.app.extensions["flask_oauth_accounts"].accounts

    @property
    def store(self) -> Any:
        return self.accounts.store

    def run(self, *arguments: str, code: int = 0) -> str:
        result = self.app.test_cli_runner().invoke(args=["oauth", "import", *arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        assert not [secret for secret in SECRETS if secret in result.output]
        return str(result.output)

    def load(self, user_id: int, name: str, account: str | None = None, protocol: str = "oauth2") -> Any:
        with self.app.app_context():
            return self.store.load(user_id, name, account, protocol=protocol)

    def identities(self) -> list[tuple[Any, ...]]:
        with self.app.app_context():
            found = [item for user in (1, 2, 3) for item in self.store.list_for_user(user)]
        return [(item.user_id, item.identity.name, item.identity.subject, item.can_log_in) for item in found]


@pytest.fixture
def site(database_url: str, oauth_provider: DevProvider, tmp_path: Any) -> Iterator[Import]:
    app = Flask("site", instance_path=str(tmp_path))
    app.config.update(
        SECRET_KEY="for this test",
        TESTING=True,
        SQLALCHEMY_DATABASE_URI=database_url,
        OAUTH_ACCOUNTS_AUTO_MIGRATE=True,
        OAUTH_ACCOUNTS_PROVIDERS="one,two,github",
        GITHUB_CLIENT_ID="id",
        GITHUB_CLIENT_SECRET="secret",
        **oauth_provider.oauth1_config("ONE"),
        **oauth_provider.oauth2_config("TWO"),
    )
    app.register_blueprint(oauth_bp)
    site = Import(app)
    yield site
    with app.app_context():
        site.store.dispose()
        site.engine.dispose()


@pytest.fixture
def dance(site: Import) -> Callable[..., None]:
    """Make Flask-Dance's own table, with its own mixin, and add a row."""

    class Base(DeclarativeBase):
        pass

    db = SQLAlchemy(model_class=Base)

    class OAuth(OAuthConsumerMixin, db.Model):
        __tablename__ = "flask_dance_oauth"
        provider_user_id = sa.Column(sa.String(256))
        user_id = sa.Column(sa.Integer)

    Base.metadata.create_all(site.engine)

    def add(provider: str, token: Any, user_id: Any, subject: str | None = None) -> None:
        with sa.orm.Session(site.engine) as session:
            made = datetime(2020, 1, 1)
            row = OAuth(provider=provider, token=token, user_id=user_id, provider_user_id=subject, created_at=made)
            session.add(row)
            session.commit()

    return add


@pytest.fixture
def social(site: Import) -> Callable[..., None]:
    """Make the table of python-social-auth as its Django and SQLAlchemy storages do, and add a row."""
    metadata = sa.MetaData()
    table = sa.Table(
        "social_auth_usersocialauth",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("provider", sa.String(32)),
        sa.Column("uid", sa.String(255)),
        sa.Column("extra_data", sa.Text),
        sa.Column("user_id", sa.Integer),
    )
    metadata.create_all(site.engine)

    def add(provider: str, uid: str, extra: Any, user_id: Any) -> None:
        with site.engine.begin() as connection:
            values = {"provider": provider, "uid": uid, "extra_data": json.dumps(extra), "user_id": user_id}
            connection.execute(sa.insert(table).values(values))

    return add


DANCE = {"access_token": "dance-access", "token_type": "bearer", "scope": ["repo", "user"], "expires_at": float(LATER)}
SOCIAL = {"access_token": "social-access", "refresh_token": "social-refresh", "expires": 3600, "auth_time": LATER}


def test_flask_dances_tokens_work_here(site: Import, dance: Callable[..., None]) -> None:
    """Users would have to connect again, for nothing but a change of library."""
    dance("github", {**DANCE, "refresh_token": "dance-refresh"}, 1)
    dance("one", {"oauth_token": "o1-token", "oauth_token_secret": "o1-secret"}, 2)
    dance("two", {"access_token": "dance-access", "expires_in": 3600}, 3, "42")
    output = site.run("flask-dance")
    assert "1 identities and 3 tokens imported, 0 rows were here already, 0 cannot be imported" in output
    assert "2 of the tokens are for API calls only" in output
    stored = site.load(1, "github")
    assert stored.token == {
        "access_token": "dance-access",
        "refresh_token": "dance-refresh",
        "token_type": "bearer",
        "scope": "repo user",
        "expires_at": LATER,
    }
    assert site.load(2, "one", protocol="oauth1").token == {
        "oauth_token": "o1-token",
        "oauth_token_secret": "o1-secret",
    }
    third = site.load(3, "two", "42")
    assert third.expires_at == 1_577_836_800 + 3600, "a lifetime counts from when the row was written"
    assert site.identities() == [(3, "two", "42", True)]
    assert third.identity_id is not None
    with site.engine.connect() as connection:
        raw = connection.execute(sa.text("SELECT access_token FROM oauth2_token")).scalars().all()
    assert all("dance-access" not in value for value in raw)


def test_social_auths_accounts_log_in_here(site: Import, social: Callable[..., None]) -> None:
    """A user of the old login would become a second user at the first new one."""
    social("github", "583231", SOCIAL, 1)
    social("one", "77", {"access_token": {"oauth_token": "o1-token", "oauth_token_secret": "o1-secret"}}, 2)
    social("two", "88", {}, 3)
    social("two", "99", json.dumps({"access_token": "social-access"}), 3)
    output = site.run("social-auth")
    assert "4 identities and 3 tokens imported" in output
    assert site.identities() == [
        (1, "github", "583231", True),
        (2, "one", "77", True),
        (3, "two", "88", True),
        (3, "two", "99", True),
    ]
    stored = site.load(1, "github", "583231")
    assert (stored.token["refresh_token"], stored.expires_at) == ("social-refresh", LATER + 3600)
    with site.app.app_context():
        (record,) = site.store.list_for_user(1)
        client = site.accounts.oauth.create_client("github")
        assert record.identity.issuer == client.account_issuer == "https://github.com/login/oauth"
        assert site.store.load(3, "two", "88", protocol="oauth2") is None
        assert [item.event.kind for item in site.store.list_events(user_id=1)] == ["import"]


def test_an_imported_account_logs_in_the_same_user(
    site: Import, social: Callable[..., None], oauth_provider: DevProvider
) -> None:
    """The import would be of no use if the next login did not find it."""
    social("two", oauth_provider.users["alice"].subject, {}, 2)
    site.run("social-auth")
    browser = site.app.test_client()
    callback = oauth_provider.authorize(browser.get("/login/two").headers["Location"], "alice")
    assert browser.get(str(callback)).status_code == 302
    with browser.session_transaction() as session:
        assert session["_user_id"] == "2"


def test_a_second_import_changes_nothing(site: Import, social: Callable[..., None], dance: Callable[..., None]) -> None:
    """An import that is run again would put old tokens in the place of rotated ones."""
    social("github", "583231", SOCIAL, 1)
    dance("two", DANCE, 2)
    site.run("social-auth")
    site.run("flask-dance")
    with site.app.app_context():
        stored = site.load(1, "github")
        newer = {"access_token": "newer", "refresh_token": "newer"}
        site.accounts.vault.save(1, "github", newer, stored.account, protocol="oauth2")
    assert "0 identities and 0 tokens imported, 1 rows were here already" in site.run("social-auth")
    assert "0 identities and 0 tokens imported, 1 rows were here already" in site.run("flask-dance")
    assert site.load(1, "github").token["access_token"] == "newer"


def test_an_imported_token_takes_no_live_tokens_place(site: Import, dance: Callable[..., None]) -> None:
    """An application would speak with a token of last year, although its user has just logged in."""
    live = {"access_token": "live"}
    with site.app.app_context():
        site.accounts.vault.save(1, "two", live, "42", protocol="oauth2")
    for user in (1, 2):
        dance("two", DANCE, user)
    assert "1 tokens imported, 1 rows were here already" in site.run("flask-dance")
    with site.app.app_context():
        identity = Identity("two", "https://two.example", "43")
        site.store.record_login(
            identity, protocol="oauth2", token=live, requested_scope=None, kind="login", user_id=2, now=1
        )
    assert [site.load(user, "two").token["access_token"] for user in (1, 2)] == ["live", "live"]


def test_what_a_user_has_disconnected_does_not_come_back(
    site: Import, social: Callable[..., None], dance: Callable[..., None]
) -> None:
    """Somebody would be connected again, and could be logged in by an account that is given up."""
    social("github", "583231", SOCIAL, 1)
    dance("github", DANCE, 1)
    dance("github", DANCE, 2)
    for command in ("social-auth", "flask-dance"):
        site.run(command)
    with site.app.app_context():
        (record,) = site.store.list_for_user(1)
        event = Event("disconnect", "success", "github", 1, record.id, "583231")
        assert site.store.delete_identity(record.id, 1, event=event)
    for command in ("social-auth", "flask-dance"):
        output = site.run(command)
        assert "0 identities and 0 tokens imported" in output
        assert "1 rows are left out because their users have disconnected the account here" in output
    assert site.identities() == []
    assert site.load(1, "github") is None


def test_a_time_is_told_from_a_lifetime(site: Import, social: Callable[..., None]) -> None:
    """A token that has expired would count as valid for half a century, and never be refreshed."""
    ways: list[dict[str, Any]] = [{"expires": LATER}, {"expires_on": str(LATER)}, {"expires_in": 60, "expires": None}]
    for number, extra in enumerate(ways):
        social("github", str(number), {"access_token": "social-access", "auth_time": LATER - 60, **extra}, 1)
    site.run("social-auth")
    assert [site.load(1, "github", str(number)).expires_at for number in range(3)] == [LATER] * 3


def test_odd_rows_stop_nothing(site: Import, dance: Callable[..., None]) -> None:
    """One broken row would keep all accounts behind it from being imported, whenever the command is run."""
    name = "long" * 30
    with site.app.app_context():
        site.accounts.oauth.register(name, client_id="id", client_secret="s", authorize_url="https://p.example/a")
    refuses = site.engine.dialect.name != "sqlite"  # which looks neither at lengths nor at types
    odd: list[dict[str, Any]] = [
        {"expires_at": 1e30},
        {"expires_in": 10**40},
        {"scope": "repo \x1b[31m"},
        {"scope": ["a b", 7]},
        {"scope": {}},
    ]
    for number, values in enumerate(odd):
        dance("two", {**DANCE, **values}, 1, str(number))
    dance("long", DANCE, 2)
    dance("github", DANCE, 3)
    if not refuses:
        with site.engine.begin() as connection:
            connection.execute(sa.text("UPDATE flask_dance_oauth SET created_at = 'long ago' WHERE user_id = 3"))
    output = site.run("flask-dance", "--map", f"long={name}", code=int(refuses))
    assert f"{6 if refuses else 7} tokens imported" in output
    assert ("row 6 (long, user 2): " in output) == refuses
    assert site.load(3, "github").token["access_token"] == "dance-access"
    assert site.load(1, "two", "0").expires_at == 10**11


def test_many_rows_that_cannot_be_imported_are_counted_by_reason(site: Import, social: Callable[..., None]) -> None:
    """A hundred thousand lines would hide the one that matters."""
    for number in range(30):
        social("github", f"user{number}@example.com", SOCIAL, 1)
    social("nope", "1", SOCIAL, 1)
    output = site.run("social-auth", code=1)
    assert "31 cannot be imported" in output
    assert output.count("\nrow ") == 20
    assert "30 times: it names an e-mail address" in output
    assert "1 times: no client 'nope' is registered" in output


def test_a_dry_run_writes_nothing(site: Import, social: Callable[..., None]) -> None:
    """An operator who looks first would have done it already."""
    social("github", "583231", SOCIAL, 1)
    social("nope", "1", SOCIAL, 1)
    output = site.run("social-auth", "--dry-run", code=1)
    assert "1 identities and 1 tokens would be imported" in output
    assert "row 2 (nope, user 1)" in output
    assert site.identities() == []
    assert site.load(1, "github") is None


def test_rows_that_cannot_be_imported_are_listed_with_the_reason(site: Import, social: Callable[..., None]) -> None:
    """Accounts would be lost without anybody knowing."""
    social("google-oauth2", "1", SOCIAL, 1)
    social("github", "2", SOCIAL, 4711)
    social("github", "alice@example.com", SOCIAL, 1)
    social("github", "3", SOCIAL, None)
    social("github", "583231", SOCIAL, 1)
    social("github", "583231", SOCIAL, 2)
    output = site.run("social-auth", code=1)
    assert "1 identities and 1 tokens imported" in output
    assert "5 cannot be imported" in output
    assert (
        "row 1 (google-oauth2, user 1): no client 'google-oauth2' is registered; say --map google-oauth2=NAME" in output
    )
    assert "row 2 (github, user 4711): there is no such user" in output
    assert "row 3 (github, user 1): it names an e-mail address" in output
    assert "row 4 (github, user None): it has no user" in output
    assert "row 6 (github, user 2): the provider account belongs to another user here" in output


def test_a_token_without_anything_in_it_is_listed(site: Import, dance: Callable[..., None]) -> None:
    """An empty row would stop the import of all later ones."""
    dance("github", {}, 1)
    dance("github", {"error": "x", "access_token": None}, 2)
    dance("github", DANCE, 3)
    output = site.run("flask-dance", code=1)
    assert "1 tokens imported" in output
    assert output.count("it has no usable token") == 2


def test_names_are_mapped(site: Import, social: Callable[..., None]) -> None:
    """The other package calls the providers differently."""
    social("github-org", "583231", SOCIAL, 1)
    site.run("social-auth", "--map", "github-org=github")
    assert site.identities() == [(1, "github", "583231", True)]
    assert "is no OLD=NEW" in site.run("social-auth", "--map", "github", code=2)


def test_a_name_that_occurs_nowhere_is_refused(site: Import, social: Callable[..., None]) -> None:
    """A typing error would import the rows under another name, or none at all, and report success."""
    social("github", "583231", SOCIAL, 1)
    output = site.run("social-auth", "--map", "gihub=two", code=2)
    assert "has no row of 'gihub', but of github" in output
    assert site.identities() == []


@pytest.mark.parametrize(
    ("name", "other", "subject"),
    [
        ("bitbucket", "{5c6f6ea2-0a71-4a5b-9ac0-0d1ff6d0a0ae}", "557058:5c6f6ea2-0a71-4a5b-9ac0-0d1ff6d0a0ae"),
        ("microsoft", "87d349ed-44d7-43e1-9a83-5f2406dee5bd", "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ"),
        ("microsoft", "48d31887-5fad-4d73-a9f5-3c356e68a038", "_" * 43),
        ("salesforce", "0058W00000ABCDE", "https://login.salesforce.com/id/00D8W000000ABCD/0058W00000ABCDE"),
        ("vimeo", "12345", "/users/12345"),
    ],
)
def test_another_id_of_an_account_is_not_taken_for_its_subject(
    site: Import, dance: Callable[..., None], name: str, other: str, subject: str
) -> None:
    """The import would report success, and each of these users become a second user at the first login."""
    oauth = site.accounts.oauth
    with site.app.app_context():
        issuer = {"issuer": "https://p.example"} if name == "microsoft" else {}
        oauth.register(name, client_id="id", client_secret="s", **issuer)
    dance(name, DANCE, 1, other)
    dance(name, DANCE, 2, subject)
    dance(name, {}, 3, other)
    output = site.run("flask-dance", code=1)
    assert "1 identities and 2 tokens imported" in output
    assert "1 of the tokens are for API calls only" in output
    assert "row 3" in output
    assert site.identities() == [(2, name, subject, True)]
    assert site.load(1, name, "").token["access_token"] == "dance-access"


def test_another_table_can_be_named_and_a_wrong_one_is_said(site: Import, dance: Callable[..., None]) -> None:
    """A class of another name has a table of another name."""
    dance("github", DANCE, 1)
    with site.engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE flask_dance_oauth RENAME TO my_tokens"))
    assert "no table flask_dance_oauth" in site.run("flask-dance", code=1)
    assert "no column provider" in site.run("flask-dance", "--table", "oauth_user", code=1)
    assert "1 tokens imported" in site.run("flask-dance", "--table", "my_tokens")


def test_an_interrupted_import_goes_on(
    site: Import, social: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the middle would leave doubles or gaps."""
    for number in range(6):
        social("github", str(number), SOCIAL, 1 + number % 3)
    calls: list[int] = []
    read = LegacyTable.read

    def interrupted(self: LegacyTable, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return read(self, **options)

    monkeypatch.setattr(LegacyTable, "read", interrupted)
    site.run("social-auth", "--batch", "2", code=1)
    monkeypatch.undo()
    assert len(site.identities()) == 4
    assert "2 identities and 2 tokens imported, 4 rows were here already" in site.run("social-auth", "--batch", "2")
    assert len(site.identities()) == 6
