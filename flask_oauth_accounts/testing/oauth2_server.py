"""OAuth 2 over HTTP: RFC 6749 with PKCE (7636), revocation (7009), introspection (7662) and ``iss`` (9207)."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from flask import Flask, Response, redirect, request, session
from oauthlib.common import add_params_to_uri
from oauthlib.oauth2 import (
    AccessDeniedError,
    AuthorizationCodeGrant,
    AuthorizationEndpoint,
    BearerToken,
    ClientCredentialsGrant,
    FatalClientError,
    IntrospectEndpoint,
    InvalidRequestError,
    MismatchingRedirectURIError,
    OAuth2Error,
    RefreshTokenGrant,
    ResourceEndpoint,
    ResourceOwnerPasswordCredentialsGrant,
    RevocationEndpoint,
    TokenEndpoint,
    UnsupportedResponseTypeError,
)
from oauthlib.openid.connect.core.exceptions import ConsentRequired, LoginRequired

from .consent import create_consent_page, create_error_page, create_page, sign_in, signed_in
from .faults import Tampering
from .http import form_body, headers, locked, method, secure_uri, to_response
from .models import DevUser
from .oauth2_validator import OAuth2Validator
from .state import ProviderState, new_token

Params = list[tuple[str, str]]


def _validate_request(request: Any) -> dict[str, Any]:
    """What oauthlib leaves open: only S256 protects, and only known response modes can be answered."""
    if request.code_challenge is not None and request.code_challenge_method != "S256":
        raise InvalidRequestError(description="code_challenge_method must be S256", request=request)
    if request.response_type not in {None, "code"}:
        raise UnsupportedResponseTypeError(request=request)
    if request.response_mode not in {None, "query", "fragment", "form_post"}:
        raise InvalidRequestError(description="response_mode is not supported", request=request)
    if request.max_age is not None and not str(request.max_age).isdecimal():
        raise InvalidRequestError(description="max_age must be a number of seconds", request=request)
    return {}


class OAuth2Server(AuthorizationEndpoint, TokenEndpoint, ResourceEndpoint, RevocationEndpoint, IntrospectEndpoint):
    """oauthlib's endpoints with the four grants that are offered here, and no implicit one."""

    def __init__(self, validator: OAuth2Validator) -> None:
        settings = validator.state.settings
        lifetime: Any = lambda _: _whole(settings.access_token_lifetime)  # noqa: E731
        bearer: Any = BearerToken(validator, lambda _: new_token(), lifetime)
        code = AuthorizationCodeGrant(validator, pre_auth=[_validate_request])
        grants = {
            "authorization_code": code,
            "refresh_token": RefreshTokenGrant(validator),
            "client_credentials": ClientCredentialsGrant(validator),
            "password": ResourceOwnerPasswordCredentialsGrant(validator),
        }
        AuthorizationEndpoint.__init__(self, "code", bearer, {"code": code})
        TokenEndpoint.__init__(self, "authorization_code", bearer, grants)
        ResourceEndpoint.__init__(self, "Bearer", {"Bearer": bearer})
        RevocationEndpoint.__init__(self, validator)
        IntrospectEndpoint.__init__(self, validator)


def _explain(error: FatalClientError) -> str:
    """A sentence for whoever has to mend the application."""
    reason = (error.description or error.error or "").rstrip(".")
    if isinstance(error, MismatchingRedirectURIError):
        return f"{reason}: {request.args.get('redirect_uri')} is neither registered for this client nor on loopback."
    return f"{reason}."


def _whole(seconds: float | None) -> float | None:
    return int(seconds) if seconds is not None and seconds == int(seconds) else seconds


class OAuth2Views:
    """The endpoints below ``/oauth2``."""

    def __init__(self, state: ProviderState) -> None:
        self.state = state
        self.server = OAuth2Server(OAuth2Validator(state))

    def register(self, app: Flask) -> None:
        """Add the routes to the provider's application."""
        app.add_url_rule("/oauth2/authorize", view_func=self.authorize, methods=["GET", "POST"])
        app.add_url_rule("/oauth2/token", view_func=self.token, methods=["GET", "POST"])
        app.add_url_rule("/oauth2/revoke", view_func=self.revoke, methods=["POST"])
        app.add_url_rule("/oauth2/introspect", view_func=self.introspect, methods=["POST"])

    @locked
    def authorize(self) -> Response:
        """RFC 6749 section 4.1.1; the consent page on GET, the person's decision on POST."""
        uri = secure_uri()
        try:
            scopes, info = self.server.validate_authorization_request(uri)
        except FatalClientError as error:
            return create_error_page(_explain(error))
        except OAuth2Error as error:
            return self._send_error(error)
        except ValueError:
            return create_error_page("The address of this request is not well-formed.")
        asked = info["request"]
        try:
            if request.method == "POST":
                return self._decide(uri, scopes, asked)
            if "none" in (asked.prompt or "").split():
                return self._answer_silently(uri, scopes, asked)
        except OAuth2Error as error:
            return self._send_error(error)
        return create_consent_page(
            self.state,
            asked.client,
            protocol="OpenID Connect" if "openid" in scopes else "OAuth 2.0",
            scopes=scopes,
            hint=asked.login_hint or session.get("user"),
            returns_to=urlsplit(asked.redirect_uri).netloc,
        )

    def _decide(self, uri: str, scopes: list[str], asked: Any) -> Response:
        if request.form.get("decision") != "allow":
            raise AccessDeniedError(request=asked)
        user = self.state.find_user(request.form.get("user"))
        if user is None:
            return create_error_page("There is no such user here.")
        return self._send_code(uri, scopes, asked, user, sign_in(user))

    def _answer_silently(self, uri: str, scopes: list[str], asked: Any) -> Response:
        """OpenID Connect Core section 3.1.2.1, ``prompt=none``: a code without any page, or an error."""
        if asked.prompt.split() != ["none"]:
            raise InvalidRequestError(description="prompt=none stands alone", request=asked)
        user, current = self.state.users.get(session.get("user", "")), signed_in()
        if user is None or (asked.max_age and time.time() - current["auth_time"] > int(asked.max_age)):
            raise LoginRequired(request=asked)
        if not set(scopes) <= self.state.consents.get((user.username, asked.client_id), set()):
            raise ConsentRequired(request=asked)
        return self._send_code(uri, scopes, asked, user, current)

    def _send_code(self, uri: str, scopes: list[str], asked: Any, user: DevUser, current: dict[str, Any]) -> Response:
        self.state.consents.setdefault((user.username, asked.client_id), set()).update(scopes)
        credentials = {**current, "user": user, "response_mode": "query"}
        fields, _, _ = self.server.create_authorization_response(uri, scopes=scopes, credentials=credentials)
        added = len(parse_qsl(urlsplit(asked.redirect_uri).query, keep_blank_values=True))
        params = parse_qsl(urlsplit(fields["Location"]).query, keep_blank_values=True)[added:]
        return self._send_back(asked.redirect_uri, asked.response_mode, params)

    def _send_error(self, error: OAuth2Error) -> Response:
        if not error.redirect_uri:
            return create_error_page(error.description or error.error or "")
        return self._send_back(
            error.redirect_uri, error.response_mode, [(name, value or "") for name, value in error.twotuples]
        )

    def _send_back(self, redirect_uri: str, response_mode: str | None, params: Params) -> Response:
        """Send the browser to a redirect URI that was found to be the client's."""
        values = dict(params)
        if self.state.settings.iss_in_callback:
            values["iss"] = self.state.url
        params = list(self.state.faults.take_tampering("callback").apply(values).items())
        if response_mode == "form_post":
            return create_page("form_post.html", action=redirect_uri, fields=params)
        location = add_params_to_uri(redirect_uri, params, fragment=response_mode == "fragment")
        response = redirect(location, 303)
        response.headers["Cache-Control"] = "no-store"
        assert isinstance(response, Response)
        return response

    def token(self) -> Response:
        """RFC 6749 section 3.2. The work is done at once; only the answer waits for ``token_delay``."""
        answer = self._create_token()
        if self.state.settings.token_delay:
            time.sleep(self.state.settings.token_delay)
        return answer

    @locked
    def _create_token(self) -> Response:
        try:
            answer = self.server.create_token_response(secure_uri(), method(), form_body(), headers())
        except OAuth2Error as error:
            answer = ({"Content-Type": "application/json"}, error.json, error.status_code)
        except ValueError:
            answer = ({"Content-Type": "application/json"}, '{"error": "invalid_request"}', 400)
        if answer[2] == 200:
            answer = (answer[0], _tamper(self.state.faults.take_tampering("token"), answer[1]), 200)
        return to_response(answer)

    @locked
    def revoke(self) -> Response:
        """RFC 7009 section 2."""
        return to_response(self.server.create_revocation_response(secure_uri(), method(), form_body(), headers()))

    @locked
    def introspect(self) -> Response:
        """RFC 7662 section 2."""
        return to_response(self.server.create_introspect_response(secure_uri(), method(), form_body(), headers()))

    @locked
    def authenticate(self) -> tuple[DevUser | None, Any] | None:
        """Check the Bearer token of an API call (RFC 6750 section 2).

        :return: the user (``None`` for client credentials) and oauthlib's request, or ``None`` for a bad token.
        """
        try:
            valid, checked = self.server.verify_request(secure_uri(), method(), form_body(), headers())
        except ValueError:
            return None
        return (checked.user, checked) if valid else None


def _tamper(tampering: Tampering, body: str | None) -> str:
    if tampering.raw is not None:
        return str(tampering.raw)
    return json.dumps(tampering.apply(json.loads(body or "{}")))
