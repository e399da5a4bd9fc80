"""Run ``app.py`` beside a provider of its own, so that signing in works with nothing registered anywhere.

Each start begins afresh: the instance folder of the run before, with its users and tokens, is removed.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import secrets
import shutil
from pathlib import Path

from werkzeug.serving import make_server

from flask_oauth_accounts.testing import DevProvider

HERE = Path(__file__).resolve().parent
CLIENTS = {"oauth1": "oauth1", "oauth2": "oauth2", "openid": "oidc"}
LABELS = {"oauth1": "OAuth 1", "oauth2": "OAuth 2", "openid": "OpenID Connect"}


def configure(provider: DevProvider) -> None:
    """Put three clients of the provider into the environment, as an operator would with real ones."""
    settings: dict[str, object] = {
        "SECRET_KEY": secrets.token_hex(32),
        "OAUTH_ACCOUNTS_PROVIDERS": list(CLIENTS),
        "DEBUG": True,  # plain http will do on this machine, and nobody warns of it
    }
    for name, kind in CLIENTS.items():
        settings |= provider.config(kind, name)
        settings[f"{name.upper()}_DISPLAY_NAME"] = LABELS[name]
    os.environ |= {f"FLASK_{key}": json.dumps(value) for key, value in settings.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="The five-line application with a provider on loopback.")
    parser.add_argument("--port", type=int, default=5000, help="0 for any free one")
    port = parser.parse_args().port
    logging.basicConfig(level=logging.WARNING)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # addresses carry codes
    shutil.rmtree(HERE / "instance", ignore_errors=True)
    with DevProvider() as provider:
        configure(provider)
        from app import app

        server = make_server("127.0.0.1", port, app, threaded=True)
        print(f"Open http://127.0.0.1:{server.server_port}/login", flush=True)
        print(
            f"The provider is at {provider.url}, users and tokens are in {app.instance_path}. Ctrl-C ends both.",
            flush=True,
        )
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
        finally:
            server.server_close()


if __name__ == "__main__":
    main()
