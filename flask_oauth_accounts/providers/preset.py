"""A preset: everything the package knows about one provider, as a value.

The facts stand in one TOML file per provider, :mod:`.loader` reads them. Nothing here talks to anybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from .placeholders import Placeholder, collect_parameters, fill, find_slots

PresetProtocol = Literal["oauth1", "oauth2", "oidc"]
IdentitySource = Literal["userinfo", "id_token", "token_response"]

_ENDPOINTS = (
    "request_token_url",
    "authorize_url",
    "access_token_url",
    "refresh_token_url",
    "api_base_url",
    "server_metadata_url",
    "issuer",
    "userinfo_endpoint",
    "revocation_endpoint",
    "introspection_endpoint",
    "end_session_endpoint",
    "jwks_uri",
)
_LISTS = ("issuer_aliases", "allowed_hosts", "id_token_signing_algs")
_PARAMS = ("request_token_params", "authorize_params", "access_token_params", "refresh_token_params")
_CLIENT_KWARGS = (
    "scope",
    "code_challenge_method",
    "token_endpoint_auth_method",
    "token_placement",
    "response_mode",
    "signature_method",
)


def _empty() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True)
class ProfilePaths:
    """Where a profile answer holds what an :class:`~flask_oauth_accounts.identity.Identity` needs.

    Each value is a claim path, see :mod:`.paths`; ``""`` says that the provider has no such thing.

    :ivar email_verified: the path of the provider's own statement. It counts if it is JSON true or false.
    :ivar email_verified_strings: the provider writes ``"true"`` and ``"false"`` as text, so these count too.
    :ivar email_verified_present: the statement is made by a value that is there (a date of confirmation).
    :ivar profile_url_template: an address with ``{username}`` or ``{subject}``, where no claim holds it.
    """

    subject: str
    email: str = ""
    email_verified: str = ""
    email_verified_strings: bool = False
    email_verified_present: bool = False
    username: str = ""
    display_name: str = ""
    avatar_url: str = ""
    profile_url: str = ""
    profile_url_template: str = ""


@dataclass(frozen=True)
class RefreshFacts:
    """What is known about refresh tokens.

    :ivar supported: whether there are any; what they have to be asked for with stands beside it.
    :ivar rotates: each answer brings a new refresh token and ends the old one; ``None`` where nobody documents it.
    :ivar params: authorization parameters that a refresh token has to be asked for with.
    :ivar scope: the scope that a refresh token has to be asked for with.
    :ivar note: one sentence for the documentation.
    """

    supported: bool = False
    rotates: bool | None = None
    params: Mapping[str, str] = field(default_factory=_empty)
    scope: str = ""
    note: str = ""


@dataclass(frozen=True)
class RevocationFacts:
    """How a grant is ended at the provider.

    :ivar kind: ``rfc7009`` (by ``revocation_endpoint``), ``request`` (a call of the provider's own) or ``none``.
    :ivar method: of that call.
    :ivar url: of that call, absolute or relative to ``api_base_url``; ``{client_id}`` is filled in by the client.
    :ivar auth: ``client`` (HTTP Basic with client id and secret) or ``token`` (like any API call).
    :ivar token_field: the JSON field that names the access token, ``""`` where the call has no body.
    :ivar success_field: the JSON field of the answer that is true where it worked, ``""`` where the status says it.
    :ivar ends: ``grant`` where the user's whole consent ends, ``token`` where only this token does.
    :ivar note: one sentence for the documentation.
    """

    kind: Literal["rfc7009", "request", "none"] = "none"
    method: str = "POST"
    url: str = ""
    auth: Literal["client", "token"] = "token"
    token_field: str = ""
    success_field: str = ""
    ends: Literal["grant", "token"] = "token"
    note: str = ""


@dataclass(frozen=True)
class ExtraRequest:
    """One more request that completes the profile. If it fails, the profile goes without what it would have brought.

    :ivar key: what the claim paths call the answer, ``$key``.
    :ivar url: relative to ``api_base_url``.
    """

    key: str
    method: str
    url: str


@dataclass(frozen=True)
class Preset:
    """The facts about one provider. Arguments of ``OAuth.register`` carry the same names here.

    :ivar key: the preset's name.
    :ivar console_hint: one sentence: where to register an application.
    :ivar account_issuer: the fixed URL that stands for the issuer of subjects where the provider has no issuer of its
        own. It is never compared with ``iss`` in a callback, ``issuer`` is.
    :ivar issuer_aliases: further spellings of ``iss`` that mean the same issuer.
    :ivar issuer_template: the issuer of a provider with many tenants; ``{tenantid}`` stands for the claim ``tid``.
    :ivar scope: joined by ``scope_separator``.
    :ivar code_challenge_method: ``S256``, also where nobody documents it, for a server that does not know a parameter
        ignores it (RFC 6749 section 3.1); ``none`` where clients had to switch it off.
    :ivar trusted_audiences: that its ID tokens name beside the client; ``*`` for any.
    :ivar uses_nonce: ``False`` where the provider never puts the nonce into its ID token.
    :ivar api_headers: headers that each API call needs; ``{client_id}`` stands for the client id.
    :ivar trusts_email: whether the provider's ``email_verified`` may link accounts where the operator allows it.
    :ivar identity_source: where the person is found: the userinfo answer, the ID token alone, or the token answer.
    :ivar client_secret_form: ``fixed``, or ``apple`` where it is a JWT that the client signs, see :mod:`.apple`.
    """

    key: str
    display_name: str
    protocol: PresetProtocol
    brand_color: str
    docs_url: str
    console_hint: str
    profile: ProfilePaths
    request_token_url: str | None = None
    request_token_params: Mapping[str, Any] = field(default_factory=_empty)
    authorize_url: str | None = None
    authorize_params: Mapping[str, Any] = field(default_factory=_empty)
    access_token_url: str | None = None
    access_token_params: Mapping[str, Any] = field(default_factory=_empty)
    refresh_token_url: str | None = None
    refresh_token_params: Mapping[str, Any] = field(default_factory=_empty)
    api_base_url: str | None = None
    server_metadata_url: str | None = None
    issuer: str | None = None
    account_issuer: str | None = None
    issuer_aliases: tuple[str, ...] = ()
    issuer_template: str | None = None
    userinfo_endpoint: str | None = None
    userinfo_method: Literal["GET", "POST"] = "GET"
    revocation_endpoint: str | None = None
    introspection_endpoint: str | None = None
    end_session_endpoint: str | None = None
    jwks_uri: str | None = None
    scope: str | None = None
    scope_separator: str = " "
    code_challenge_method: Literal["S256", "none"] = "S256"
    token_endpoint_auth_method: str | None = None
    token_placement: str | None = None
    response_mode: str | None = None
    signature_method: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    id_token_signing_algs: tuple[str, ...] = ()
    trusted_audiences: tuple[str, ...] = ()
    uses_nonce: bool = True
    api_headers: Mapping[str, str] = field(default_factory=_empty)
    trusts_email: bool = False
    identity_source: IdentitySource = "userinfo"
    client_secret_form: Literal["fixed", "apple"] = "fixed"  # noqa: S105 - a form, not a secret
    placeholders: tuple[Placeholder, ...] = ()
    refresh: RefreshFacts = field(default_factory=RefreshFacts)
    revocation: RevocationFacts = field(default_factory=RevocationFacts)
    requests: tuple[ExtraRequest, ...] = ()
    note: str = ""

    @property
    def is_openid(self) -> bool:
        """Whether the preset asks for an ID token."""
        return self.protocol == "oidc"

    @property
    def extra_requests(self) -> tuple[tuple[str, str, str], ...]:
        """Key, method and URL of the requests that complete the profile; a failure leaves its part out."""
        return tuple((item.key, item.method, item.url) for item in self.requests)

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the placeholders; each is a keyword of ``register`` and, in upper case, a configuration key."""
        return tuple(placeholder.name for placeholder in self.placeholders)

    def collect_parameters(
        self, name: str, config: Mapping[str, Any], given: Mapping[str, Any] | None = None, *, own_server: bool = False
    ) -> dict[str, str]:
        """Find and check the values for the preset's placeholders.

        :param name: of the client in the registry; its keys are ``{NAME}_{PLACEHOLDER}``.
        :param config: the application's configuration.
        :param given: keyword arguments of ``register``.
        :param own_server: the application says itself where the server is, so no placeholder is needed.
        :return: placeholder → value, for :meth:`settings`.
        :raises ConfigurationError: for a required value that is missing, or one that does not fit.
        """
        return collect_parameters(self.placeholders, name, config, given, optional=own_server)

    def settings(
        self,
        parameters: Mapping[str, Any] | None = None,
        *,
        metadata_url: str | None = None,
        own_server: bool = False,
    ) -> dict[str, Any]:
        """Write the preset as arguments of ``OAuth.register``.

        :param parameters: values of the placeholders; they are checked here once more.
        :param metadata_url: the discovery document that the application names. If it is another one than the preset's,
            everything that says where this provider is (endpoints, issuer, trusted hosts) is left out, so that nothing
            of one server is mixed with another; placeholders are not needed then.
        :param own_server: the application gives the endpoints of a login itself; addresses whose placeholder has no
            value are left out.
        :return: a new dictionary that nobody shares.
        :raises ConfigurationError: for a required value that is missing, or one that does not fit.
        """
        values = self.collect_parameters(self.key, {}, parameters, own_server=own_server or bool(metadata_url))
        if metadata_url in (None, "", fill(self.server_metadata_url or "", values)):
            result = self._write_addresses(values)
        else:
            result = {"server_metadata_url": metadata_url}
        result.update({name: dict(getattr(self, name)) for name in _PARAMS if getattr(self, name)})
        if self.trusted_audiences:
            # What its software does, wherever it runs.
            result["trusted_audiences"] = list(self.trusted_audiences)
        client_kwargs = {name: getattr(self, name) for name in _CLIENT_KWARGS if getattr(self, name)}
        if self.protocol == "oauth1":
            del client_kwargs["code_challenge_method"]
        result["client_kwargs"] = client_kwargs
        return result

    def _write_addresses(self, values: Mapping[str, str]) -> dict[str, Any]:
        open_places = set(self.parameters) - values.keys()

        def write(*templates: str | None) -> list[str]:
            return [fill(item, values) for item in templates if item and not find_slots(item) & open_places]

        endpoints = {name: found[0] for name in _ENDPOINTS if (found := write(getattr(self, name)))}
        return {**endpoints, **{name: found for name in _LISTS if (found := write(*getattr(self, name)))}}

    def create_api_headers(self, client_id: str) -> dict[str, str]:
        """Write the headers that each API call needs.

        :param client_id: some providers want it in a header of its own.
        :return: a new dictionary.
        """
        return {name: value.replace("{client_id}", client_id) for name, value in self.api_headers.items()}
