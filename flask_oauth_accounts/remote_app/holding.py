"""A client's settings, and whose token it uses."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from ..clients.base import ClientConfig, split_allowed_host
from ..errors import ConfigurationError
from ..providers import Preset
from ..tokens import StoredToken, TokenDict
from .hosts import TrustedHosts
from .memo import Memo, current_memo
from .runtime import Binding, Runtime, Source, TokenCallbacks, create_transport


class TokenHolder:
    """A client that knows whose token it uses.

    :param config: the client's settings.
    :param runtime: what the application lends it.
    :param callbacks: the application's own token functions.
    """

    OAUTH_APP_CONFIG: ClassVar[Mapping[str, Any] | None] = None
    protocol: ClassVar[Any]

    def __init__(self, config: ClientConfig, runtime: Runtime, callbacks: TokenCallbacks) -> None:
        self._config = config
        self._runtime = runtime
        self._callbacks = callbacks
        self._binding: Binding | None = None
        self._transport = create_transport(config, runtime)
        self._hosts = TrustedHosts(
            config.api_base_url,
            [split_allowed_host(config.name, host) for host in config.allowed_hosts],
            (config.userinfo_endpoint, config.revocation_endpoint, config.introspection_endpoint),
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    # -- what it is ---------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The client's name in the registry."""
        return self._config.name

    @property
    def preset(self) -> Preset | None:
        """The preset it was made from."""
        return self._config.preset

    @property
    def is_openid(self) -> bool:
        """Whether an ID token is asked for."""
        return self._config.is_openid

    @property
    def display_name(self) -> str:
        """The provider's name for people: ``display_name``, else the preset's, else made of the client's name."""
        if self._config.display_name:
            return self._config.display_name
        if self.preset is not None and self.preset.key != "oidc":
            return self.preset.display_name
        return self.name.replace("_", " ").replace("-", " ").title()

    @property
    def brand_color(self) -> str | None:
        """The provider's colour, ``#rrggbb``."""
        return self.preset.brand_color if self.preset else None

    def __getattr__(self, name: str) -> Any:
        # The registered values: client_id, api_base_url, authorize_url, client_kwargs, …
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return getattr(self.__dict__["_config"], name)
        except (KeyError, AttributeError):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}") from None

    # -- whose token --------------------------------------------------------------------------------------------------

    def for_user(self, user_or_id: Any, account: str | None = None) -> Any:
        """The same client, bound to the stored token of a user; an app context is enough.

        :param user_or_id: a user, or the id of one.
        :param account: which provider account; the one last logged in with, where there are several.
        :return: a client.
        :raises ConfigurationError: if no accounts are set up for this registry, or for a user of another class.
        """
        if self._runtime.vault is None:
            raise ConfigurationError(
                f"{self.name}.for_user() needs stored tokens: set up OAuthAccounts(oauth, db=…, user_model=…), or give "
                "the token with the call",
                provider=self.name,
            )
        bound = copy.copy(self)
        bound._binding = Binding(self._runtime.identify(user_or_id), account)
        return bound

    @property
    def token(self) -> Any:
        """The token that a call would use now, ``None`` where there is none.

        It is the user's, obtained in this request or stored, else the client's own (grant ``client_credentials``), if
        one was obtained in this request.
        """
        return self._find_token()[0]

    @token.setter
    def token(self, token: Mapping[str, Any] | None) -> None:
        self._memo().remember_obtained(self._obtained_key(), token, self._speaks_for())

    def _speaks_for(self) -> Any:
        """The id of the user whose token is used: the one this client is bound to, else the current one."""
        return self._binding.user_id if self._binding else self._runtime.current_user_id()

    def _memo(self) -> Memo:
        return current_memo()

    def _memo_key(self) -> tuple[int, str]:
        return (id(self._runtime), self.name)

    def _find_token(self) -> tuple[TokenDict | None, StoredToken | None]:
        """The token and, where it comes from the vault, its row; the client's own where there is none of a user."""
        token, stored = self._find_users_token()
        return (self._memo().find_service(self._obtained_key()), None) if token is None else (token, stored)

    def _find_users_token(self) -> tuple[TokenDict | None, StoredToken | None]:
        memo, key = self._memo(), self._memo_key()
        user_id = self._speaks_for()
        account = self._binding.account if self._binding else None
        obtained = self._find_obtained()
        if obtained is not None:
            return self._latest(TokenDict(obtained)), None
        if self._binding is None and self._callbacks.fetch_token is not None:
            token = self._ask_application(self._callbacks.fetch_token, user_id)
            return (None if token is None else self._latest(token)), None
        vault = self._runtime.vault
        if vault is None or user_id is None:
            return None, None
        stored = memo.find_stored(key, user_id, account)
        if stored is None:
            stored = vault.load(user_id, self.name, account, protocol=self.protocol)
            memo.remember_stored(key, user_id, account, stored)
        return (None, None) if stored is None else (stored.token, stored)

    def _find_obtained(self) -> Any:
        return self._memo().find_obtained(self._obtained_key(), self._speaks_for())

    def _obtained_key(self) -> tuple[Any, Binding | None]:
        return (self._memo_key(), self._binding)

    def _source_of(self, stored: StoredToken | None) -> Source:
        """Where the token that :meth:`_find_token` gives comes from.

        :param stored: its row, where it has one.
        """
        if stored is not None:
            return Source.VAULT
        return Source.APPLICATION if self._find_obtained() is None else Source.CALL

    def remember_stored(self, stored: StoredToken) -> None:
        """Use a row of the vault that was read in this request already.

        :param stored: of the current user, the account last logged in with.
        """
        self._memo().remember_stored(self._memo_key(), stored.user_id, None, stored)

    def _ask_application(self, fetch: Callable[[], Mapping[str, Any] | None], user_id: Any) -> TokenDict | None:
        memo, key = self._memo(), self._memo_key()
        if user_id is not None:
            fetched = memo.find_fetched(key, user_id)
            if fetched is not None:
                return fetched
        token = fetch()
        if token is None:
            return None
        result = TokenDict({name: value for name, value in token.items() if value is not None})
        if user_id is not None:
            memo.remember_fetched(key, user_id, result)
        return result

    def _latest(self, token: TokenDict) -> TokenDict:
        """What a token was renewed to in this request."""
        return token
