"""The shipped facts: complete, well formed, and read only when asked for."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from flask_oauth_accounts.errors import ConfigurationError
from flask_oauth_accounts.providers import Preset, find_preset, list_presets, load_preset
from flask_oauth_accounts.providers.paths import parse_path
from flask_oauth_accounts.providers.preset import ExtraRequest, ProfilePaths, RefreshFacts, RevocationFacts

SAMPLES = Path(__file__).parent / "samples"
FIRST_DOZEN = [
    *("apple", "auth0", "discord", "facebook", "github", "gitlab", "google", "keycloak", "linkedin"),
    *("microsoft", "oidc", "okta", "slack", "twitter", "x"),
]
PARAMETERS = {
    "hostname": "tenant.example.com",
    "label": "part-1",
    "segment": "part-1",
    "base_url": "https://host.example.com/path",
    "list": "one,two",
}
URL_FIELDS = [
    *("request_token_url", "authorize_url", "access_token_url", "refresh_token_url", "api_base_url"),
    *("server_metadata_url", "userinfo_endpoint", "revocation_endpoint", "introspection_endpoint"),
    *("end_session_endpoint", "jwks_uri", "issuer", "account_issuer", "issuer_template", "docs_url"),
]


def read(key: str) -> dict[str, Any]:
    """:return: the decoded file of a preset."""
    path = Path(sys.modules[Preset.__module__].__file__ or "").parent / "presets" / f"{key}.toml"
    return tomllib.loads(path.read_text("utf-8"))


def parameters_for(preset: Preset) -> dict[str, str]:
    """:return: a fitting value for each placeholder."""
    return {item.name: PARAMETERS[item.kind] for item in preset.placeholders}


def test_first_dozen_is_there() -> None:
    """Without this a promised provider could vanish unnoticed."""
    assert set(FIRST_DOZEN) <= set(list_presets())


def test_each_preset_has_a_sample_and_each_sample_a_preset() -> None:
    """Without a sample nobody knows whether a preset's profile mapping works."""
    assert {path.stem for path in SAMPLES.glob("*.json")} == set(list_presets())


@pytest.mark.parametrize("key", list_presets())
def test_file_holds_only_known_keys(key: str) -> None:
    """A misspelt key would be a fact that nothing reads."""
    data = read(key)
    known = {item.name for item in fields(Preset)} - {"key"}
    assert set(data) <= known
    tables = {"profile": ProfilePaths, "refresh": RefreshFacts, "revocation": RevocationFacts}
    for name, kind in tables.items():
        assert is_dataclass(kind)
        assert set(data.get(name, {})) <= {item.name for item in fields(kind)}
    for request in data.get("requests", []):
        assert set(request) == {item.name for item in fields(ExtraRequest)}


@pytest.mark.parametrize("key", list_presets())
def test_values_are_of_the_right_kind(key: str) -> None:
    """A text where a truth value belongs would switch a safety rule on or off by accident."""
    preset = load_preset(key)
    assert preset.protocol in ("oauth1", "oauth2", "oidc")
    assert preset.code_challenge_method in ("S256", "none")
    assert preset.identity_source in ("userinfo", "id_token", "token_response")
    assert preset.revocation.kind in ("rfc7009", "request", "none")
    assert preset.userinfo_method in ("GET", "POST")
    assert preset.token_placement in (None, "header", "uri", "body")
    assert preset.token_endpoint_auth_method in (None, "client_secret_basic", "client_secret_post", "none")
    for value in (preset.trusts_email, preset.uses_nonce, preset.refresh.supported):
        assert isinstance(value, bool)
    assert re.fullmatch(r"#[0-9A-F]{6}", preset.brand_color)
    assert preset.display_name
    assert preset.console_hint.endswith(".")
    assert preset.profile.subject


@pytest.mark.parametrize("key", list_presets())
def test_addresses_are_https(key: str) -> None:
    """An http address would send a client secret in the clear."""
    preset = load_preset(key)
    parameters = parameters_for(preset)
    filled = preset.settings(parameters)
    for name in URL_FIELDS:
        address = filled.get(name) or (getattr(preset, name) or "").replace("{base_url}", "https://example.com")
        if address:
            parts = urlsplit(address)
            assert parts.scheme == "https", name
            assert parts.hostname
            assert name == "docs_url" or not parts.fragment
    for name in URL_FIELDS[:11]:
        assert "{" not in filled.get(name, "")


@pytest.mark.parametrize("key", list_presets())
def test_login_and_profile_are_complete(key: str) -> None:
    """A half preset starts a login that it cannot finish."""
    preset = load_preset(key)
    assert preset.api_base_url is None or preset.api_base_url.endswith("/")
    if key == "oidc":
        return
    assert preset.authorize_url
    assert preset.access_token_url
    assert bool(preset.request_token_url) == (preset.protocol == "oauth1")
    assert preset.issuer or preset.account_issuer or preset.issuer_template
    if preset.protocol == "oidc":
        assert preset.server_metadata_url
        assert "openid" in (preset.scope or "").split(preset.scope_separator)
    else:
        assert "openid" not in (preset.scope or "")
    if preset.identity_source == "userinfo":
        assert preset.userinfo_endpoint
    if preset.revocation.kind == "rfc7009":
        assert preset.revocation_endpoint or preset.protocol == "oidc"
    if preset.revocation.kind == "request":
        assert preset.revocation.url


@pytest.mark.parametrize("key", list_presets())
def test_api_is_within_the_trusted_hosts(key: str) -> None:
    """A further request outside the trusted hosts would be refused, and the profile stay incomplete."""
    preset = load_preset(key)
    if preset.requests:
        assert preset.api_base_url
        for _, method, url in preset.extra_requests:
            assert method in ("GET", "POST")
            assert not urlsplit(url).scheme
            assert not url.startswith("/")


@pytest.mark.parametrize("key", list_presets())
def test_claim_paths_can_be_read(key: str) -> None:
    """A path that does not parse would be a 500 in the middle of a login."""
    profile = load_preset(key).profile
    for item in fields(ProfilePaths):
        value = getattr(profile, item.name)
        if isinstance(value, str) and value and not item.name.endswith("template"):
            for alternative in value.split(" | "):
                for part in alternative.split(" + "):
                    assert parse_path(part.strip().removeprefix("$"))


@pytest.mark.parametrize("key", list_presets())
def test_trusted_email_needs_a_statement(key: str) -> None:
    """Without the provider's own statement an address proves nothing, and an account could be taken over by it."""
    preset = load_preset(key)
    if preset.trusts_email:
        assert preset.profile.email_verified
    if any(item.kind in ("hostname", "base_url") for item in preset.placeholders):
        assert not preset.trusts_email


def test_settings_belong_to_the_caller() -> None:
    """A shared dictionary would let one registration change all others."""
    google = load_preset("google")
    first = google.settings()
    first["client_kwargs"]["scope"] = "changed"
    first["allowed_hosts"].append("evil.example.com")
    second = google.settings()
    assert second["client_kwargs"]["scope"] == "openid email profile"
    assert second["allowed_hosts"] == ["*.googleapis.com"]


def test_oauth1_asks_for_no_code_challenge() -> None:
    """OAuth 1 has no PKCE, and the client refuses an argument that it does not know."""
    assert "code_challenge_method" not in load_preset("twitter").settings()["client_kwargs"]


def test_own_discovery_takes_nothing_of_the_provider() -> None:
    """Mixed endpoints would send one server's code, secret or token to another."""
    own = "https://id.example.com/.well-known/openid-configuration"
    for key in ("google", "keycloak", "microsoft"):
        preset = load_preset(key)
        settings = preset.settings(preset.collect_parameters("work", {}, own_server=True), metadata_url=own)
        assert set(settings) == {"server_metadata_url", "client_kwargs"}
        assert settings["server_metadata_url"] == own


def test_naming_the_same_discovery_changes_nothing() -> None:
    """Whoever repeats the preset's own address keeps the preset's facts."""
    google = load_preset("google")
    assert google.settings(metadata_url=google.server_metadata_url) == google.settings()


def test_unknown_preset_names_the_nearest() -> None:
    """Whoever mistypes a name should not have to search the documentation."""
    assert find_preset("githbu") is None
    with pytest.raises(ConfigurationError, match="did you mean github"):
        load_preset("githbu")
    with pytest.raises(ConfigurationError, match="preset 'oidc'"):
        load_preset("zzzzzzzzz")


@pytest.mark.parametrize("key", ["../presets/github", "github.toml", "", "GITHUB", "/etc/passwd"])
def test_name_is_no_path(key: str) -> None:
    """A provider's name comes from a URL and must not open files."""
    assert find_preset(key) is None


def test_only_the_file_asked_for_is_read() -> None:
    """Registering one provider must not cost the reading of all of them."""
    code = (
        "import tomllib\n"
        "opened = []\n"
        "real = tomllib.load\n"
        "tomllib.load = lambda file: (opened.append(file.name), real(file))[1]\n"
        "from flask_oauth_accounts.providers import list_presets, load_preset\n"
        "list_presets()\n"
        "assert opened == [], opened\n"
        "load_preset('github')\n"
        "load_preset('github')\n"
        "assert len(opened) == 1 and opened[0].endswith('github.toml'), opened\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_mandatory_headers_carry_the_client_id() -> None:
    """An API that wants the client id in a header refuses every call without it."""
    headers = load_preset("github").create_api_headers("abc")
    assert headers == {"Accept": "application/vnd.github+json"}


@pytest.mark.parametrize("metadata_url", [None, "https://login.example.com/.well-known/openid-configuration"])
def test_zitadel_names_its_project_beside_the_client(metadata_url: str | None) -> None:
    """Nobody could log in with ZITADEL, whose ID tokens are made for all applications of a project."""
    values = load_preset("zitadel").settings({"base_url": "https://login.example.com"}, metadata_url=metadata_url)
    assert values["trusted_audiences"] == ["*"]
