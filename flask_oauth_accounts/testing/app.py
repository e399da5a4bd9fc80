"""The provider as a Flask application, and the server that runs it on loopback."""

from __future__ import annotations

import logging
import secrets
import socket
import threading
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, g, request
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from ..errors import ConfigurationError
from .api import ApiViews, SiteViews
from .consent import create_error_page
from .journal import create_record
from .models import is_loopback_host
from .oauth1_server import OAuth1Views
from .oauth2_server import OAuth2Views
from .state import ProviderState

_MAX_BODY = 1024 * 1024
_BACKLOG = 128


def create_app(state: ProviderState) -> Flask:
    """Build the provider's application.

    :param state: the memory it works on.
    :return: an application without a server.
    """
    _quiet_server_loggers()
    app = Flask(__name__, template_folder="pages", static_folder=None)
    app.config.update(
        SECRET_KEY=secrets.token_bytes(32),
        SESSION_COOKIE_NAME="dev_provider",
        SESSION_COOKIE_SAMESITE="Lax",
        MAX_CONTENT_LENGTH=_MAX_BODY,
    )
    app.before_request(lambda: _before(state))
    app.after_request(_after)
    oauth1, oauth2 = OAuth1Views(state), OAuth2Views(state)
    for views in (oauth1, oauth2, ApiViews(state, oauth1, oauth2), SiteViews(state)):
        views.register(app)
    return app


def _before(state: ProviderState) -> Response | None:
    """Refuse names that only DNS rebinding could lead here by, keep the record, and fail where that is scripted."""
    if not is_loopback_host(urlsplit(f"//{request.host}").hostname):
        return create_error_page("This provider answers on loopback addresses only.", status=421)
    request.get_data(cache=True)
    g.dev_provider_record = create_record(request)
    state.log.append(g.dev_provider_record)
    state.secrets.learn_request(request)
    g.dev_provider_fault = fault = state.faults.take(request.path)
    return fault.answer() if fault is not None and not fault.after else None


def _after(response: Response) -> Response:
    fault = g.get("dev_provider_fault")
    if fault is not None and fault.after:
        response = fault.answer() or response
    if "dev_provider_record" in g:
        g.dev_provider_record.status = response.status_code
    return response


def _quiet_server_loggers() -> None:
    """Keep the provider's secrets out of the log of the application under test, which may be this very process.

    oauthlib writes codes and tokens at DEBUG level; these loggers belong to its server side alone.
    """
    for name in (
        "oauthlib.oauth1.rfc5849.endpoints",
        "oauthlib.oauth1.rfc5849.signature",
        "oauthlib.oauth2.rfc6749.endpoints",
        "oauthlib.oauth2.rfc6749.grant_types",
    ):
        logging.getLogger(name).setLevel(logging.INFO)


class _QuietHandler(WSGIRequestHandler):
    """Logs nothing: addresses carry codes."""

    def log(self, type: str, message: str, *args: Any) -> None:
        return None


class LoopbackServer:
    """A real HTTP server for one application, on an address that never leaves this machine.

    :param host: a loopback address or ``localhost``.
    :param port: ``0`` for any free one, which is then kept for later starts.
    :raises ConfigurationError: for any other host.
    """

    def __init__(self, host: str, port: int) -> None:
        if not is_loopback_host(host):
            raise ConfigurationError(
                f"the development provider lets anybody in, so it only listens on loopback; host={host!r} is not, "
                'use "127.0.0.1", "localhost" or "::1"'
            )
        self.host, self.port = host, port
        self._server: BaseWSGIServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The origin, without a slash at the end."""
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"

    @property
    def is_running(self) -> bool:
        """Whether it listens."""
        return self._server is not None

    def bind(self, app: Flask) -> None:
        """Take the port.

        :raises ConfigurationError: if somebody else has it.
        """
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            listener = socket.create_server((self.host, self.port), family=family, backlog=_BACKLOG)
        except OSError as error:
            raise ConfigurationError(
                f"the development provider cannot listen on {self.host} port {self.port} ({error.strerror}); "
                "choose another port, or 0 for any free one"
            ) from error
        with listener:
            self.port = listener.getsockname()[1]
            self._server = make_server(
                self.host, self.port, app, threaded=True, request_handler=_QuietHandler, fd=listener.fileno()
            )

    def serve_forever(self) -> None:
        """Answer until somebody calls :meth:`stop`, or Ctrl-C."""
        assert self._server is not None
        self._server.serve_forever(poll_interval=0.02)

    def serve_in_thread(self) -> None:
        """Answer in daemon threads."""
        self._thread = threading.Thread(target=self.serve_forever, name="dev-provider", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Give the port back; does nothing where it does not listen."""
        server, thread = self._server, self._thread
        self._server = self._thread = None
        if server is not None and thread is not None:
            server.shutdown()
            thread.join()
        if server is not None:
            server.server_close()
