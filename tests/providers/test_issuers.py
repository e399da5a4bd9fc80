"""Who vouches for a subject."""

from __future__ import annotations

from typing import Any

import pytest

from flask_oauth_accounts.errors import IdTokenError
from flask_oauth_accounts.providers import (
    accepts_metadata_issuer,
    account_issuer,
    decide_email_trust,
    load_preset,
    match_issuer,
)

TENANT = "72f988bf-86f1-41af-91ab-2d7cd011db47"
OTHER = "11111111-2222-3333-4444-555555555555"
CONSUMERS = "9188040d-6c67-4c5b-b112-36a304b66dad"
TEMPLATE = "https://login.microsoftonline.com/{tenantid}/v2.0"


def issued_by(tenant: str) -> dict[str, Any]:
    """:return: the claims of a token of that tenant."""
    return {"iss": TEMPLATE.replace("{tenantid}", tenant), "tid": tenant}


@pytest.mark.parametrize(
    ("tenant", "allowed", "claimed", "accepted"),
    [
        ("common", "*", TENANT, True),
        ("common", "*", CONSUMERS, True),
        ("common", TENANT, TENANT, True),
        ("common", TENANT.upper(), TENANT, True),
        ("common", f"{OTHER},{TENANT}", TENANT, True),
        ("common", OTHER, TENANT, False),
        ("common", "", TENANT, False),
        ("organizations", "*", TENANT, True),
        ("organizations", "*", CONSUMERS, False),
        ("organizations", "", TENANT, False),
        ("consumers", "", CONSUMERS, True),
        ("consumers", "", TENANT, False),
        (TENANT, "", TENANT, True),
        (TENANT.upper(), "", TENANT, True),
        (TENANT, "", OTHER, False),
        (TENANT, "*", OTHER, False),
        ("example.onmicrosoft.com", "", TENANT, False),
    ],
)
def test_c32_tenant_must_be_allowed(tenant: str, allowed: str, claimed: str, accepted: bool) -> None:
    """Without this rule the staff of any company in the world could sign in."""
    parameters = {"tenant": tenant, "allowed_tenants": allowed}
    microsoft = load_preset("microsoft")
    if accepted:
        assert match_issuer(microsoft, parameters, TEMPLATE, issued_by(claimed)) == issued_by(claimed)["iss"]
    else:
        with pytest.raises(IdTokenError, match="MICROSOFT_ALLOWED_TENANTS"):
            match_issuer(microsoft, parameters, TEMPLATE, issued_by(claimed))


def test_domain_of_a_tenant_is_settled_by_discovery() -> None:
    """A tenant that was named by its domain has one issuer, the one that discovery names."""
    parameters = {"tenant": "example.onmicrosoft.com"}
    expected = issued_by(TENANT)["iss"]
    assert match_issuer(load_preset("microsoft"), parameters, expected, issued_by(TENANT)) == expected
    with pytest.raises(IdTokenError):
        match_issuer(load_preset("microsoft"), parameters, expected, issued_by(OTHER))


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": issued_by(TENANT)["iss"], "tid": OTHER},
        {"iss": issued_by(TENANT)["iss"]},
        {"iss": issued_by(TENANT)["iss"], "tid": None},
        {"iss": issued_by(TENANT)["iss"], "tid": [TENANT]},
        {"iss": TEMPLATE, "tid": "{tenantid}"},
        {"iss": "https://evil.example.com", "tid": TENANT},
        {"iss": None, "tid": TENANT},
        {"tid": TENANT},
        {"iss": "https://login.microsoftonline.com/a/../b/v2.0", "tid": "a/../b"},
    ],
)
def test_c32_tenant_and_issuer_must_agree(claims: dict[str, Any]) -> None:
    """A tenant could otherwise speak for another one's people."""
    with pytest.raises(IdTokenError):
        match_issuer(load_preset("microsoft"), {"tenant": "common", "allowed_tenants": "*"}, TEMPLATE, claims)


def test_google_writes_its_issuer_in_two_ways() -> None:
    """Both spellings are one issuer, or a user would exist twice."""
    google = load_preset("google")
    for claimed in ("https://accounts.google.com", "accounts.google.com"):
        assert (
            match_issuer(google, {}, "https://accounts.google.com", {"iss": claimed}) == "https://accounts.google.com"
        )
    for foreign in (
        "accounts.google.com.evil.example",
        "http://accounts.google.com",
        "",
        None,
        ["accounts.google.com"],
    ):
        with pytest.raises(IdTokenError):
            match_issuer(google, {}, "https://accounts.google.com", {"iss": foreign})


def test_alias_belongs_to_its_provider_only() -> None:
    """A preset that points to another server must not accept Google's spelling."""
    with pytest.raises(IdTokenError):
        match_issuer(load_preset("google"), {}, "https://id.example.com", {"iss": "accounts.google.com"})
    with pytest.raises(IdTokenError):
        match_issuer(None, {}, "https://id.example.com", {"iss": "https://id.example.com/"})


@pytest.mark.parametrize(
    ("preset", "configured", "discovered", "accepted"),
    [
        ("google", "https://accounts.google.com", "https://accounts.google.com", True),
        ("google", "https://accounts.google.com", "accounts.google.com", False),
        ("google", "https://accounts.google.com", "https://evil.example.com", False),
        ("microsoft", None, TEMPLATE, True),
        ("microsoft", None, issued_by(TENANT)["iss"], True),
        ("microsoft", None, "https://login.microsoftonline.com/evil/v2.0", False),
        ("microsoft", None, "https://evil.example.com", False),
        (None, "https://id.example.com", "https://id.example.com", True),
        (None, "https://id.example.com", "https://id.example.com/", False),
        (None, None, "https://id.example.com", True),
        (None, None, None, False),
        (None, None, "", False),
        (None, None, ["https://id.example.com"], False),
    ],
)
def test_c15_issuer_of_a_discovery_document(
    preset: str | None, configured: str | None, discovered: object, accepted: bool
) -> None:
    """A document that speaks for another issuer would let one server sign for another's users."""
    found = load_preset(preset) if preset else None
    assert accepts_metadata_issuer(found, configured, discovered) is accepted


def test_e10_moved_endpoints_move_the_issuer() -> None:
    """User 1 of an own server must not become user 1 of the public one."""
    github = load_preset("github")
    own = github.settings()
    assert account_issuer(github, {}, own) == "https://github.com/login/oauth"
    for key in ("api_base_url", "userinfo_endpoint", "access_token_url"):
        moved: dict[str, Any] = {**own, key: "https://git.example.com/x/"}
        moved.pop("issuer")
        assert account_issuer(github, {}, moved) != "https://github.com/login/oauth"
    assert account_issuer(github, {}, {**own, "issuer": "https://chosen.example.com"}) == "https://chosen.example.com"


def test_e10_moved_endpoints_beat_an_issuer_that_stayed() -> None:
    """The preset's issuer left over in the merged arguments must not stand for another server's people."""
    github = load_preset("github")
    moved = {**github.settings(), "api_base_url": "https://git.example.com/api/v3/"}
    assert account_issuer(github, {}, moved) == "https://git.example.com"


@pytest.mark.parametrize("key", ["google", "github", "apple", "x"])
def test_e04_trust_in_addresses_stays_with_the_provider(key: str) -> None:
    """An own server under a trusted preset's name could otherwise open any account by its e-mail address."""
    preset = load_preset(key)
    own = preset.settings()
    assert decide_email_trust(preset, {}, own)
    assert decide_email_trust(preset, {}, {**own, "jwks": None, "authorize_url": "https://proxy.example.com/"})
    for name in ("access_token_url", "userinfo_endpoint", "api_base_url"):
        assert not decide_email_trust(preset, {}, {**own, name: "https://evil.example.com/"})
    if preset.is_openid:
        for name in ("server_metadata_url", "issuer", "jwks_uri"):
            assert not decide_email_trust(preset, {}, {**own, name: "https://evil.example.com/"})
        assert not decide_email_trust(preset, {}, {**own, "jwks": {"keys": []}})
        moved = preset.settings(metadata_url="https://evil.example.com/.well-known/openid-configuration")
        assert not decide_email_trust(preset, {}, moved)


@pytest.mark.parametrize("key", ["google", "github"])
def test_e04_a_provider_on_this_machine_may_stand_in(key: str) -> None:
    """An application could not test that it links by verified addresses."""
    preset = load_preset(key)
    here, there = "http://127.0.0.1:5001/", "https://evil.example.com/"
    if preset.is_openid:
        moved = preset.settings(metadata_url=here)
        assert not decide_email_trust(preset, {}, {**moved, "jwks": {"keys": []}})
    else:
        moved = {**preset.settings(), "access_token_url": here, "api_base_url": here, "userinfo_endpoint": "user"}
    assert decide_email_trust(preset, {}, moved)
    for name in ("access_token_url", "userinfo_endpoint", "api_base_url"):
        assert not decide_email_trust(preset, {}, {**moved, name: there})
        assert not decide_email_trust(preset, {}, {**preset.settings(), name: here})


def test_e04_others_are_never_trusted() -> None:
    """A provider that nobody described, or one that does not verify, proves nothing by an address."""
    assert not decide_email_trust(None, {}, {})
    facebook = load_preset("facebook")
    assert not decide_email_trust(facebook, {}, facebook.settings())


def test_instances_are_apart() -> None:
    """Numbers of two GitLab servers are different people."""
    gitlab = load_preset("gitlab")
    parameters = {"base_url": "https://git.example.com/sub"}
    assert account_issuer(gitlab, parameters, gitlab.settings(parameters)) == "https://git.example.com/sub"
    assert account_issuer(gitlab, {}, gitlab.settings()) == "https://gitlab.com"


def test_replaced_server_needs_no_placeholders() -> None:
    """Whoever gives every address of a Keycloak by hand need not give its parts as well."""
    registration = {"api_base_url": "https://sso.example.com/"}
    assert account_issuer(load_preset("keycloak"), {}, registration) == "https://sso.example.com"


def test_origin_stands_for_an_issuer() -> None:
    """A provider that nobody described is kept apart by where it lives."""
    assert account_issuer(None, {}, {"api_base_url": "https://API.example.com:8443/v1/"}) == (
        "https://api.example.com:8443"
    )
    assert account_issuer(None, {}, {"authorize_url": "https://login.example.com/a"}) == "https://login.example.com"
    assert account_issuer(None, {}, {"issuer": "https://id.example.com"}) == "https://id.example.com"
    assert account_issuer(None, {}, {}) is None
