"""Only the registry: no database, no Flask-Login, no blueprint, nothing written to disk.

The views are the ones that an application has when it was written by hand for an OAuth client library. The clients'
URLs and credentials come from the preset and from the configuration (``TWITTER_CLIENT_ID``, ``TWITTER_CLIENT_SECRET``).
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from flask import Flask, redirect, session, url_for
from flask.typing import ResponseReturnValue

from flask_oauth_accounts import OAuth

# Stands for whatever keeps this application's tokens. They never belong into the session cookie: it can be read.
tokens: dict[str, dict[str, Any]] = {}


def fetch_twitter_token() -> dict[str, Any] | None:
    return tokens.get(session.get("visitor", ""))


oauth = OAuth()
oauth.register("twitter", fetch_token=fetch_twitter_token)


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Build the application.

    :param config: values that go before the environment's ``FLASK_…`` variables.
    """
    app = Flask(__name__)
    app.config["PROFILE_PATH"] = "account/verify_credentials.json"
    app.config.from_prefixed_env()
    app.config.from_mapping(config or {})
    oauth.init_app(app)

    @app.get("/login")
    def login() -> ResponseReturnValue:
        redirect_uri = url_for("authorize", _external=True)
        return oauth.twitter.authorize_redirect(redirect_uri)

    @app.get("/authorize")
    def authorize() -> ResponseReturnValue:
        token = oauth.twitter.authorize_access_token()
        session["visitor"] = secrets.token_urlsafe()
        tokens[session["visitor"]] = token
        return redirect(url_for("twitter_profile"))

    @app.get("/profile")
    def twitter_profile() -> ResponseReturnValue:
        response = oauth.twitter.get(app.config["PROFILE_PATH"])
        profile: dict[str, Any] = response.json()
        return profile

    return app
