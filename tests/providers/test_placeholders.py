"""Values that operators put into a preset's addresses."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_oauth_accounts.errors import ConfigurationError
from flask_oauth_accounts.providers import load_preset

EVIL_HOSTS = [
    "evil.com/#",
    "evil.com?x",
    "evil.com#",
    "evil.com/",
    "user@evil.com",
    "evil.com\\",
    "evil.com:80:80",
    "evil.com:",
    "evil.com:port",
    "https://evil.com",
    "evil.com ",
    "evil\n.com",
    "evil..com",
    ".evil.com",
    "evil.com.",
    "-evil.com",
    "{domain}",
    "%65vil.com",
    "ev\u0456l.com",
    "x" * 64 + ".com",
    ("a." * 140) + "com",
    "",
    7,
    True,
    ["a.example.com"],
]


@pytest.mark.parametrize("value", [item for item in EVIL_HOSTS if item not in ("", "evil.com ")])
@pytest.mark.parametrize("key", ["auth0", "okta"])
def test_domain_cannot_move_an_endpoint(key: str, value: object) -> None:
    """A domain that carries more than a host would send the client secret to another server."""
    preset = load_preset(key)
    with pytest.raises(ConfigurationError, match="WORK_DOMAIN must be a host name"):
        preset.collect_parameters("work", {}, {"domain": value})
    with pytest.raises(ConfigurationError, match="WORK_DOMAIN must be a host name"):
        preset.collect_parameters("work", {"WORK_DOMAIN": value})
    with pytest.raises(ConfigurationError):
        preset.settings({"domain": value})


@pytest.mark.parametrize(
    "value", ["a/b", "..", ".", "a..b", "a?b", "a#b", "a%2fb", "a b", "common/../x", "@", "a\\b", "a\n", "-", "{x}"]
)
def test_path_segment_stays_one_segment(value: str) -> None:
    """A tenant with a slash would ask another tenant's keys."""
    if value == "a\n":
        assert load_preset("microsoft").settings({"tenant": value})["authorize_url"].count("\n") == 0
        return
    with pytest.raises(ConfigurationError, match="MICROSOFT_TENANT must be one word"):
        load_preset("microsoft").settings({"tenant": value})


@pytest.mark.parametrize("value", ["a.b", "evil.s3", "a/b", "a_b", "-a", "a-", "a:1", "x" * 64, "{region}"])
def test_label_stays_one_label(value: str) -> None:
    """A region with a dot would lead to a host that somebody else can rent."""
    given = {"domain": "example.auth.eu-west-1.amazoncognito.com", "user_pool_id": "p", "region": value}
    with pytest.raises(ConfigurationError, match="COGNITO_REGION must be one part of a host name"):
        load_preset("cognito").settings(given)


@pytest.mark.parametrize(
    "value",
    [
        "git.example.com",
        "ftp://git.example.com",
        "https://git.example.com?x=1",
        "https://git.example.com/#",
        "https://user:pw@git.example.com",
        "https://git.example.com/../x",
        "https://git.example.com/a//b",
        "https://",
        "https:///a",
        "javascript://git.example.com",
        "https://git.example.com\\@evil.com",
    ],
)
def test_base_url_is_an_address_and_no_more(value: str) -> None:
    """What follows the address of an instance is the preset's own path."""
    with pytest.raises(ConfigurationError, match="GITLAB_BASE_URL must be an address"):
        load_preset("gitlab").settings({"base_url": value})


@pytest.mark.parametrize(
    ("value", "api"),
    [
        ("https://git.example.com", "https://git.example.com/api/v4/"),
        ("https://git.example.com/", "https://git.example.com/api/v4/"),
        ("https://example.com:8443/git_lab", "https://example.com:8443/git_lab/api/v4/"),
        ("http://localhost:8080", "http://localhost:8080/api/v4/"),
    ],
)
def test_base_url_of_an_own_instance(value: str, api: str) -> None:
    """A self-managed instance works under a path and a port; whether http is allowed is decided at registration."""
    settings = load_preset("gitlab").settings({"base_url": value})
    assert settings["api_base_url"] == api


def test_required_value_is_asked_for_by_its_key() -> None:
    """Who forgets a value learns which key to set."""
    with pytest.raises(ConfigurationError, match="WORK_DOMAIN is missing; the tenant's domain"):
        load_preset("auth0").collect_parameters("work", {"AUTH0_DOMAIN": "other.example.com"})


def test_precedence_of_values() -> None:
    """An argument beats configuration beats the default, as everywhere in the registry."""
    preset = load_preset("microsoft")
    config = {"WORK_TENANT": "configured", "WORK_ALLOWED_TENANTS": ["a", "b"]}
    assert preset.collect_parameters("work", {})["tenant"] == "common"
    assert preset.collect_parameters("work", config) == {"tenant": "configured", "allowed_tenants": "a,b"}
    assert preset.collect_parameters("work", config, {"tenant": "given"})["tenant"] == "given"
    assert preset.collect_parameters("work", config, {"tenant": None})["tenant"] == "configured"


def test_affix_appears_with_its_value_only() -> None:
    """Okta's own server and its custom servers differ in their paths; a wrong issuer refuses every login."""
    okta = load_preset("okta")
    own = okta.settings({"domain": "example.okta.com"})
    custom = okta.settings({"domain": "example.okta.com", "auth_server": "default"})
    assert own["issuer"] == "https://example.okta.com"
    assert own["authorize_url"] == "https://example.okta.com/oauth2/v1/authorize"
    assert custom["issuer"] == "https://example.okta.com/oauth2/default"
    assert custom["authorize_url"] == "https://example.okta.com/oauth2/default/v1/authorize"


@given(st.text(max_size=60))
def test_no_text_moves_the_host(value: str) -> None:
    """Whatever the text, the address keeps the host that was validated, or is refused."""
    try:
        settings = load_preset("keycloak").settings({"base_url": "https://sso.example.com", "realm": value})
    except ConfigurationError:
        return
    parts = urlsplit(settings["authorize_url"])
    assert parts.netloc == "sso.example.com"
    assert parts.path == f"/realms/{value.strip()}/protocol/openid-connect/auth"
    assert not parts.query
