"""The models: secrets are plain in Python and sealed in the database, whatever a host does with its rows."""

from __future__ import annotations

import pickle
import time
import uuid
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, Session, mapped_column, relationship

from flask_oauth_accounts.errors import ConfigurationError, SealedValueError
from flask_oauth_accounts.storage.models import (
    OAuth1TokenMixin,
    OAuth2TokenMixin,
    OAuthEventMixin,
    OAuthIdentityMixin,
    bind_sealer,
    bind_store,
    define_models,
    define_user,
    read_models,
)
from flask_oauth_accounts.storage.sqlalchemy import SQLAlchemyStore
from flask_oauth_accounts.tokens import TokenDict
from flask_oauth_accounts.vault.keys import Key, KeyRing

RING = KeyRing([Key("k1", b"1" * 32)])


def raw(host: Any, column: str, where: str = "1=1") -> Any:
    return host.scalar(f"SELECT {column} FROM oauth2_token WHERE {where}")


@pytest.fixture
def user(host: Any) -> Any:
    return host.add_user()


def test_the_seeds_own_code_works(host: Any, user: Any) -> None:
    """An application written after the documentation would have to be rewritten."""
    OAuth2Token = host.models.OAuth2Token
    with Session(host.engine) as session:
        token = {"access_token": "a-1", "refresh_token": "r-1", "expires_at": 0}
        item = session.scalars(sa.select(OAuth2Token).filter_by(name="github", user_id=user)).first()
        assert item is None
        item = OAuth2Token(name="github", user_id=user)
        item.token_type = token.get("token_type", "bearer")
        item.access_token = token.get("access_token")
        item.refresh_token = token.get("refresh_token")
        item.expires_at = token.get("expires_at")
        session.add(item)
        session.commit()
        assert item.to_token() == {"access_token": "a-1", "token_type": "bearer", "refresh_token": "r-1"}
    stored = host.store.load(user, "github", protocol="oauth2")
    assert stored.token == {"access_token": "a-1", "token_type": "bearer", "refresh_token": "r-1"}
    assert stored.status == "active"
    with Session(host.engine) as session:
        item = session.scalars(sa.select(OAuth2Token)).one()
        item.access_token = "a-2"
        assert item in session.dirty
        assert item.access_token == "a-2"
        session.commit()
    again = host.store.load(user, "github", protocol="oauth2")
    assert again.token["access_token"] == "a-2"
    assert again.version == stored.version + 1


def test_the_database_holds_ciphertext_only(host: Any, user: Any) -> None:
    """A stolen dump would be a stolen set of accounts."""
    host.store.save(user, "github", {"access_token": "plain-a", "refresh_token": "plain-r"}, protocol="oauth2", now=1)
    with Session(host.engine) as session:
        session.add(
            host.models.OAuth1Token(user_id=user, name="t", oauth_token="plain-t", oauth_token_secret="plain-s")
        )
        session.add(host.models.OAuth2Token(user_id=user, name="o", access_token="plain-a", id_token="plain-i"))
        session.commit()
    with host.engine.connect() as connection:
        for table in ("oauth1_token", "oauth2_token"):
            for row in connection.execute(sa.text(f"SELECT * FROM {table}")).mappings():
                assert "plain" not in str(dict(row))
                for name in ("access_token", "refresh_token", "oauth_token", "oauth_token_secret", "id_token"):
                    assert row.get(name) is None or row[name].startswith("v1.k1.")


@pytest.mark.parametrize("column", ["access_token", "refresh_token"])
def test_h04_a_value_copied_to_another_row_does_not_open(host: Any, user: Any, column: str) -> None:
    """Whoever can write to the database could give himself another user's token."""
    other = host.add_user()
    for owner in (user, other):
        values = {"access_token": f"a-{owner}", "refresh_token": f"r-{owner}"}
        host.store.save(owner, "github", values, "42", protocol="oauth2", now=1)
    with host.engine.begin() as connection:
        stolen = connection.execute(sa.text(f"SELECT {column} FROM oauth2_token WHERE user_id = {user}")).scalar()
        connection.execute(sa.text(f"UPDATE oauth2_token SET {column} = :v WHERE user_id = {other}"), {"v": stolen})
    stored = host.store.load(other, "github", protocol="oauth2")
    assert stored.unreadable
    assert stored.token == {}
    with Session(host.engine) as session:
        row = session.scalars(sa.select(host.models.OAuth2Token).filter_by(user_id=other)).one()
        with pytest.raises(SealedValueError):
            getattr(row, column)
    assert host.store.load(user, "github", protocol="oauth2").token["access_token"] == f"a-{user}"


def test_a_row_that_does_not_open_is_marked_and_comes_back_with_its_key(host: Any, user: Any) -> None:
    """Nobody sees which users have to connect again; or one start with a wrong key disconnects all of them for good."""
    host.store.save(user, "github", {"access_token": "a", "refresh_token": "r"}, protocol="oauth2", now=1)
    before = host.store.load(user, "github", protocol="oauth2")
    host.ring, ring = KeyRing([Key("k1", b"2" * 32)]), host.ring
    stranger = host.create_store()
    stored = stranger.load(user, "github", protocol="oauth2")
    assert stranger.mark_reauth_required(stored, error="sealed_value_unreadable")
    assert not stranger.mark_reauth_required(stored, error="sealed_value_unreadable")
    assert raw(host, "status") == "reauth_required"
    stranger.dispose()
    host.ring = ring
    back = host.store.load(user, "github", protocol="oauth2")
    assert (back.status, back.last_error, back.version) == ("active", None, before.version)
    assert host.store.claim(back, owner="me", now=2, lease=9) is not None
    assert raw(host, "status") == "active"


def test_the_lifetime_is_that_of_the_issue(host: Any, user: Any) -> None:
    """A token whose expiry was brought forward by hand is called late: a tenth of what is left is no time."""
    host.store.save(user, "github", {"access_token": "a", "expires_in": 3600}, protocol="oauth2", now=1000)
    with host.engine.begin() as connection:
        connection.execute(sa.text("UPDATE oauth2_token SET expires_at = 1030"))
    assert host.store.load(user, "github", protocol="oauth2").lifetime == 3600
    with Session(host.engine) as session:
        row = session.scalars(sa.select(host.models.OAuth2Token)).one()
        row.access_token, row.expires_at = "b", int(time.time()) + 100
        session.commit()
        row.expires_at -= 90
        session.commit()
    assert host.store.load(user, "github", protocol="oauth2").lifetime in range(98, 101)


@pytest.mark.parametrize("table", ["oauth1_token", "oauth2_token"])
def test_rows_written_by_hand_need_no_more_than_owner_and_client(host: Any, user: Any, table: str) -> None:
    """A script that takes rows over by SQL would have to know the columns of the refresh."""
    with host.engine.begin() as connection:
        connection.execute(sa.text(f"INSERT INTO {table} (user_id, name) VALUES ({user}, 'github')"))
        row = connection.execute(sa.text(f"SELECT account, status, version FROM {table}")).one()
    assert tuple(row) == ("", "active", 1)


@pytest.mark.parametrize("plain", ["gho_plaintext", "", "v1.k1.AAAA"])
def test_plain_text_in_the_database_is_never_used(host: Any, user: Any, plain: str) -> None:
    """A token that somebody has put there would be used as if it were ours."""
    host.store.save(user, "github", {"access_token": "a"}, protocol="oauth2", now=1)
    with host.engine.begin() as connection:
        connection.execute(sa.text("UPDATE oauth2_token SET access_token = :v"), {"v": plain})
    assert host.store.load(user, "github", protocol="oauth2").unreadable


@pytest.mark.parametrize(
    "change", [{"name": "gitlab"}, {"account": "43"}, {"user_id": None}, {"name": "x", "account": "y"}]
)
def test_a_moved_row_is_sealed_anew(host: Any, user: Any, change: dict[str, Any]) -> None:
    """Merging two users, or renaming a client, would make all their tokens unreadable."""
    change = {key: host.add_user() if value is None else value for key, value in change.items()}
    host.store.save(user, "github", {"access_token": "a", "refresh_token": "r"}, "42", protocol="oauth2", now=1)
    with Session(host.engine) as session:
        row = session.scalars(sa.select(host.models.OAuth2Token)).one()
        for key, value in change.items():
            setattr(row, key, value)
        session.commit()
        assert (row.access_token, row.refresh_token) == ("a", "r")
    place = {"user_id": user, "name": "github", "account": "42", **change}
    stored = host.store.load(place["user_id"], place["name"], place["account"], protocol="oauth2")
    assert (stored.token["access_token"], stored.token["refresh_token"]) == ("a", "r")


def test_a_token_that_is_assigned_revives_a_dead_row(host: Any, user: Any) -> None:
    """A user who has consented again would be sent to consent for ever where the application saves as the seed does."""
    store = host.store
    first = store.save(user, "github", {"access_token": "a", "refresh_token": "r"}, protocol="oauth2", now=1)
    with Session(host.engine) as session, Session(host.engine) as stale:
        before = stale.get(host.models.OAuth2Token, first.id)
        assert before.status == "active"
        stale.commit()
        claimed = store.claim(first, owner="me", now=1, lease=30)
        store.release(claimed, owner="me", error="server_error", retry_at=9e9, failures=3)
        assert store.mark_reauth_required(store.reload(first), error="invalid_grant")
        row = session.get(host.models.OAuth2Token, first.id)
        row.refresh_token = "r-2"
        session.commit()
        assert row.status == "reauth_required"
        for item, work in ((before, stale), (row, session)):
            store.mark_reauth_required(store.reload(first), error="invalid_grant")
            item.access_token = "a"
            work.commit()
            found = store.reload(first)
            assert (found.status, found.last_error, found.retry_at, found.failures) == ("active", None, None, 0)
            assert found.token["access_token"] == "a"
        store.mark_reauth_required(store.reload(first), error="invalid_grant")
        session.refresh(row)
        row.name = "moved"
        session.commit()
        assert row.status == "reauth_required"
        row.access_token, row.status = "b", "revoked"
        session.commit()
        assert row.status == "revoked"


def test_what_was_assigned_goes_with_a_merge(host: Any, user: Any) -> None:
    """A row that ``save`` has returned, changed and merged, would lose its token in the database."""
    host.store.save(user, "github", {"access_token": "a", "refresh_token": "r"}, protocol="oauth2", now=1)
    model = host.models.OAuth2Token
    with Session(host.engine, expire_on_commit=False) as session:
        detached = session.scalars(sa.select(model)).one()
    detached.access_token = "b"
    for row in (detached, model(user_id=user, name="gitlab", access_token="c")):
        with Session(host.engine) as session:
            session.merge(row)
            session.commit()
    with Session(host.engine) as session:
        found = {row.name: row.to_token() for row in session.scalars(sa.select(model))}
    assert found["github"] == {"access_token": "b", "refresh_token": "r", "token_type": "Bearer"}
    assert found["gitlab"] == {"access_token": "c"}
    assert "b" not in (str(vars(detached)["access_token_sealed"]), raw(host, "access_token", "name = 'github'"))
    assert pickle.loads(pickle.dumps(vars(detached)["access_token_sealed"])) is None


def test_rollback_expire_and_refresh_forget_what_was_assigned(host: Any, user: Any) -> None:
    """A value that was never stored would be read as if it were."""
    host.store.save(user, "github", {"access_token": "stored"}, protocol="oauth2", now=1)
    with Session(host.engine) as session:
        row = session.scalars(sa.select(host.models.OAuth2Token)).one()
        for undo in (session.rollback, lambda: session.expire(row), lambda: session.refresh(row)):
            row.access_token = "assigned"
            undo()
            assert row.access_token == "stored"
        row.access_token = None
        session.commit()
        assert row.access_token is None
        assert raw(host, "access_token") is None
        with pytest.raises(TypeError):
            row.access_token = 7


def test_another_worker_s_refresh_is_not_fenced_off_by_a_stale_row(host: Any, user: Any) -> None:
    """Two writers would have the same version, and the older token could win."""
    stored = host.store.save(user, "github", {"access_token": "a"}, protocol="oauth2", now=1)
    with Session(host.engine) as session:
        row = session.get(host.models.OAuth2Token, stored.id)
        session.commit()
        assert row.version == stored.version
        session.commit()
        row.access_token = "b"
        session.flush()
        session.commit()
        assert row.version == stored.version + 1


@pytest.mark.parametrize("size", [8_000, 60_000, 65_536])
def test_h14_long_tokens_are_kept_whole(host: Any, user: Any, size: int) -> None:
    """Users of providers with long tokens could never be logged in."""
    token = {"access_token": "a" * size, "refresh_token": "r" * size, "id_token": "i" * size}
    host.store.save(user, "google", token, "7", protocol="oauth2", now=1)
    stored = host.store.load(user, "google", protocol="oauth2")
    assert {key: stored.token[key] for key in token} == token


def test_save_is_a_transaction_of_its_own(host: Any, user: Any) -> None:
    """``OAuth2Token.save`` would lose the token when the request rolls back."""
    model = host.models.OAuth2Token
    bind_store(host.models, lambda: host.store)
    first = model.save(user, "github", {"access_token": "a", "refresh_token": "r"}, "42")
    assert (first.user_id, first.name, first.account, first.access_token) == (user, "github", "42", "a")
    assert sa.inspect(first).detached
    with Session(host.engine) as session:
        host.session = session
        person = session.get(host.user_model, user)
        second = model.save(person, "github", {"access_token": "b", "refresh_token": None}, "42")
        session.rollback()
        host.session = None
    assert second.id == first.id
    assert second.to_token()["refresh_token"] == "r"
    assert host.store.load(user, "github", protocol="oauth2").token["access_token"] == "b"
    legacy = host.models.OAuth1Token.save(user, "twitter", {"oauth_token": "t", "oauth_token_secret": "s"})
    assert legacy.to_token() == {"oauth_token": "t", "oauth_token_secret": "s"}


def test_h11_nothing_shows_a_secret(host: Any, user: Any) -> None:
    """A traceback or a log line would hold a usable token."""
    stored = host.store.save(user, "github", {"access_token": "hidden"}, protocol="oauth2", now=1)
    with Session(host.engine) as session:
        row = session.get(host.models.OAuth2Token, stored.id)
        row.refresh_token = "hidden"
        assert row.access_token == "hidden"
        assert "hidden" not in f"{row!r} {row} {vars(row)}"
        assert b"hidden" not in pickle.dumps(vars(row)["_oauth_secrets"])


@pytest.mark.parametrize("way", ["session", "sql"])
def test_e24_tokens_go_with_their_user(host: Any, way: str) -> None:
    """The next user with the same number would inherit somebody's accounts."""
    user = host.add_user()
    host.store.save(user, "github", {"access_token": "a"}, protocol="oauth2", now=1)
    with Session(host.engine) as session:
        if way == "session":
            session.delete(session.get(host.user_model, user))
        else:
            session.execute(sa.text("DELETE FROM users"))
        session.commit()
    again = host.add_user(id=user)
    assert again == user
    assert host.store.load(user, "github", protocol="oauth2") is None


def create_person(database_url: str, key_type: Any, key: Any) -> tuple[SQLAlchemyStore, Any, sa.Engine]:
    """A store beside users with this type of key, and one of them."""

    class Base(DeclarativeBase):
        pass

    class Person(Base):
        __tablename__ = "people"
        person_id = mapped_column(key_type, primary_key=True)

    models = define_models(Base, Person, RING)
    assert define_models(Base, Person, RING) is models
    engine = sa.create_engine(database_url)
    Base.metadata.create_all(engine)
    person = Person(person_id=key)
    with Session(engine, expire_on_commit=False) as session:
        session.add(person)
        session.commit()
    return SQLAlchemyStore(models, engine=lambda: engine, sealer=RING), person, engine


KEYS = [
    (sa.Integer(), 7, "7"),
    (sa.BigInteger(), 2**40, str(2**40)),
    (sa.Uuid(), uuid.UUID(int=7), str(uuid.UUID(int=7))),
    (sa.String(36), "ann", "ann"),
]


@pytest.mark.parametrize(("key_type", "key", "text"), KEYS, ids=["integer", "big", "uuid", "string"])
def test_users_of_any_key_type(database_url: str, key_type: Any, key: Any, text: str) -> None:
    """Applications with UUID or text keys could not use the package."""
    store, person, engine = create_person(database_url, key_type, key)
    store.save(person, "github", {"access_token": "a"}, protocol="oauth2", now=1)
    for who in (person, key, text):
        stored = store.load(who, "github", protocol="oauth2")
        assert stored is not None
        assert (stored.user_id, stored.token["access_token"]) == (key, "a")
    assert store.load("nobody at all", "github", protocol="oauth2") is None
    assert store.load(None, "github", protocol="oauth2") is None
    store.dispose()
    engine.dispose()


UUID_TEXT = "0f4ab2b0-93ba-4c4d-9d0e-62d3a1f1c0aa"


@pytest.mark.parametrize("other", [UUID_TEXT.upper(), UUID_TEXT.replace("-", ""), uuid.UUID(UUID_TEXT)])
def test_a_uuid_kept_as_text_is_one_key_however_it_is_written(database_url: str, other: Any) -> None:
    """A token saved for an id in another spelling could never be opened again."""
    store, person, engine = create_person(database_url, sa.Uuid(as_uuid=False), UUID_TEXT)
    store.save(other, "github", {"access_token": "a"}, protocol="oauth2", now=1)
    stored = store.load(person, "github", protocol="oauth2")
    assert stored is not None
    assert (stored.user_id, stored.token.get("access_token")) == (UUID_TEXT, "a")
    store.dispose()
    engine.dispose()


def test_a_text_key_is_taken_as_the_users_row_has_it(mariadb_url: str) -> None:
    """MariaDB finds alice by Alice, and her token would be bound to a name that is in no row."""
    store, person, engine = create_person(mariadb_url, sa.String(36), "alice")
    store.save("Alice", "github", {"access_token": "a"}, protocol="oauth2", now=1)
    stored = store.load(person, "github", protocol="oauth2")
    assert stored is not None
    assert (stored.user_id, stored.token.get("access_token")) == ("alice", "a")
    store.dispose()
    engine.dispose()


def test_mixins_on_a_hosts_own_classes(database_url: str) -> None:
    """Whoever wants own columns, names or relations could not have them."""

    class Base(DeclarativeBase):
        pass

    class Account(Base):
        __tablename__ = "account"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Identity(OAuthIdentityMixin, Base):
        __tablename__ = "my_identity"
        user_id: Mapped[int] = mapped_column(sa.ForeignKey("account.id", ondelete="CASCADE"))
        note: Mapped[str | None] = mapped_column(sa.Text())

    class Token1(OAuth1TokenMixin, Base):
        __identity_table__ = "my_identity"
        user_id: Mapped[int] = mapped_column(sa.ForeignKey("account.id", ondelete="CASCADE"))

    class Token2(OAuth2TokenMixin, Base):
        __tablename__ = "my_token"
        __identity_table__ = "my_identity"
        user_id: Mapped[int] = mapped_column(sa.ForeignKey("account.id", ondelete="CASCADE"))
        user: Mapped[Account] = relationship()

    class Event(OAuthEventMixin, Base):
        user_id: Mapped[int | None] = mapped_column()

    engine = sa.create_engine(database_url)
    Base.metadata.create_all(engine)
    four = (Identity, Token1, Token2, Event)
    names = ("OAuthIdentity", "OAuth1Token", "OAuth2Token", "OAuthEvent")
    for given in (four, dict(zip(names, four, strict=True)), SimpleNamespace(**dict(zip(names, four, strict=True)))):
        models = read_models(given, Account)
        assert (models.OAuthIdentity, models.OAuth2Token) == (Identity, Token2)
    with Session(engine) as session:
        token = Token2(user=Account(), name="github", access_token="a")
        session.add(token)
        with pytest.raises(ConfigurationError, match=r"OAuthAccounts\(models=…\)"):
            session.flush()
        session.rollback()
        bind_sealer(models, RING)
        token = Token2(user=Account(), name="github", access_token="a")
        session.add(token)
        session.commit()
        assert token.access_token == "a"
        token.user = Account()
        session.commit()
        assert token.access_token == "a"
        key = token.user_id
    store = SQLAlchemyStore(models, engine=lambda: engine, sealer=RING)
    stored = store.load(key, "github", protocol="oauth2")
    assert stored is not None
    assert stored.token["access_token"] == "a"
    for wrong, said in (((Identity, Token1, Token2), "OAuthEvent"), ({"OAuthIdentity": Account}, "OAuthIdentity")):
        with pytest.raises(ConfigurationError, match=said):
            read_models(wrong)
    store.dispose()
    engine.dispose()


def test_a_dataclass_base_can_carry_the_models() -> None:
    """Flask-SQLAlchemy with ``MappedAsDataclass`` would fail when the application starts."""

    class Base(MappedAsDataclass, DeclarativeBase):
        pass

    class Person(Base):
        __tablename__ = "person"
        id: Mapped[int] = mapped_column(init=False, primary_key=True)

    models = define_models(Base, Person, RING)
    assert "oauth2_token" in Base.metadata.tables
    assert models.OAuth2Token(user_id=1, name="x", access_token="a").access_token == "a"


def test_what_is_no_user_model_is_refused() -> None:
    """The mistake would show as an error of SQLAlchemy, somewhere else."""

    class Base(DeclarativeBase):
        pass

    class Pair(Base):
        __tablename__ = "pair"
        a: Mapped[int] = mapped_column(primary_key=True)
        b: Mapped[int] = mapped_column(primary_key=True)

    for wrong in (object, "User", None):
        with pytest.raises(ConfigurationError, match="user_model"):
            define_models(Base, wrong)
    with pytest.raises(ConfigurationError, match="Pair has a primary key of several columns"):
        define_models(Base, Pair)


def test_the_shipped_user_is_what_flask_login_asks_for(sqlite_url: str) -> None:
    """Nobody could be logged in, or a deleted user's cookie would open the next account."""

    class Base(DeclarativeBase):
        pass

    User = define_user(Base)
    assert define_user(Base) is User
    engine = sa.create_engine(sqlite_url)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        user = User(email="ann@example.com")
        session.add(user)
        session.commit()
        assert (user.is_active, user.is_authenticated, user.is_anonymous, user.get_id()) == (True, True, False, "1")
        user.is_active = False
        assert not user.is_authenticated
        session.delete(user)
        session.commit()
        other = User()
        session.add(other)
        session.commit()
        assert other.get_id() != "1"
    engine.dispose()


def test_events_go_with_a_user_deleted_through_a_session(host: Any, make_host: Callable[..., Any]) -> None:
    """Traces of somebody who has left would stay for ever."""
    user = host.add_user()
    with Session(host.engine) as session:
        session.add(host.models.OAuthEvent(user_id=user, kind="login", outcome="success"))
        session.commit()
        session.delete(session.get(host.user_model, user))
        session.commit()
    assert host.scalar("SELECT count(*) FROM oauth_event") == 0


def test_updated_at_is_the_last_change_of_token_or_status(host: Any) -> None:
    """A page that shows when a connection last changed would show when somebody last tried to refresh it."""
    store, user = host.store, host.add_user()
    stored = store.save(user, "github", {"access_token": "a", "refresh_token": "r"}, protocol="oauth2", now=500.0)

    def read() -> float:
        return float(host.scalar("SELECT updated_at FROM oauth2_token"))

    claimed = store.claim(stored, owner="a", now=600.0, lease=30)
    store.release(claimed, owner="a", error="provider_unavailable", retry_at=700.0, failures=1)
    assert read() == 500.0
    free = store.reload(stored)
    refreshed = store.commit_refresh(free, owner="a", token=TokenDict({**free.token, "access_token": "b"}), now=800.0)
    assert read() == 800.0
    store.mark_reauth_required(refreshed, error="invalid_grant")
    assert read() == store.clock()
