"""``flask create-user``: somebody who signs in with e-mail and password."""

from __future__ import annotations

import click

from .models import User, db
from .views import site


@site.cli.command("create-user")
@click.argument("email")
@click.option("--password", prompt=True, hide_input=True)
def create_user(email: str, password: str) -> None:
    """Make a user with a password."""
    user = User(email=email.lower(), email_verified=True, name=email.partition("@")[0].title())
    user.set_password(password)
    db.session.add(user)
    db.session.commit()
    click.echo(f"{email} may sign in.")
