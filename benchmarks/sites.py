"""The same small application four times: with this package, with its two peers, and by hand with requests alone.

Each has a user table and a token in SQLite, and Flask-Login. ``/call`` makes API calls with the stored token of the
user who is logged in, ``/call?count=10`` ten of them. ``start`` and ``finish`` are the two halves of a login, in which
the callback asks for the profile, finds the user, stores the token and logs in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
from cachelib import SimpleCache
from flask import Flask, redirect, request
from flask.testing import FlaskClient
from flask_login import LoginManager, UserMixin, current_user, login_required, login_user
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase
from stub import Stub


@dataclass(frozen=True)
class Site:
    """One application.

    :ivar start: path that starts a login, ``None`` where there are none.
    :ivar finish: path of the callback.
    """

    name: str
    app: Flask
    start: str | None = None
    finish: str | None = None

    def browser(self) -> FlaskClient:
        """:return: a browser in which the user is logged in."""
        browser = self.app.test_client()
        with browser.session_transaction() as session:
            session["_user_id"] = "1"
            session["_fresh"] = True
        return browser

    def begin(self, browser: FlaskClient) -> str:
        """Start a login.

        :return: the state.
        """
        response = browser.get(self.start or "")
        return parse_qs(urlsplit(response.headers["Location"]).query)["state"][0]

    def end(self, browser: FlaskClient, state: str) -> int:
        """Finish a login.

        :return: the status of the answer.
        """
        return browser.get(self.finish or "", query_string={"state": state, "code": "the-code"}).status_code


@dataclass(frozen=True)
class _Base:
    app: Flask
    db: SQLAlchemy
    user: Any


def _create_base(name: str, folder: Path, call: Callable[[], requests.Response]) -> _Base:
    class Model(DeclarativeBase):
        pass

    db = SQLAlchemy(model_class=Model)

    class User(UserMixin, db.Model):  # type: ignore[name-defined,misc]
        id = db.Column(db.Integer, primary_key=True)
        email = db.Column(db.String(200))

    app = Flask(name, root_path=str(folder), instance_path=str(folder / name))
    app.config.update(SECRET_KEY="benchmark", TESTING=True, SQLALCHEMY_DATABASE_URI=f"sqlite:///{folder}/{name}.db")
    db.init_app(app)
    LoginManager(app).user_loader(lambda key: db.session.get(User, int(key)))

    @app.get("/call")
    @login_required  # type: ignore[untyped-decorator]
    def view() -> str:
        for _ in range(int(request.args.get("count", "1"))):
            response = call()
            assert response.status_code == 200
        return str(response.json()["login"])

    return _Base(app, db, User)


def create_raw(stub: Stub, folder: Path) -> Site:
    """:return: one keep-alive session, shared by all users: as fast as requests can be."""
    session = requests.Session()
    session.verify = stub.certificate
    session.headers["Authorization"] = "Bearer the-access-token"
    base = _create_base("requests", folder, lambda: session.get(f"{stub.url}/user"))
    with base.app.app_context():
        base.db.create_all()
        base.db.session.add(base.user(id=1))
        base.db.session.commit()
    return Site("requests.Session", base.app)


def create_ours(stub: Stub, folder: Path) -> Site:
    """:return: this package with an application's own models."""
    from flask_oauth_accounts import OAuth, OAuthAccounts, create_blueprint

    oauth = OAuth(cache=SimpleCache())
    base = _create_base("ours", folder, lambda: oauth.dev.get("user"))
    accounts = OAuthAccounts(oauth, db=base.db, user_model=base.user)
    oauth.register(
        "dev",
        client_id="id",
        client_secret="secret",
        authorize_url=f"{stub.url}/authorize",
        access_token_url=f"{stub.url}/token",
        api_base_url=f"{stub.url}/",
        userinfo_endpoint=f"{stub.url}/user",
        client_kwargs={"scope": "profile", "verify": stub.certificate},
    )
    accounts.init_app(base.app)
    base.app.register_blueprint(create_blueprint())
    with base.app.app_context():
        base.db.create_all()
        base.db.session.add(base.user(id=1))
        base.db.session.commit()
        accounts.models.OAuth2Token.save(1, "dev", {"access_token": "the-access-token", "token_type": "Bearer"})
    return Site("flask_oauth_accounts", base.app, "/login/dev", "/authorize/dev")


def _find_user(base: _Base, model: Any, subject: str) -> Any:
    row = base.db.session.query(model).filter_by(subject=subject).first()
    if row is not None:
        return base.db.session.get(base.user, row.user_id)
    user = base.user()
    base.db.session.add(user)
    base.db.session.flush()
    base.db.session.add(model(user_id=user.id, subject=subject))
    base.db.session.commit()
    return user


def create_authlib(stub: Stub, folder: Path) -> Site:
    """:return: Authlib's Flask client, with its tokens in a table as its documentation shows it."""
    from authlib.integrations.flask_client import OAuth

    oauth = OAuth()
    base = _create_base("authlib", folder, lambda: oauth.dev.get("user"))
    db = base.db

    class Token(db.Model):  # type: ignore[name-defined,misc]
        id = db.Column(db.Integer, primary_key=True)
        user_id = db.Column(db.Integer, db.ForeignKey("user.id"))
        subject = db.Column(db.String(200))
        name = db.Column(db.String(40))
        access_token = db.Column(db.Text)

    def fetch_token(name: str) -> dict[str, str] | None:
        row = db.session.query(Token).filter_by(user_id=current_user.id, name=name).first()
        return {"access_token": row.access_token, "token_type": "Bearer"} if row else None

    oauth.init_app(base.app, fetch_token=fetch_token)
    oauth.register(
        "dev",
        client_id="id",
        client_secret="secret",
        authorize_url=f"{stub.url}/authorize",
        access_token_url=f"{stub.url}/token",
        api_base_url=f"{stub.url}/",
        client_kwargs={"scope": "profile", "verify": stub.certificate, "code_challenge_method": "S256"},
    )

    @base.app.get("/login")
    def login() -> Any:
        return oauth.dev.authorize_redirect("http://localhost/authorize")

    @base.app.get("/authorize")
    def authorize() -> Any:
        token = oauth.dev.authorize_access_token()
        profile = oauth.dev.get("user", token=token).json()
        user = _find_user(base, Token, str(profile["id"]))
        row = db.session.query(Token).filter_by(user_id=user.id).one()
        row.name, row.access_token = "dev", token["access_token"]
        db.session.commit()
        login_user(user)
        return redirect("/")

    with base.app.app_context():
        db.create_all()
        db.session.add_all([base.user(id=1), Token(user_id=1, name="dev", access_token="the-access-token")])
        db.session.commit()
    return Site("Authlib", base.app, "/login", "/authorize")


def create_flask_dance(stub: Stub, folder: Path) -> Site:
    """:return: Flask-Dance with its SQLAlchemy storage, as its documentation shows it."""
    from flask_dance.consumer import OAuth2ConsumerBlueprint, oauth_authorized
    from flask_dance.consumer.requests import OAuth2Session
    from flask_dance.consumer.storage.sqla import OAuthConsumerMixin, SQLAlchemyStorage

    class Session(OAuth2Session):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.verify = stub.certificate

    base = _create_base("dance", folder, lambda: blueprint.session.get("/user"))
    db = base.db

    class Token(OAuthConsumerMixin, db.Model):  # type: ignore[name-defined,misc]
        subject = db.Column(db.String(200))
        user_id = db.Column(db.Integer, db.ForeignKey("user.id"))
        user = db.relationship(base.user)

    blueprint = OAuth2ConsumerBlueprint(
        "dev",
        __name__,
        client_id="id",
        client_secret="secret",
        base_url=stub.url,
        token_url=f"{stub.url}/token",
        authorization_url=f"{stub.url}/authorize",
        scope="profile",
        session_class=Session,
        use_pkce=True,
        storage=SQLAlchemyStorage(Token, db.session, user=current_user, user_required=False),
        redirect_url="/",
    )
    base.app.register_blueprint(blueprint)

    @oauth_authorized.connect_via(blueprint)  # type: ignore[untyped-decorator]
    def logged_in(sender: Any, token: dict[str, Any]) -> bool:
        profile = sender.session.get("/user").json()
        row = db.session.query(Token).filter_by(provider="dev", subject=str(profile["id"])).first()
        if row is None:
            row = Token(provider="dev", subject=str(profile["id"]), user=base.user())
            db.session.add(row)
        row.token = token
        db.session.commit()
        login_user(row.user)
        return False

    base.app.extensions["logged_in"] = logged_in  # signals hold their receivers weakly
    with base.app.app_context():
        db.create_all()
        token = {"access_token": "the-access-token", "token_type": "Bearer"}
        db.session.add_all([base.user(id=1), Token(provider="dev", user_id=1, token=token)])
        db.session.commit()
    return Site("Flask-Dance", base.app, "/dev", "/dev/authorized")


def create_unrelated(folder: Path, *, providers: int) -> Flask:
    """:return: an application with one page that has nothing to do with logins.

    With no providers, it has Flask-Login and Flask-SQLAlchemy, but not this package.
    """
    from flask_oauth_accounts import OAuth, create_blueprint

    app = Flask(f"unrelated{providers}", root_path=str(folder), instance_path=str(folder / f"unrelated{providers}"))
    app.config.update(SECRET_KEY="benchmark", TESTING=True)
    app.add_url_rule("/page", view_func=lambda: "a page", endpoint="page")
    if not providers:
        app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite://"
        SQLAlchemy(app)
        LoginManager(app)
    else:
        oauth = OAuth(app)
        for number in range(providers):
            oauth.register(f"p{number}", preset="github", client_id="id", client_secret="secret")
        app.register_blueprint(create_blueprint())
    return app
