"""Where the shipped templates and migrations lie: inside the installed package, or beside it in a checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def find_directory(name: str, sentinel: str) -> Path:
    """Find a shipped directory.

    :param name: its name, ``"templates"`` or ``"migrations"``.
    :param sentinel: a file that must be in it.
    :return: the absolute path.
    :raises FileNotFoundError: if the package was installed without it.
    """
    for parent in (_PACKAGE, _PACKAGE.parent):
        directory = parent / name
        if (directory / sentinel).is_file():
            return directory
    raise FileNotFoundError(f"flask_oauth_accounts was installed without its {name}; install it again")


def templates() -> Path:
    """The folder that holds ``oauth_accounts/``."""
    return find_directory("templates", "oauth_accounts/base.html")


def migrations() -> Path:
    """The folder that holds ``env.py`` and ``versions/``."""
    return find_directory("migrations", "env.py")
