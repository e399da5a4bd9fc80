"""OAuth 1.0a over HTTP (RFC 5849)."""

from __future__ import annotations

from base64 import b64decode
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from flask import Flask, Response, redirect, request
from oauthlib.common import add_params_to_uri
from oauthlib.oauth1 import (
    SIGNATURE_HMAC_SHA1,
    SIGNATURE_HMAC_SHA256,
    SIGNATURE_PLAINTEXT,
    SIGNATURE_RSA_SHA1,
    SIGNATURE_RSA_SHA256,
    RequestValidator,
    WebApplicationServer,
)
from oauthlib.oauth1.rfc5849 import signature
from oauthlib.oauth1.rfc5849.errors import InvalidRequestError, OAuth1Error

from .consent import create_consent_page, create_error_page, create_page, sign_in
from .http import form_body, headers, locked, plain_uri, to_response
from .journal import note
from .keys import find_public_key
from .models import DevUser, TemporaryCredentials, TokenCredentials
from .state import ProviderState, new_token

_HASHES = {SIGNATURE_RSA_SHA1: hashes.SHA1, SIGNATURE_RSA_SHA256: hashes.SHA256}
_NOBODY = "nobody"


class OAuth1Validator(RequestValidator):
    """Answers from :class:`ProviderState`; every call runs under its lock."""

    allowed_signature_methods = (
        SIGNATURE_HMAC_SHA1,
        SIGNATURE_HMAC_SHA256,
        SIGNATURE_RSA_SHA1,
        SIGNATURE_RSA_SHA256,
        SIGNATURE_PLAINTEXT,
    )
    enforce_ssl = False  # loopback only, see DevProvider
    dummy_client = dummy_request_token = dummy_access_token = _NOBODY

    def __init__(self, state: ProviderState) -> None:
        self.state = state
        self._unguessable = new_token()

    def check_client_key(self, client_key: str) -> bool:
        return bool(client_key)

    def check_request_token(self, request_token: str) -> bool:
        return bool(request_token)

    def check_access_token(self, request_token: str) -> bool:
        return bool(request_token)

    def check_nonce(self, nonce: str) -> bool:
        return 8 <= len(nonce) <= 256

    def check_verifier(self, verifier: str) -> bool:
        return bool(verifier)

    def check_realms(self, realms: list[str]) -> bool:
        return True

    # secrets; unknown names get one that nobody can sign with

    def get_client_secret(self, client_key: str, request: Any) -> str:
        client = self.state.clients.get(client_key)
        return (client.client_secret if client else None) or self._unguessable

    def get_request_token_secret(self, client_key: str, token: str, request: Any) -> str:
        found = self.state.request_tokens.get(token)
        return found.secret if found else self._unguessable

    def get_access_token_secret(self, client_key: str, token: str, request: Any) -> str:
        found = self.state.find_oauth1_token(token)
        return found.secret if found else self._unguessable

    def get_rsa_key(self, client_key: str, request: Any) -> str:
        client = self.state.clients.get(client_key)
        return (find_public_key(client) if client else None) or ""

    # checks

    def validate_client_key(self, client_key: str, request: Any) -> bool:
        return client_key in self.state.clients

    def validate_timestamp_and_nonce(  # noqa: PLR0917 – oauthlib's signature
        self,
        client_key: str,
        timestamp: str,
        nonce: str,
        request: Any,
        request_token: str | None = None,
        access_token: str | None = None,
    ) -> bool:
        return self.state.use_once("nonce", client_key, timestamp, nonce, request_token or access_token or "")

    def validate_redirect_uri(self, client_key: str, redirect_uri: str, request: Any) -> bool:
        client = self.state.clients.get(client_key)
        return client is not None and (redirect_uri == "oob" or client.allows_redirect(redirect_uri))

    def validate_request_token(self, client_key: str, token: str, request: Any) -> bool:
        found = self.state.request_tokens.get(token)
        return found is not None and found.client_id == client_key and found.username is not None

    def validate_verifier(self, client_key: str, token: str, verifier: str, request: Any) -> bool:
        found = self.state.request_tokens.get(token)
        return found is not None and found.verifier == verifier

    def validate_access_token(self, client_key: str, token: str, request: Any) -> bool:
        found = self.state.find_oauth1_token(token)
        return found is not None and found.client_id == client_key

    def verify_request_token(self, token: str, request: Any) -> bool:
        found = self.state.request_tokens.get(token)
        return found is not None and found.verifier is None

    # realms are not used here

    def get_default_realms(self, client_key: str, request: Any) -> list[str]:
        return []

    def get_realms(self, token: str, request: Any) -> list[str]:
        return []

    def validate_requested_realms(self, client_key: str, realms: list[str], request: Any) -> bool:
        return True

    def validate_realms(
        self, client_key: str, token: str, request: Any, uri: str | None = None, realms: list[str] | None = None
    ) -> bool:
        return True

    def verify_realms(self, token: str, realms: list[str], request: Any) -> bool:
        return True

    # tokens

    def get_redirect_uri(self, token: str, request: Any) -> str:
        return self.state.request_tokens[token].callback

    def save_request_token(self, token: Any, request: Any) -> None:
        self.state.request_tokens[token["oauth_token"]] = TemporaryCredentials(
            request.client_key, token["oauth_token_secret"], request.redirect_uri
        )
        self.state.secrets.learn(token["oauth_token_secret"])

    def save_verifier(self, token: str, verifier: dict[str, str], request: Any) -> None:
        self.state.request_tokens[token].verifier = verifier["oauth_verifier"]
        self.state.secrets.learn(verifier["oauth_verifier"])

    def save_access_token(self, token: Any, request: Any) -> None:
        username = self.state.request_tokens[request.resource_owner_key].username or ""
        user = self.state.users[username]
        self.state.oauth1_tokens[token["oauth_token"]] = TokenCredentials(
            request.client_key, token["oauth_token_secret"], username
        )
        self.state.secrets.learn(token["oauth_token"], token["oauth_token_secret"])
        token.pop("oauth_authorized_realms", None)
        token.update(user_id=user.subject, screen_name=user.username)
        note(user=username)

    def invalidate_request_token(self, client_key: str, request_token: str, request: Any) -> None:
        self.state.request_tokens.pop(request_token, None)


class OAuth1Server(WebApplicationServer):
    """oauthlib's endpoints, with RSA checked by cryptography: oauthlib would need PyJWT for it."""

    def _create_request(self, uri: str, http_method: str, body: str, headers: Any) -> Any:
        """Take the callback as it was sent: oauthlib decodes parameters in query and body once too often."""
        try:
            request = super()._create_request(uri, http_method, body, headers)  # type: ignore[misc]
        except ValueError as error:
            raise InvalidRequestError(description="The request is not well-formed.") from error
        sent = dict(parse_qsl(urlsplit(uri).query) + parse_qsl(body or ""))
        request.redirect_uri = sent.get("oauth_callback", request.redirect_uri)
        return request

    def _check_signature(self, request: Any, is_token_request: bool = False) -> bool:
        if request.signature_method not in _HASHES:
            valid: bool = super()._check_signature(request, is_token_request)  # type: ignore[misc]
            return valid
        pem = self.request_validator.get_rsa_key(request.client_key, request)
        return bool(pem) and _verify_rsa(request, pem)


def _verify_rsa(request: Any, pem: str) -> bool:
    """RFC 5849 section 3.4.3."""
    base_string = signature.signature_base_string(
        request.http_method,
        signature.base_string_uri(request.uri),
        signature.normalize_parameters(request.params),
    )
    key = load_pem_public_key(pem.encode())
    if not isinstance(key, RSAPublicKey):
        return False
    try:
        key.verify(b64decode(request.signature), base_string.encode(), PKCS1v15(), _HASHES[request.signature_method]())
    except (InvalidSignature, ValueError):
        return False
    return True


class OAuth1Views:
    """The endpoints below ``/oauth1``, without the API."""

    def __init__(self, state: ProviderState) -> None:
        self.state = state
        self.server = OAuth1Server(OAuth1Validator(state))

    def register(self, app: Flask) -> None:
        """Add the routes to the provider's application."""
        app.add_url_rule("/oauth1/request_token", view_func=self.request_token, methods=["GET", "POST"])
        app.add_url_rule("/oauth1/authorize", "oauth1_authorize", self.authorize, methods=["GET", "POST"])
        app.add_url_rule("/oauth1/access_token", view_func=self.access_token, methods=["GET", "POST"])

    @locked
    def request_token(self) -> Response:
        """RFC 5849 section 2.1."""
        answer = self.server.create_request_token_response(plain_uri(), request.method, form_body(), headers())
        return self._answer(answer)

    @locked
    def access_token(self) -> Response:
        """RFC 5849 section 2.3."""
        answer = self.server.create_access_token_response(plain_uri(), request.method, form_body(), headers())
        return self._answer(answer)

    def _answer(self, answer: tuple[dict[str, str], str | None, int]) -> Response:
        if answer[2] == 200:
            note(client_auth="oauth1")
        elif answer[2] == 401:
            answer = ({"WWW-Authenticate": "OAuth"}, "Failed to validate oauth signature and token", 401)
        return to_response(answer)

    @locked
    def authorize(self) -> Response:
        """RFC 5849 section 2.2; the consent page on GET, the person's decision on POST."""
        token = request.args.get("oauth_token", "")
        found = self.state.request_tokens.get(token)
        if found is None or found.verifier is not None:
            return create_error_page("This request token is unknown, or was used already.")
        if request.method == "GET":
            return create_consent_page(
                self.state,
                self.state.clients[found.client_id],
                protocol="OAuth 1.0a",
                scopes=[],
                hint=request.args.get("screen_name"),
                returns_to=urlsplit(found.callback).netloc,
            )
        if request.form.get("decision") != "allow":
            return self._deny(token, found)
        user = self.state.find_user(request.form.get("user"))
        if user is None:
            return create_error_page("There is no such user here.")
        return self._allow(found, user)

    def _deny(self, token: str, found: TemporaryCredentials) -> Response:
        """The specification has no refusal; ``denied`` is what Twitter sends."""
        del self.state.request_tokens[token]
        if found.callback == "oob":
            return create_page("message.html", title="Denied", message="Nothing was shared. You can close this page.")
        return _send_back(add_params_to_uri(found.callback, [("denied", token)]))

    def _allow(self, found: TemporaryCredentials, user: DevUser) -> Response:
        found.username = user.username
        sign_in(user)
        try:
            fields, _, _ = self.server.create_authorization_response(plain_uri())
        except OAuth1Error as error:
            return create_error_page(error.description or error.error)
        if "Location" in fields:
            return _send_back(fields["Location"])
        return create_page("verifier.html", verifier=found.verifier)

    @locked
    def authenticate(self) -> DevUser | None:
        """Check the signature of an API call (RFC 5849 section 3.2).

        :return: the user, or ``None``.
        """
        valid, checked = self.server.validate_protected_resource_request(
            plain_uri(), request.method, form_body(), headers()
        )
        if not valid:
            return None
        token = self.state.oauth1_tokens[checked.resource_owner_key]
        note(user=token.username, client_id=token.client_id, client_auth="oauth1")
        return self.state.users[token.username]


def _send_back(location: str) -> Response:
    response = redirect(location, 303)
    response.headers["Cache-Control"] = "no-store"
    assert isinstance(response, Response)
    return response
