"""A worker process of an application that uses stored tokens; also the pieces that the tests share with it.

Started with the database's URL and the token endpoint's, it reads one JSON object a line and answers with one.
``{"calls": 8, "offset": 3600}`` makes eight threads call the API at once, the clock set forward by an hour.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import requests
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from flask_oauth_accounts.config import Settings
from flask_oauth_accounts.errors import ProviderUnavailable, TokenRequestError
from flask_oauth_accounts.storage.models import Models, define_models
from flask_oauth_accounts.storage.sqlalchemy import SQLAlchemyStore
from flask_oauth_accounts.tokens import StoredToken, TokenDict, parse_token_answer
from flask_oauth_accounts.vault.keys import Key, KeyRing
from flask_oauth_accounts.vault.refresh import Vault

USER_ID = 1
NAME = "hub"


@dataclass
class App:
    """An application's side: database, vault, and a client of one provider.

    :ivar offset: seconds that its clock is ahead.
    :ivar sessions: the host's session of the current thread.
    """

    engine: sa.Engine
    base: Any
    user_model: Any
    models: Models
    token_url: str
    user_id: int = USER_ID
    offset: float = 0.0

    def __post_init__(self) -> None:
        self.sessions = threading.local()
        ring = KeyRing([Key("k1", b"1" * 32)])
        self.store = SQLAlchemyStore(
            self.models,
            engine=lambda: self.engine,
            host_session=lambda: getattr(self.sessions, "current", None),
            sealer=ring,
            clock=self.clock,
        )

    def clock(self) -> float:
        return time.time() + self.offset

    def create_vault(self, **options: Any) -> Vault:
        settings = Settings(**{key: options.pop(key) for key in list(options) if key.startswith("refresh_")})
        return Vault(self.store, settings=settings, clock=self.clock, events=self.store, **options)

    def create_tables(self) -> None:
        self.base.metadata.create_all(self.engine)
        with Session(self.engine) as session:
            session.add(self.user_model(id=USER_ID))
            session.commit()

    def save(self, token: dict[str, Any], *, expires_in: float) -> StoredToken:
        """Store a token that expires in so many seconds."""
        now = self.clock()
        token = {**token, "expires_at": int(now + expires_in)}
        return self.store.save(USER_ID, NAME, token, "4711", protocol="oauth2", now=now - 3600)

    def load(self) -> StoredToken:
        stored = self.store.load(USER_ID, NAME, protocol="oauth2")
        assert stored is not None
        return stored

    def refresh(self, stored: StoredToken) -> TokenDict:
        """Ask as a client does."""
        form = {"grant_type": "refresh_token", "refresh_token": stored.token["refresh_token"]}
        response = requests.post(self.token_url, data=form, timeout=60)
        if response.status_code == 503:
            raise ProviderUnavailable(provider=stored.name)
        if response.status_code != 200:
            raise TokenRequestError(response.json()["error"], provider=stored.name)
        return parse_token_answer(response.json(), now=self.clock(), provider=stored.name)

    def call_api(self, vault: Vault) -> str:
        """One API call with the stored token.

        :return: ``ok``, or what went wrong.
        """
        try:
            token = vault.fresh(self.load(), self.refresh).token["access_token"]
            headers = {"Authorization": f"Bearer {token}"}
            response = requests.get(self.token_url + "/me", headers=headers, timeout=60)
        except Exception as error:
            return repr(error)
        return "ok" if response.status_code == 200 else f"API {response.status_code}"

    def call_at_once(self, vault: Vault, calls: int) -> list[str]:
        """So many threads start at the same moment."""
        start = threading.Barrier(calls)

        def call() -> str:
            start.wait(60)
            return self.call_api(vault)

        with ThreadPoolExecutor(calls) as pool:
            return [future.result() for future in [pool.submit(call) for _ in range(calls)]]

    def close(self) -> None:
        self.store.dispose()
        self.engine.dispose()


def create_app(database_url: str, token_url: str, **options: Any) -> App:
    class Base(DeclarativeBase):
        pass

    class User(Base):
        __tablename__ = "users"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str | None] = mapped_column(sa.String(50))

    engine = sa.create_engine(database_url, **options)
    return App(engine, Base, User, define_models(Base, User, KeyRing([Key("k1", b"1" * 32)])), token_url)


def main(read: Callable[[], str], write: Callable[[str], object]) -> None:
    app = create_app(sys.argv[1], sys.argv[2])
    vault = app.create_vault()
    write("ready\n")
    while line := read():
        command = json.loads(line)
        app.offset = command["offset"]
        write(json.dumps(app.call_at_once(vault, command["calls"])) + "\n")
    app.close()


if __name__ == "__main__":

    def write_line(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    main(sys.stdin.readline, write_line)
