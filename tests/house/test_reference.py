"""The pages that list names list all of them, and what they say about them is so."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask

import flask_oauth_accounts as package
from flask_oauth_accounts import OAuth, create_blueprint
from flask_oauth_accounts.clients import base, names
from flask_oauth_accounts.clients.sessions import HOOKS
from flask_oauth_accounts.providers import load_preset
from flask_oauth_accounts.providers.loader import list_presets

DOCS = Path(__file__).parents[2] / "docs"
ASKING = [key for key in list_presets() if load_preset(key).refresh.params or load_preset(key).refresh.scope]
EXAMPLES = {
    "hostname": "login.example.com",
    "label": "example",
    "segment": "example",
    "base_url": "https://example.com",
}


def read_part(page: str, part: str) -> str:
    """What stands between a page's marks of that name."""
    text = (DOCS / page).read_text()
    return text.partition(f"<!-- {part} -->\n")[2].partition(f"<!-- end of {part} -->")[0]


def read_table(page: str, part: str) -> dict[str, list[str]]:
    """The further cells of each row by the name in its first one."""
    rows = [line.strip("|").split("|") for line in read_part(page, part).splitlines()[2:] if line.startswith("|")]
    return {first.strip(" `"): [cell.strip() for cell in others] for first, *others in rows}


def read_section(key: str) -> str:
    """What ``providers.md`` says of one preset."""
    return read_part("providers.md", "each preset").partition(f"### `{key}`\n")[2].partition("\n### ")[0]


def test_every_argument_of_register_is_explained() -> None:
    """An argument that nobody can find might as well not exist."""
    assert read_table("reference.md", "arguments with a configuration key").keys() == set(names.CONFIG_KEYS)
    code_only = names._ARGUMENTS - set(names.CONFIG_KEYS)
    assert read_table("reference.md", "arguments without a configuration key").keys() == code_only


def test_every_configuration_key_of_a_client_is_listed() -> None:
    """Who configures by environment looks there, and would take what is missing for impossible."""
    listed = re.findall(r"`\{NAME\}_(\w+)`", (DOCS / "configuration.md").read_text())
    assert {key.upper() for key in names.CONFIG_KEYS} <= set(listed)


def test_every_key_of_client_kwargs_is_explained() -> None:
    """A key that is not written down can only be guessed, and a wrong guess is refused."""
    table = read_table("reference.md", "client_kwargs")
    kinds = {"both": (True, True), "OAuth 1": (True, False), "OAuth 2": (False, True)}
    found = {key: kinds[cells[0]] for key, cells in table.items()}
    known = base._OAUTH1_KWARGS | base._OAUTH2_KWARGS
    assert found == {key: (key in base._OAUTH1_KWARGS, key in base._OAUTH2_KWARGS) for key in known}


def test_every_compliance_hook_is_explained() -> None:
    """Who mends a provider's peculiarity has to know where the package lets them."""
    assert read_table("reference.md", "hooks").keys() == set(HOOKS)


def test_every_public_name_is_in_the_reference() -> None:
    """A name that can be imported and is explained nowhere is a riddle."""
    text = (DOCS / "reference.md").read_text() + (DOCS / "errors.md").read_text() + (DOCS / "accounts.md").read_text()
    assert [name for name in package.__all__ if f"`{name}" not in text] == []


def test_every_address_is_listed() -> None:
    """An operator would not know what the blueprint answers, nor what to register at a provider."""
    app = Flask(__name__)
    app.secret_key = "for this test"
    app.config.update(SQLALCHEMY_DATABASE_URI="sqlite://", CACHE_TYPE="SimpleCache")
    app.register_blueprint(create_blueprint("pages"))
    rules: dict[str, set[str]] = {}
    for rule in app.url_map.iter_rules():
        if rule.endpoint.startswith("pages.") and not rule.endpoint.endswith("not_allowed"):
            rules.setdefault(rule.rule, set()).update((rule.methods or set()) - {"HEAD", "OPTIONS"})
    text = (DOCS / "getting-started.md").read_text()
    listed = re.findall(r"^\| `(/[^`]*)` \| ([A-Z, ]+) \|", text, re.MULTILINE)
    assert {path: set(methods.split(", ")) for path, methods in listed} == rules


@pytest.mark.parametrize("key", list_presets())
def test_every_preset_has_its_section(key: str) -> None:
    """Where to register and which keys are needed would have to be found out by trying."""
    preset, section = load_preset(key), re.sub(r"<(https://[^>]*)>", r"\1", read_section(key))
    assert preset.docs_url in section
    for text in (preset.console_hint, preset.note, preset.refresh.note, preset.revocation.note):
        assert text.removesuffix(".") in section
    for item in preset.placeholders:
        assert f"`{key.upper()}_{item.name.upper()}`" in section


@pytest.mark.parametrize("key", ASKING)
def test_line_that_asks_for_a_refresh_token_does(key: str) -> None:
    """Who copies it would still be logged out of the provider's API after an hour."""
    found = re.search(r"Ask for it: `(\w+) = (.*)`", read_section(key))
    assert found is not None
    preset, app = load_preset(key), Flask(__name__)
    app.config[found[1]] = ast.literal_eval(found[2])
    values = {item.name: EXAMPLES[item.kind] for item in preset.placeholders if item.required}
    own = {} if preset.authorize_url else {"authorize_url": "https://example.com/authorize"}
    client = OAuth(app).register(key, client_id="our client", client_secret="ours", **values, **own)
    with app.app_context():
        query = parse_qs(urlsplit(client.create_authorization_url("https://example.com/back")["url"]).query)
    assert {name: query[name] for name in preset.refresh.params} == {
        name: [value] for name, value in preset.refresh.params.items()
    }
    assert {*(preset.scope or "").split(), *preset.refresh.scope.split()} <= set(query["scope"][0].split())
