"""``flask oauth dev-provider``: the development provider in the foreground."""

from __future__ import annotations

import contextlib

import click

from ..errors import ConfigurationError
from ..testing import DevProvider

_KINDS = (("oauth1", "dev1"), ("oauth2", "dev2"), ("oidc", "dev"))


@click.command("dev-provider")
@click.option("--host", default="127.0.0.1", show_default=True, help="A loopback address; anything else is refused.")
@click.option("--port", default=5001, show_default=True, type=click.IntRange(0, 65535), help="0 for any free one.")
@click.option("--client-id", default="dev-client", show_default=True)
@click.option("--client-secret", default="dev-client-secret-for-this-machine-only", show_default=True)
@click.option("--access-token-lifetime", default=3600.0, show_default=True, help="Seconds.")
def dev_provider_command(
    host: str, port: int, client_id: str, client_secret: str, access_token_lifetime: float
) -> None:
    """Run an OAuth 1, OAuth 2 and OpenID Connect provider on this machine, until Ctrl-C.

    It asks for no password and forgets everything when it ends: for development only.
    """
    try:
        provider = DevProvider(
            host=host,
            port=port,
            client_id=client_id,
            client_secret=client_secret,
            access_token_lifetime=access_token_lifetime,
        )
        with contextlib.suppress(KeyboardInterrupt):  # the server ends with most of them quietly itself
            provider.serve_forever(on_ready=_introduce)
    except (ConfigurationError, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo("\nStopped.")


def _introduce(provider: DevProvider) -> None:
    """Say where it is, who is there, and what to paste."""
    click.echo(f"Development provider at {provider.url}, until Ctrl-C\n")
    click.echo("Users:")
    for user in provider.users.values():
        if user.email is None:
            email = "no e-mail address"
        else:
            email = user.email if user.email_verified else f"{user.email}, not verified"
        click.echo(f"  {user.username:<8}{user.display_name} ({email})")
    for kind, name in _KINDS:
        click.echo(f'\n# {kind}: oauth.register("{name}")')
        for key, value in provider.config(kind, name).items():
            click.echo(f'{key} = "{value}"')
