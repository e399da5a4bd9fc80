"""An application written for Authlib's Flask client, as its documentation shows, with only the import line changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask

from flask_oauth_accounts.testing import DevProvider

IMPORTS = {
    "authlib": "from authlib.integrations.flask_client import OAuth, OAuthError",
    "this package": "from flask_oauth_accounts import OAuth, OAuthError",
}

APPLICATION = """
from flask import Flask, jsonify, redirect, render_template_string, session, url_for

app = Flask(__name__)
app.secret_key = "!secret, and long enough for this test"
app.config.update(CONFIG)

rows = []  # stands for the table of tokens


class Token(dict):
    def to_token(self):
        keys = ("access_token", "token_type", "refresh_token", "expires_at", "oauth_token", "oauth_token_secret")
        return {key: self[key] for key in keys if key in self}


def find(**criteria):
    return next((row for row in rows if all(row.get(key) == value for key, value in criteria.items())), None)


def fetch_token(name):
    item = find(name=name, user=session["user"]["sub"])
    return item.to_token() if item else None


def update_token(name, token, refresh_token=None, access_token=None):
    if refresh_token:
        item = find(name=name, refresh_token=refresh_token)
    elif access_token:
        item = find(name=name, access_token=access_token)
    else:
        return

    # update old token
    item["access_token"] = token["access_token"]
    item["refresh_token"] = token.get("refresh_token")
    item["expires_at"] = token["expires_at"]


oauth = OAuth(app, fetch_token=fetch_token, update_token=update_token)
oauth.register(
    name="google",
    server_metadata_url=CONF_URL,
    api_base_url=API,
    client_kwargs={"scope": "openid email profile"},
)
oauth.register(
    name="github",
    client_id=CLIENT[0],
    client_secret=CLIENT[1],
    access_token_url=BASE + "/oauth2/token",
    access_token_params=None,
    authorize_url=BASE + "/oauth2/authorize",
    authorize_params=None,
    api_base_url=API,
    client_kwargs={"scope": "email"},
)
oauth.register(
    name="twitter",
    client_id=CLIENT[0],
    client_secret=CLIENT[1],
    request_token_url=BASE + "/oauth1/request_token",
    request_token_params=None,
    access_token_url=BASE + "/oauth1/access_token",
    access_token_params=None,
    authorize_url=BASE + "/oauth1/authorize",
    authorize_params=None,
    api_base_url=BASE + "/oauth1/api/",
    client_kwargs=None,
)


@app.errorhandler(OAuthError)
def handle_error(error):
    return render_template_string("{{ error.error }}", error=error), 400


@app.route("/")
def homepage():
    return jsonify(session.get("user"))


@app.route("/login/<name>")
def login(name):
    client = oauth.create_client(name)
    if not client:
        return "no such provider", 404
    redirect_uri = url_for("auth", name=name, _external=True)
    return client.authorize_redirect(redirect_uri)


@app.route("/auth/<name>")
def auth(name):
    client = oauth.create_client(name)
    token = client.authorize_access_token()
    user = token.get("userinfo")
    if not user:
        profile = client.get("me").json()
        user = {"sub": profile["id"], "email": profile["email"]}
    session["user"] = user
    rows.append(Token(token, name=name, user=user["sub"]))
    return redirect("/")


@app.route("/me/<name>")
def show(name):
    resp = oauth.create_client(name).get("me")
    resp.raise_for_status()
    return resp.json()


@app.route("/me/<name>/explicit")
def show_explicit(name):
    token = find(name=name, user=session["user"]["sub"]).to_token()
    return oauth.create_client(name).get("me", token=token).json()


@app.route("/post/<name>")
def post(name):
    return oauth.create_client(name).post("echo", data={"text": "hello"}).json()


@app.route("/claims")
def claims():
    return jsonify(
        claims=oauth.google.userinfo(),
        email=oauth.google.userinfo().email,
        issuer=oauth.google.load_server_metadata()["issuer"],
        endpoint=oauth.google.server_metadata["token_endpoint"],
    )


@app.route("/expire")
def expire():
    for row in rows:
        if row.get("refresh_token"):
            row["expires_at"] = 1
    return "expired"


@app.route("/logout")
def logout():
    session.pop("user", None)
    return redirect("/")
"""

# PKCE is this package's default, and Authlib repeats in the address what OAuth 1.0a sends with the request token.
OURS_OR_THEIRS = {"code_challenge", "code_challenge_method", "oauth_callback"}


class Visit:
    """What a browser sees of one of the two applications."""

    def __init__(self, namespace: dict[str, Any], provider: DevProvider) -> None:
        self.app: Flask = namespace["app"]
        self.provider = provider
        self.browser = self.app.test_client()
        self.seen: list[Any] = []

    def get(self, path: str) -> Any:
        """Open a page and write down what there is to see."""
        answer = self.browser.get(path)
        body = answer.json if answer.is_json else answer.text if answer.status_code != 302 else ""
        target = answer.headers.get("Location", "").partition("?")[0]
        self.seen.append((path.partition("?")[0], answer.status_code, target, self._stable(body)))
        return answer

    def _stable(self, body: Any) -> Any:
        """Leave out what differs in each login."""
        if isinstance(body, dict):
            moving = ("nonce", "iat", "exp", "auth_time", "at_hash", "sid", "c_hash")
            return {key: self._stable(value) for key, value in body.items() if key not in moving}
        return body

    def log_in(self, name: str, user: str, *, allow: bool = True) -> str:
        """From the button to the callback; returns the callback's address."""
        location = self.get(f"/login/{name}").location
        query = parse_qs(urlsplit(location).query)
        moving = OURS_OR_THEIRS | {"state", "nonce", "oauth_token"}
        self.seen.append({key: value for key, value in query.items() if key not in moving})
        self.seen.append(sorted(query.keys() - OURS_OR_THEIRS))
        callback = str(self.provider.authorize(location, user, allow=allow))
        parts = urlsplit(callback)
        self.get(f"{parts.path}?{parts.query}")
        return callback


def tour(visit: Visit) -> None:
    """Everything that the application can do."""
    for name, user in (("google", "alice"), ("github", "bob"), ("twitter", "carol")):
        callback = visit.log_in(name, user)
        for path in ("/", f"/me/{name}", f"/me/{name}/explicit", f"/post/{name}"):
            visit.get(path)
        parts = urlsplit(callback)
        assert visit.browser.get(f"{parts.path}?{parts.query}").status_code == 400
    visit.get("/logout")
    visit.log_in("google", "alice")
    visit.get("/claims")
    visit.get("/expire")
    visit.get("/me/google")
    visit.get("/me/google")
    visit.get("/expire")
    visit.get("/me/google/explicit")
    visit.get("/login/unknown")
    visit.get("/auth/google?code=x&state=foreign")
    visit.get("/logout")
    visit.get("/")


@pytest.fixture
def run(tmp_path: Any) -> Callable[[str], list[Any]]:
    """Run the application with one of the two import lines, and say what a browser has seen."""

    def run_with(library: str) -> list[Any]:
        # A provider of its own on the same port, so that both applications see the same addresses.
        with DevProvider(port=run_with.port, client_secret="the secret of both", iss_in_callback=False) as provider:  # type: ignore[attr-defined]
            run_with.port = urlsplit(provider.url).port or 0  # type: ignore[attr-defined]
            namespace: dict[str, Any] = {
                "__name__": "application",
                "BASE": provider.url,
                "API": f"{provider.url}/api/",
                "CONF_URL": f"{provider.url}/.well-known/openid-configuration",
                "CLIENT": (provider.client_id, provider.client_secret),
                "CONFIG": {
                    "TESTING": True,
                    "GOOGLE_CLIENT_ID": provider.client_id,
                    "GOOGLE_CLIENT_SECRET": provider.client_secret,
                },
            }
            exec(compile(IMPORTS[library] + APPLICATION, "application.py", "exec"), namespace)
            visit = Visit(namespace, provider)
            tour(visit)
            assert provider.count("/oauth2/token", grant_type="refresh_token") == 2
        return visit.seen

    run_with.port = 0  # type: ignore[attr-defined]
    return run_with


@pytest.mark.filterwarnings("ignore::DeprecationWarning:authlib")
def test_the_same_application_with_both_libraries(run: Callable[[str], list[Any]]) -> None:
    """An application written for Authlib would behave otherwise after its import line is changed."""
    with_authlib, with_this_package = run("authlib"), run("this package")
    for theirs, ours in zip(with_authlib, with_this_package, strict=True):
        assert ours == theirs
