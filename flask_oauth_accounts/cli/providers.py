"""``flask oauth providers``: what is registered, and what could be."""

from __future__ import annotations

import click
from flask import current_app
from flask.cli import with_appcontext

from ..errors import OAuthError
from ..providers import list_presets, load_preset
from ..registry import get_state
from .addresses import find_redirect_uri
from .common import describe_no_client, report_errors, show_table


@click.command("providers", help="List the registered clients with the redirect URI of each, or all presets.")
@click.option("--presets", is_flag=True, help="List the presets that come with the package; needs no application.")
@report_errors
def providers_command(presets: bool) -> None:
    """Print a table; nobody is asked."""
    if presets:
        rows = [(preset.key, preset.display_name, preset.protocol) for preset in map(load_preset, list_presets())]
        show_table(("preset", "provider", "protocol"), rows)
        return
    _list_clients()


@with_appcontext
def _list_clients() -> None:
    state = get_state()
    oauth = state.oauth
    lines = []
    for name in oauth.list_names():
        try:
            client = oauth.create_client(name)
            kind = "openid" if client.is_openid else client.protocol
            lines.append((name, client.display_name, kind, find_redirect_uri(name) or "-"))
        except OAuthError as error:
            lines.append((name, "-", "not usable", error.operator_message))
    if not lines:
        click.echo(f"{current_app.name}: {describe_no_client(state)}")
        return
    show_table(("name", "provider", "protocol", "redirect URI to register"), lines)
