"""Write the parts of these pages that the code knows better: settings, presets, signatures and what docstrings say.

``python docs/generate.py`` rewrites them in place; with ``--check`` it only says whether they are up to date.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import json
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import flask_oauth_accounts as package
from flask_oauth_accounts import signals, testing
from flask_oauth_accounts.clients.names import METADATA_NAMES
from flask_oauth_accounts.config import describe_settings
from flask_oauth_accounts.providers.loader import list_presets, load_preset
from flask_oauth_accounts.providers.preset import Preset

HERE = Path(__file__).parent
PROTOCOLS = {"oauth1": "OAuth 1", "oauth2": "OAuth 2", "oidc": "OpenID Connect"}
FIELD = re.compile(r"^:(param|ivar|return|raises)\s*([\w.]*):\s*")
LABELS = {"param": "`{}`: {}", "ivar": "`{}`: {}", "return": "Returns {1}", "raises": "Raises `{}` {}"}

CLIENT_LOGIN = ["authorize_redirect", "authorize_access_token", "create_authorization_url", "save_authorize_data"]
CLIENT_TOKENS = ["for_user", "token", "fetch_access_token", "revoke_token", "introspect_token"]
CLIENT_PEOPLE = [
    "profile",
    "userinfo",
    "parse_id_token",
    "load_server_metadata",
    "fetch_discovery_document",
    "fetch_jwk_set",
]
CLIENT_LOGOUT = ["logout_redirect", "create_logout_url", "validate_logout_response"]
REGISTRY = ["init_app", "register", "unregister", "create_client", "list_names"]
ACCOUNTS = ["init_app", "connections", "forget_user"]
MIXINS = ["OAuthIdentityMixin", "OAuth1TokenMixin", "OAuth2TokenMixin", "OAuthEventMixin"]


# -- settings and presets ----------------------------------------------------------------------------------------------


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
        yes_no = ("yes" if preset.refresh.supported else "no", "yes" if preset.revocation.kind != "none" else "no")
        facts = (f"[`{key}`](#{key})", preset.display_name, PROTOCOLS[preset.protocol], *yes_no)
        rows.append(f"| {' | '.join(facts)} |")
    return ["| Name | Provider | Protocol | Refresh | Revocation |", "|---|---|---|---|---|", *rows]


def render_preset_sections() -> list[str]:
    return [line for key in list_presets() for line in render_preset(load_preset(key))]


def render_preset(preset: Preset) -> list[str]:
    """Write what an operator has to know about one provider."""
    facts = {
        "Console": preset.console_hint,
        "Keys": "; ".join(list_keys(preset)),
        "Scope": f"`{preset.scope}`" if preset.scope else "none",
        "Refresh token": describe_refresh(preset),
        "Revocation": describe_revocation(preset),
        "E-mail": "may link accounts, where you allow it" if preset.trusts_email else "never links accounts",
        "Note": preset.note,
    }
    title = f"[{preset.display_name}]({preset.docs_url}), {PROTOCOLS[preset.protocol]}."
    if preset.protocol == "oauth1":
        del facts["Scope"], facts["Refresh token"]
    lines = [f"- {key}: {link(text).removesuffix('.')}." for key, text in facts.items() if text]
    return [f"### `{preset.key}`", "", title, "", *lines, ""]


def link(text: str) -> str:
    """:return: the text with its addresses as links."""
    return re.sub(r"https://[^\s,;()]*[\w/#]", r"<\g<0>>", text)


def list_keys(preset: Preset) -> Iterator[str]:
    """:return: the configuration keys of a preset, each with what belongs there."""
    name = preset.key.upper()
    if preset.client_secret_form == "apple":  # noqa: S105  a form, not a secret
        yield f"`{name}_CLIENT_ID`, the Services ID"
        yield f"`{name}_TEAM_ID` and `{name}_KEY_ID`, of ten characters each"
        yield (
            f"`{name}_PRIVATE_KEY`, the content of the `.p8` file (with `\\n` for the ends of its lines, where it must "
            "be one line) or the path of that file"
        )
    else:
        yield f"`{name}_CLIENT_ID`, `{name}_CLIENT_SECRET`"
    for item in preset.placeholders:
        default = f", `{item.default}` when unset" if item.default else ""
        optional = "" if item.required else f" (optional{default})"
        yield f"`{name}_{item.name.upper()}`{optional}, {item.description}"


def describe_refresh(preset: Preset) -> str:
    """:return: whether there is a refresh token, and the line of configuration that asks for it."""
    facts, name, line = preset.refresh, preset.key.upper(), ""
    if not facts.supported:
        return facts.note or "there is none."
    if facts.params:
        line = f"`{name}_AUTHORIZE_PARAMS = {json.dumps({**preset.authorize_params, **facts.params})}`"
    elif facts.scope and facts.scope not in (preset.scope or "").split():
        line = f'`{name}_SCOPE = "{(preset.scope or "")} {facts.scope}"`'.replace('" ', '"')
    rotates = {True: "Each refresh replaces it.", False: "A refresh keeps it.", None: ""}[facts.rotates]
    asked = f"Ask for it: {line}." if line else ""
    return " ".join(part for part in (facts.note or ("" if line else "comes by itself."), rotates, asked) if part)


def describe_revocation(preset: Preset) -> str:
    """:return: what ends at the provider when an account is disconnected here."""
    facts = preset.revocation
    ends = {"grant": "ends the user's whole consent.", "token": "ends this token."}[facts.ends]
    text = "the provider has no way." if facts.kind == "none" else ends
    return f"{text} {facts.note}".strip()


# -- what the code says about itself -----------------------------------------------------------------------------------


def to_markdown(text: str) -> str:
    """Write the roles and literals of a docstring in Markdown, on one line."""
    text = re.sub(r":\w+:`~[\w.]*?(\w+)`", r"`\1`", text)
    text = re.sub(r":\w+:`\.?([\w.]+)`", r"`\1`", text)
    return " ".join(text.replace("``", "`").split())


def read_docstring(thing: Any) -> tuple[list[str], list[tuple[str, str, str]]]:
    """:return: the paragraphs of a docstring, and its fields as kind, name and text."""
    body, fields = [], []
    for line in (inspect.getdoc(thing) or "").splitlines():
        found = FIELD.match(line)
        if found:
            fields.append([found[1], found[2], line[found.end() :]])
        elif fields and line.startswith(" "):
            fields[-1][2] += line
        else:
            body.append(line)
    paragraphs = [part for part in re.split(r"\n\s*\n", "\n".join(body)) if not part.startswith((" ", "::"))]
    return [to_markdown(part) for part in paragraphs if part.strip()], [(a, b, to_markdown(c)) for a, b, c in fields]


def write_call(name: str, thing: Any) -> str:
    """:return: how something is called, without types."""
    signature = inspect.signature(thing)
    bare = [item.replace(annotation=item.empty) for key, item in signature.parameters.items() if key != "self"]
    return f"{name}{signature.replace(parameters=bare, return_annotation=signature.empty)}"


def render_section(name: str, thing: Any) -> list[str]:
    """Write a heading, the call, what it does, and its parameters, result and errors."""
    paragraphs, fields = read_docstring(thing)
    lines = [f"### `{name}`", ""]
    if not isinstance(thing, property):
        lines += [f"`{write_call(name.rpartition('.')[2], thing)}`", ""]
    for paragraph in paragraphs:
        lines += [paragraph, ""]
    lines += ["- " + LABELS[kind].format(key, text).strip() for kind, key, text in fields]
    return [*lines, ""] if fields else lines


def render_members(cls: Any, names: Iterable[str], prefix: str = "") -> list[str]:
    return [line for name in names for line in render_section(prefix + name, getattr(cls, name))]


def render_calls() -> list[str]:
    return render_members(package.OAuth2App, ["request"])


def render_registry() -> list[str]:
    return [*render_section("OAuth", package.OAuth), *render_members(package.OAuth, REGISTRY, "OAuth.")]


def render_accounts() -> list[str]:
    lines = render_section("OAuthAccounts", package.OAuthAccounts)
    lines += render_members(package.OAuthAccounts, ACCOUNTS, "OAuthAccounts.")
    for name in ("token_required", "create_blueprint"):
        lines += render_section(name, getattr(package, name))
    return lines


def render_metadata_names() -> list[str]:
    return textwrap.wrap(", ".join(f"`{name}`" for name in sorted(METADATA_NAMES)) + ".", width=120)


def render_signals() -> list[str]:
    tree = ast.parse(inspect.getsource(signals)).body
    rows = []
    for statement, text in itertools.pairwise(tree):
        if isinstance(statement, ast.Assign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            target = statement.targets[0]
            assert isinstance(target, ast.Name)
            rows.append(f"| `{target.id}` | {to_markdown(str(text.value.value))} |")
    return ["| Signal | When, and what comes with it |", "|---|---|", *rows]


def render_mixins() -> list[str]:
    class Base(DeclarativeBase):
        pass

    rows = []
    for name in MIXINS:
        mixin = getattr(package, name)
        annotations = {"user_id": Mapped[int]}
        model: Any = type(name, (mixin, Base), {"user_id": mapped_column(), "__annotations__": annotations})
        columns = ", ".join(f"`{column.name}`" for column in model.__table__.columns if column.name != "user_id")
        rows.append(f"| `{name}` | `{model.__tablename__}` | {columns} |")
    return ["| Mixin | Table | Columns beside `user_id` |", "|---|---|---|", *rows]


def render_fields(cls: Any) -> list[str]:
    """Write a dataclass of the testing kit as a table; each field needs its ``:ivar:``."""
    meanings = {key: text for kind, key, text in read_docstring(cls)[1] if kind == "ivar"}
    defaults = {item.name: item.default for item in dataclasses.fields(cls)}
    rows = [f"| `{key}` | {show(default)} | {meanings[key]} |" for key, default in defaults.items()]
    return ["| Setting | Default | Meaning |", "|---|---|---|", *rows]


PARTS: dict[str, tuple[str, Callable[[], list[str]]]] = {
    "settings": ("configuration.md", render_settings),
    "presets": ("providers.md", render_presets),
    "each preset": ("providers.md", render_preset_sections),
    "registry": ("reference.md", render_registry),
    "metadata names": ("reference.md", render_metadata_names),
    "login": ("reference.md", lambda: render_members(package.OAuth2App, CLIENT_LOGIN)),
    "calls": ("reference.md", render_calls),
    "tokens": ("reference.md", lambda: render_members(package.OAuth2App, CLIENT_TOKENS)),
    "people": ("reference.md", lambda: render_members(package.OAuth2App, CLIENT_PEOPLE)),
    "logout": ("reference.md", lambda: render_members(package.OAuth2App, CLIENT_LOGOUT)),
    "accounts": ("reference.md", render_accounts),
    "mixins": ("reference.md", render_mixins),
    "signals": ("reference.md", render_signals),
    "provider settings": ("testing.md", lambda: render_fields(testing.ProviderSettings)),
}


def update(text: str, name: str, lines: list[str]) -> str:
    """:return: a page's text with one part of it written anew."""
    start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    part = "\n".join(lines).rstrip()
    done, count = re.subn(f"{start}.*?{end}", lambda _: f"{start}{part}\n{end}", text, flags=re.DOTALL)
    assert count == 1, f"no place for {name}"
    return done


def main(*, check: bool) -> int:
    """:return: 1 if ``check`` is asked for and a page is out of date."""
    stale = 0
    for name, (file, render) in PARTS.items():
        page = HERE / file
        text = page.read_text()
        wanted = update(text, name, render())
        if text != wanted and check:
            print(f"{page.name}: {name} is out of date; run: make docs")
            stale = 1
        elif text != wanted:
            page.write_text(wanted)
    return stale


if __name__ == "__main__":
    raise SystemExit(main(check="--check" in sys.argv[1:]))
