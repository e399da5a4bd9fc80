"""The provider itself: a real OAuth 1.0a, OAuth 2 and OpenID Connect server in memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from requests import Response, Session

from ..errors import ConfigurationError
from .app import LoopbackServer, create_app
from .browser import Callback, open_browser, submit_page
from .client_config import create_config, create_register_kwargs
from .faults import Tampering
from .journal import RequestLog, RequestRecord
from .keys import find_key
from .models import DEV_KEY, DevClient, DevUser, ProviderSettings, default_users
from .openid import create_logout_token
from .scripting import Scripting
from .state import ProviderState, new_token


class DevProvider(Scripting):
    """A provider for demonstrations and tests: real HTTP, real protocols, nothing stored, no password asked.

    Every protocol step is the real one; only the people are not. It never listens outside loopback. Used as a
    context manager it runs in threads of its own::

        with DevProvider() as provider:
            app.config.update(provider.oidc_config("DEV"))

    :param users: who can log in; alice, bob and carol by default.
    :param host: a loopback address.
    :param port: ``0`` for any free one.
    :param client_id: of the client that exists from the start, which may be redirected to any loopback address.
    :param client_secret: a random one by default.
    :param redirect_uris: further addresses that client may be redirected to.
    :param settings: the fields of :class:`ProviderSettings`, times in seconds; ``provider.settings`` can be
        changed later on.
    :raises ConfigurationError: for a host outside loopback, or a setting that does not exist.
    """

    def __init__(
        self,
        users: Iterable[DevUser] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        client_id: str = "dev-client",
        client_secret: str | None = None,
        redirect_uris: Sequence[str] = (),
        **settings: Any,
    ) -> None:
        self._server = LoopbackServer(host, port)
        try:
            self.settings = ProviderSettings(**settings)
        except TypeError as error:
            known = ", ".join(sorted(ProviderSettings.__dataclass_fields__))
            raise ConfigurationError(f"DevProvider does not know this setting ({error}); known are {known}") from None
        self.state = ProviderState(self.settings, default_users() if users is None else users)
        self.app = create_app(self.state)
        self._client = self.add_client(
            client_id, client_secret=client_secret, redirect_uris=redirect_uris, any_loopback_redirect=True
        )

    # running

    def start(self) -> Self:
        """Listen, and answer in daemon threads.

        :return: the provider. After a :meth:`stop` it comes back on the same port, with all it knew.
        """
        if not self._server.is_running:
            self._bind()
            self._server.serve_in_thread()
        return self

    def serve_forever(self, on_ready: Callable[[DevProvider], None] | None = None) -> None:
        """Listen, and answer in this thread until Ctrl-C.

        :param on_ready: called once :attr:`url` is known.
        """
        self._bind()
        try:
            if on_ready is not None:
                on_ready(self)
            self._server.serve_forever()
        finally:
            self.stop()

    def _bind(self) -> None:
        self._server.bind(self.app)
        self.state.url = self._server.url

    def stop(self) -> None:
        """Stop listening, and release whoever hangs in a scripted fault."""
        self.state.faults.clear()
        self._server.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # what a client must know

    @property
    def url(self) -> str:
        """The origin, for example ``http://127.0.0.1:5001``.

        :raises RuntimeError: before the first start, while there is no port yet.
        """
        if not self.state.url:
            raise RuntimeError("the provider has no address yet; call start() first")
        return self.state.url

    @property
    def issuer(self) -> str:
        """``iss`` of ID tokens and callbacks; the origin."""
        return self.url

    @property
    def client_id(self) -> str:
        """Of the client that exists from the start."""
        return self._client.client_id

    @property
    def client_secret(self) -> str:
        """Of the client that exists from the start."""
        return self._client.client_secret or ""

    @property
    def client_private_key(self) -> str:
        """PEM of the RSA key whose public half clients have registered, for RSA-SHA1 and ``private_key_jwt``."""
        return find_key("client", "RS256", 0).as_pem(private=True).decode()

    def register_kwargs(self, kind: str, client: DevClient | None = None) -> dict[str, Any]:
        """Arguments for ``oauth.register(name, **kwargs)``.

        :param kind: ``"oauth1"``, ``"oauth2"`` or ``"oidc"``.
        :param client: another client than the first.
        :return: keyword arguments, with ``client_kwargs`` for the scope.
        :raises ConfigurationError: for any other kind.
        """
        return create_register_kwargs(self.url, client or self._client, kind)

    def config(self, kind: str, prefix: str, client: DevClient | None = None) -> dict[str, str]:
        """Configuration keys for an application.

        :param kind: ``"oauth1"``, ``"oauth2"`` or ``"oidc"``.
        :param prefix: the name of the client in the registry.
        :param client: another client than the first.
        :return: for example ``DEV_CLIENT_ID`` for the prefix ``dev``.
        :raises ConfigurationError: for any other kind.
        """
        return create_config(self.url, client or self._client, kind, prefix)

    def oauth1_config(self, prefix: str) -> dict[str, str]:
        """:return: :meth:`config` of kind ``"oauth1"``."""
        return self.config("oauth1", prefix)

    def oauth2_config(self, prefix: str) -> dict[str, str]:
        """:return: :meth:`config` of kind ``"oauth2"``."""
        return self.config("oauth2", prefix)

    def oidc_config(self, prefix: str) -> dict[str, str]:
        """:return: :meth:`config` of kind ``"oidc"``."""
        return self.config("oidc", prefix)

    # people and applications

    def add_user(self, user: DevUser) -> DevUser:
        """Let somebody else log in, or replace the user of that name.

        :return: the same user.
        """
        with self.state.lock:
            self.state.users[user.username] = user
        return user

    @property
    def users(self) -> dict[str, DevUser]:
        """Who can log in, by user name; a copy."""
        return dict(self.state.users)

    def add_client(
        self,
        client_id: str | None = None,
        *,
        client_secret: str | None = None,
        public: bool = False,
        name: str = "Demo application",
        redirect_uris: Sequence[str] = (),
        post_logout_redirect_uris: Sequence[str] = (),
        any_loopback_redirect: bool = False,
        auth_methods: Sequence[str] | None = None,
        grant_types: Sequence[str] | None = None,
        public_key: str | None = None,
        backchannel_logout_uri: str | None = None,
    ) -> DevClient:
        """Register an application, or replace the one of that id.

        :param client_id: a random one by default.
        :param client_secret: a random one by default; none for a public client.
        :param public: whether the client has nothing to authenticate with (RFC 6749 section 2.1).
        :param public_key: PEM; the public half of :attr:`client_private_key` by default.
        :return: the client; its other fields are explained in :class:`DevClient`.
        """
        if public:
            secret = key = None
        else:
            secret, key = client_secret or new_token(), public_key or DEV_KEY
        client = DevClient(
            client_id or f"client-{new_token()[:12]}",
            secret,
            name,
            tuple(redirect_uris),
            tuple(post_logout_redirect_uris),
            any_loopback_redirect,
            None if auth_methods is None else tuple(auth_methods),
            None if grant_types is None else tuple(grant_types),
            key,
            backchannel_logout_uri,
        )
        with self.state.lock:
            self.state.clients[client.client_id] = client
        self.state.secrets.learn(secret)
        return client

    def add_redirect_uri(self, redirect_uri: str, client: DevClient | None = None) -> DevClient:
        """Register one more address that the browser may be sent back to, such as one on a public host.

        :param redirect_uri: the whole address; loopback hosts need none.
        :param client: another client than the first.
        :return: the client as it is registered now.
        """
        with self.state.lock:
            found = self.state.clients[(client or self._client).client_id]
            changed = replace(found, redirect_uris=(*found.redirect_uris, redirect_uri))
            self.state.clients[changed.client_id] = changed
        return changed

    # what has happened

    @property
    def log(self) -> RequestLog:
        """Every request so far."""
        return self.state.log

    def requests(self, path: str | None = None, **fields: Any) -> list[RequestRecord]:
        """:return: the requests that fit; see :meth:`RequestLog.matching`."""
        return self.state.log.matching(path, **fields)

    def count(self, path: str | None = None, **fields: Any) -> int:
        """:return: how many requests fit; see :meth:`RequestLog.matching`."""
        return self.state.log.count(path, **fields)

    def issued_secrets(self) -> set[str]:
        """Every client secret, code, verifier and token ever issued or received.

        :return: what must be found nowhere in a log, cookie, cache or database. OAuth 1's temporary ``oauth_token``
            is not in it: it names a login in plain sight of the browser.
        """
        return self.state.secrets.snapshot()

    # the human, and the provider's own calls

    def authorize(self, url: str, user: str = "alice", *, allow: bool = True) -> Callback:
        """Play the human: open the authorization URL, choose a user, allow or deny.

        :param url: as the application would send a browser there.
        :param user: a user name or subject.
        :param allow: whether the user consents.
        :return: the callback URL, a ``str``; with ``form`` where ``response_mode=form_post`` was asked for.
        :raises RuntimeError: if the provider shows an error page; the sentence tells its text.
        """
        with open_browser() as session:
            return self.authorize_in(session, url, user, allow=allow)

    def authorize_in(self, browser: Session, url: str, user: str = "alice", *, allow: bool = True) -> Callback:
        """The same in a browser that keeps its cookies, for ``prompt=none`` and ``max_age``.

        :param browser: a session that holds the cookies.
        :raises RuntimeError: if the provider shows an error page; the sentence tells its text.
        """
        decision = "allow" if allow else "deny"
        username = self.username(user) or ""
        return submit_page(url, {"user": username, "decision": decision}, session=browser)

    def confirm_logout(self, url: str) -> Callback:
        """Play the human at the logout page: press the button.

        :param url: of the end-session endpoint with its parameters.
        :return: where the browser is sent.
        :raises RuntimeError: if the provider shows an error page; the sentence tells its text.
        """
        with open_browser() as session:
            return submit_page(url, {}, session=session)

    def create_logout_token(
        self,
        user: str | None = None,
        *,
        sid: str | None = None,
        client: DevClient | None = None,
        remove: Collection[str] = (),
        alg: str | None = None,
        key: Any = None,
        header: Mapping[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """Mint a logout token (Back-Channel Logout 1.0 section 2.4).

        :param user: whose sessions end; a user name or subject, ``None`` for no ``sub``.
        :param sid: the session that ends.
        :param client: the audience, the first client by default.
        :return: a compact JWS; the other parameters are those of :meth:`next_id_token`.
        """
        found = self.state.find_user(user)
        subject = found.subject if found else user
        tampering = Tampering(claims, remove, options={"alg": alg, "key": key, "header": header})
        with self.state.lock:
            return create_logout_token(
                self.state, client or self._client, subject=subject, sid=sid, tampering=tampering
            )

    def send_backchannel_logout(
        self, user: str | None = None, *, url: str | None = None, client: DevClient | None = None, **options: Any
    ) -> Response:
        """Post a logout token to a client (Back-Channel Logout 1.0 section 2.5).

        :param user: whose sessions end.
        :param url: where to; the client's ``backchannel_logout_uri`` by default.
        :param client: the audience, the first client by default.
        :param options: further parameters of :meth:`create_logout_token`.
        :return: the client's answer.
        :raises ConfigurationError: if nobody says where to.
        """
        target = url or (client or self._client).backchannel_logout_uri
        if target is None:
            raise ConfigurationError("the client has no backchannel_logout_uri; give it one, or pass url=")
        token = self.create_logout_token(user, client=client, **options)
        with open_browser() as session:
            return session.post(target, data={"logout_token": token}, allow_redirects=False, timeout=10)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.state.url or 'not started'}>"
