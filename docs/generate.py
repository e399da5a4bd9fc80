"""Write the tables of these pages that the code knows better: the settings and the presets.

``python docs/generate.py`` rewrites them in place; with ``--check`` it only says whether they are up to date.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

from flask_oauth_accounts.config import describe_settings
from flask_oauth_accounts.providers.loader import list_presets, load_preset

HERE = Path(__file__).parent
PROTOCOLS = {"oauth1": "OAuth 1", "oauth2": "OAuth 2", "oidc": "OpenID Connect"}


def show(default: object) -> str:
    """Write a default value for readers."""
    if default is None:
        return "unset"
    if isinstance(default, tuple):
        return "`" + ", ".join(map(str, default)) + "`" if default else "none"
    return f"`{default}`"


def render_settings() -> list[str]:
    rows = [f"| `{key}` | {show(default)} | {meaning} |" for key, default, meaning in describe_settings()]
    return ["| Key | Default | Meaning |", "|---|---|---|", *rows]


def render_presets() -> list[str]:
    rows = []
    for key in list_presets():
        preset = load_preset(key)
        needs = ", ".join(
            f"`{{NAME}}_{item.name.upper()}`" + ("" if item.required else " (optional)") for item in preset.placeholders
        )
        yes_no = ("yes" if preset.refresh.supported else "no", "yes" if preset.revocation.kind != "none" else "no")
        facts = (
            f"`{key}`",
            f"[{preset.display_name}]({preset.docs_url})",
            PROTOCOLS[preset.protocol],
            *yes_no,
            needs or "–",
        )
        rows.append(f"| {' | '.join(facts)} |")
    return ["| Name | Provider | Protocol | Refresh | Revocation | Needs |", "|---|---|---|---|---|---|", *rows]


TABLES: dict[str, tuple[str, Callable[[], list[str]]]] = {
    "settings": ("configuration.md", render_settings),
    "presets": ("providers.md", render_presets),
}


def update(name: str) -> tuple[Path, str, str]:
    """:return: the page, its text as it is, and as it should be."""
    file, render = TABLES[name]
    page = HERE / file
    text = page.read_text()
    start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    table = "\n".join(render())
    return page, text, re.sub(f"{start}.*?{end}", lambda _: f"{start}{table}\n{end}", text, flags=re.DOTALL)


def main(*, check: bool) -> int:
    """:return: 1 if ``check`` is asked for and a page is out of date."""
    stale = 0
    for name in TABLES:
        page, text, wanted = update(name)
        if text != wanted and check:
            print(f"{page.name}: the table of {name} is out of date; run: make docs")
            stale = 1
        elif text != wanted:
            page.write_text(wanted)
    return stale


if __name__ == "__main__":
    raise SystemExit(main(check="--check" in sys.argv[1:]))
