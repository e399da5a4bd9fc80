"""``flask oauth …``: one module for each group of commands; nothing is imported before a command runs.

The group is an entry point of the package (``flask.commands``), so it is there for an application that has a registry
only, and for commands that need no application at all.
"""

from __future__ import annotations

import importlib
from typing import Any

import click
from flask import Flask
from flask.cli import AppGroup

COMMANDS = {
    "db": ("db", "db_group"),
    "dev-provider": ("dev_provider", "dev_provider_command"),
    "doctor": ("doctor", "doctor_command"),
    "import": ("imports", "import_group"),
    "keys": ("keys", "keys_group"),
    "providers": ("providers", "providers_command"),
    "purge": ("purge", "purge_command"),
    "tokens": ("tokens", "tokens_group"),
}
"""Name of the command → module in this folder and name in it."""


class _LazyGroup(AppGroup):
    """A group that imports a command's module when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *COMMANDS})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        module, attribute = COMMANDS[cmd_name]
        command: Any = getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
        return command if isinstance(command, click.Command) else None


oauth_group = _LazyGroup("oauth", help="Accounts and tokens of OAuth and OpenID Connect providers.")


def create_cli(app: Flask) -> None:
    """Add ``flask oauth`` to an application's command line, for ``app.test_cli_runner()`` too.

    :param app: the application.
    """
    if "oauth" not in app.cli.commands:
        app.cli.add_command(oauth_group)
