"""What an application has to be told to use this provider, as registration arguments and as configuration keys."""

from __future__ import annotations

from typing import Any, Literal

from ..errors import ConfigurationError
from .models import DevClient

Kind = Literal["oauth1", "oauth2", "oidc"]


def create_register_kwargs(url: str, client: DevClient, kind: str) -> dict[str, Any]:
    """Arguments for ``oauth.register(name, **kwargs)``.

    :param url: the provider's origin.
    :param client: the application's registration.
    :param kind: ``"oauth1"``, ``"oauth2"`` or ``"oidc"``.
    :return: keyword arguments.
    :raises ConfigurationError: for any other kind.
    """
    kwargs: dict[str, Any] = {"client_id": client.client_id, "client_secret": client.client_secret}
    if kind == "oauth1":
        kwargs |= {
            "request_token_url": f"{url}/oauth1/request_token",
            "access_token_url": f"{url}/oauth1/access_token",
            "authorize_url": f"{url}/oauth1/authorize",
            "api_base_url": f"{url}/oauth1/api/",
            "userinfo_endpoint": f"{url}/oauth1/api/me",
        }
    elif kind == "oauth2":
        kwargs |= {
            "access_token_url": f"{url}/oauth2/token",
            "authorize_url": f"{url}/oauth2/authorize",
            "api_base_url": f"{url}/api/",
            "userinfo_endpoint": f"{url}/api/me",
            "revocation_endpoint": f"{url}/oauth2/revoke",
            "client_kwargs": {"scope": "profile email"},
        }
    elif kind == "oidc":
        kwargs |= {
            "server_metadata_url": f"{url}/.well-known/openid-configuration",
            "api_base_url": f"{url}/api/",
            "client_kwargs": {"scope": "openid email profile"},
        }
    else:
        raise ConfigurationError(f'kind {kind!r} is unknown; use "oauth1", "oauth2" or "oidc"')
    return {key: value for key, value in kwargs.items() if value is not None}


def create_config(url: str, client: DevClient, kind: str, prefix: str) -> dict[str, str]:
    """Configuration keys that say the same.

    :param url: the provider's origin.
    :param client: the application's registration.
    :param kind: ``"oauth1"``, ``"oauth2"`` or ``"oidc"``.
    :param prefix: the name of the client in the registry, in any case.
    :return: keys with the prefix in upper case.
    :raises ConfigurationError: for any other kind.
    """
    kwargs = create_register_kwargs(url, client, kind)
    kwargs |= kwargs.pop("client_kwargs", {})
    return {f"{prefix}_{key}".upper(): value for key, value in kwargs.items()}
