"""From an answer to an identity: the right values, and nothing that is not what it should be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flask_oauth_accounts.errors import ProviderResponseError
from flask_oauth_accounts.identity import Identity
from flask_oauth_accounts.providers import account_issuer, list_presets, load_preset, map_profile
from flask_oauth_accounts.providers.mapping import clean_name, parse_email, parse_https_url

SAMPLES = Path(__file__).parent / "samples"
SHOWN = ("issuer", "subject", "email", "email_verified", "username", "display_name", "avatar_url", "profile_url")


def load_sample(key: str) -> dict[str, Any]:
    """:return: one recorded shape: ``raw``, perhaps ``claims``, ``extra``, ``issuer``, and what is ``expected``."""
    sample: dict[str, Any] = json.loads((SAMPLES / f"{key}.json").read_text("utf-8"))
    return sample


def map_sample(key: str, sample: dict[str, Any]) -> Identity:
    """:return: the identity of a sample."""
    return map_profile(
        load_preset(key),
        key,
        issuer=sample.get("issuer"),
        raw=sample["raw"],
        claims=sample.get("claims"),
        extra=sample.get("extra"),
    )


@pytest.mark.parametrize("key", list_presets())
def test_sample_profile(key: str) -> None:
    """A path that misses its claim would cost every user of this provider the name, the address or the login."""
    sample = load_sample(key)
    identity = map_sample(key, sample)
    assert {name: getattr(identity, name) for name in SHOWN} == sample["expected"]
    assert identity.name == key
    assert "nonce" not in identity.raw


@pytest.mark.parametrize("key", list_presets())
def test_issuer_of_the_sample_is_what_the_client_works_out(key: str) -> None:
    """If issuer and preset disagreed, a returning user would become a new one."""
    sample, preset = load_sample(key), load_preset(key)
    parameters = preset.collect_parameters(key, {}, sample.get("parameters"))
    if preset.protocol != "oidc":
        assert account_issuer(preset, parameters, preset.settings(parameters)) == sample["expected"]["issuer"]
    elif preset.issuer:
        assert preset.settings(parameters)["issuer"] == sample["expected"]["issuer"]


def build_bare(path: str) -> dict[str, Any]:
    """:return: an answer that holds nothing but a subject at this path."""
    value: Any = "4711"
    for part in reversed(path.split(".")):
        name, bracket, _ = part.partition("[")
        value = {name: [value] if bracket else value}
    return dict(value)


@pytest.mark.parametrize("key", list_presets())
def test_bare_answer_needs_only_the_subject(key: str) -> None:
    """People without picture, name or e-mail address can log in too."""
    sample, preset = load_sample(key), load_preset(key)
    raw = build_bare(preset.profile.subject.split(" | ")[0])
    identity = map_profile(preset, key, issuer=sample["expected"]["issuer"], raw=raw)
    assert identity.subject == "4711"
    assert identity.email is None
    assert identity.email_verified is None


def test_x_and_twitter_are_one_account_space() -> None:
    """Whoever moves from OAuth 1 to OAuth 2 keeps the users."""
    one = map_sample("x", load_sample("x"))
    other = map_sample("twitter", load_sample("twitter"))
    assert one.login_key == other.login_key


def github(emails: object) -> Identity:
    """:return: the identity of a GitHub user whose public profile has an address that proves nothing."""
    raw = {"id": 1, "login": "mona", "email": "public@example.net"}
    return map_profile(load_preset("github"), "github", issuer=None, raw=raw, extra={"emails": emails})


@pytest.mark.parametrize(
    ("emails", "email", "verified"),
    [
        ([{"email": "a@example.com", "primary": True, "verified": True}], "a@example.com", True),
        ([{"email": "a@example.com", "primary": True, "verified": False}], "a@example.com", False),
        ([{"email": "a@example.com", "primary": False, "verified": True}], None, None),
        ([{"email": "a@example.com", "primary": "true", "verified": "true"}], None, None),
        ([{"email": "a@example.com", "primary": 1, "verified": 1}], None, None),
        ([], None, None),
        (None, None, None),
        ({"message": "Not Found"}, None, None),
        ("a@example.com", None, None),
        ([None, 7, ["a"]], None, None),
    ],
)
def test_github_email_is_the_primary_one(emails: object, email: str | None, verified: bool | None) -> None:
    """An address that GitHub did not verify, or a public one, must never look like a proof of identity."""
    identity = github(emails)
    assert (identity.email, identity.email_verified) == (email, verified)


@pytest.mark.parametrize("value", [None, "", "  ", True, False, [], ["1"], {}, {"id": 1}, 1.5, "a\nb", "x" * 256])
@pytest.mark.parametrize("preset", ["github", "oidc", None])
def test_e12_odd_subject_is_refused(preset: str | None, value: object) -> None:
    """Two people whose id reads as "None" or "True" would share one account."""
    found = load_preset(preset) if preset else None
    with pytest.raises(ProviderResponseError):
        map_profile(found, "p", issuer="https://p.example.com", raw={"id": value, "sub": value})


def test_e12_missing_subject_is_refused() -> None:
    """An answer about nobody logs nobody in."""
    for raw in ({}, {"name": "Ada"}, {"error": "rate limited", "id": None}):
        with pytest.raises(ProviderResponseError):
            map_profile(None, "p", issuer="https://p.example.com", raw=raw)
    with pytest.raises(ProviderResponseError):
        map_profile(None, "p", issuer="https://p.example.com", raw=["id", 1])  # type: ignore[arg-type]


def test_number_and_text_are_one_subject() -> None:
    """A provider that changes its JSON from 1 to "1" must not double its users."""
    one = map_profile(None, "p", issuer="https://p.example.com", raw={"id": 1})
    other = map_profile(None, "p", issuer="https://p.example.com", raw={"id": "1"})
    assert one.login_key == other.login_key


def test_subject_is_exact() -> None:
    """Case and blanks are part of a subject; without them one person could take another's account."""
    subjects = ["abc", "ABC", "abc ", " abc", "é", "e\u0301"]
    keys = {map_profile(None, "p", issuer="https://p.example.com", raw={"sub": item}).login_key for item in subjects}
    assert len(keys) == len(subjects)


@pytest.mark.parametrize("value", [1, "true", "True", "yes", "1", [True], {"verified": True}, None, 0, "false"])
def test_e02_only_json_true_is_verified(value: object) -> None:
    """A text or number taken for "verified" would open somebody else's account."""
    raw = {"sub": "1", "email": "a@example.com", "email_verified": value}
    assert map_profile(load_preset("oidc"), "p", issuer="https://p.example.com", raw=raw).email_verified is None
    assert map_profile(None, "p", issuer="https://p.example.com", raw=raw).email_verified is None


@pytest.mark.parametrize(
    ("value", "verified"),
    [("true", True), ("false", False), (True, True), (False, False), ("True", None), (1, None), ("yes", None)],
)
def test_apple_writes_text(value: object, verified: bool | None) -> None:
    """Apple's users would count as unverified for ever if its "true" were not read."""
    claims = {"sub": "1", "email": "a@example.com", "email_verified": value}
    identity = map_profile(load_preset("apple"), "apple", issuer=None, raw={}, claims=claims)
    assert identity.email_verified is verified


def test_microsoft_email_is_never_verified() -> None:
    """Every tenant's administrator can write any address into a profile."""
    raw = {"sub": "1", "email": "ceo@example.com", "email_verified": True, "verified_primary_email": ["x"]}
    identity = map_profile(load_preset("microsoft"), "m", issuer="https://login.example.com", raw=raw)
    assert identity.email_verified is None


@pytest.mark.parametrize("key", ["microsoft", "facebook"])
def test_some_providers_never_verify(key: str) -> None:
    """A provider that does not check addresses must not be able to say that it does."""
    assert not load_preset(key).trusts_email
    assert not load_preset(key).profile.email_verified


@pytest.mark.parametrize(
    ("value", "email"),
    [
        ("ada@example.com", "ada@example.com"),
        ("Ada@Example.COM", "Ada@Example.COM"),
        ("jörg@example.com", "jörg@example.com"),
        ("", None),
        ("ada", None),
        ("@example.com", None),
        ("ada@", None),
        ("a@b@example.com", None),
        ("ada@example.com\r\nBcc: x@example.com", None),
        ("ada@example.com\x00", None),
        ("ada @example.com", None),
        ("ada@exam\u202eple.com", None),
        ("ada@exam\ud800ple.com", None),
        ("a" * 243 + "@example.com", None),
        (["ada@example.com"], None),
        ({"email": "ada@example.com"}, None),
        (True, None),
        (7, None),
        (None, None),
    ],
)
def test_odd_email_is_left_out(value: object, email: str | None) -> None:
    """Text that is no address must not reach a header, a comparison or a column."""
    assert parse_email(value) == email


def test_unusable_email_is_not_verified() -> None:
    """ "Verified" without an address would be a proof of nothing."""
    raw = {"sub": "1", "email": ["a@example.com"], "email_verified": True}
    identity = map_profile(None, "p", issuer="https://p.example.com", raw=raw)
    assert (identity.email, identity.email_verified) == (None, None)


@pytest.mark.parametrize(
    "value",
    [
        "http://example.com/a.png",
        "javascript:alert(1)",
        "data:image/png;base64,AA",
        "//example.com/a.png",
        "https:///a.png",
        "https://user@example.com/",
        'https://example.com/" onerror="x',
        "https://example.com/a b",
        "https://example.com/\n",
        "https://[::1",
        "https://example.com:99999/",
        "https://example.com/" + "a" * 2048,
        ["https://example.com/"],
        None,
        7,
    ],
)
def test_f04_only_https_addresses_are_kept(value: object) -> None:
    """A script in a profile must not become a link on our pages."""
    assert parse_https_url(value) is None
    raw = {"sub": "1", "picture": value, "profile": value}
    identity = map_profile(load_preset("oidc"), "p", issuer="https://p.example.com", raw=raw)
    assert (identity.avatar_url, identity.profile_url) == (None, None)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("Ada Example", "Ada Example"),
        ("  Ada\r\n\tExample\x00 ", "Ada Example"),
        ("Ada\u202eelpmaxE", "Ada elpmaxE"),
        ("Ada\u2028Example\ud800", "Ada Example"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("👩\u200d🚀", "👩\u200d🚀"),
        ("x" * 5000, "x" * 200),
        ("", None),
        ("\x00\x01", None),
        (["Ada"], None),
        (7, None),
        (None, None),
    ],
)
def test_name_is_cleaned(value: object, name: str | None) -> None:
    """A name can neither break a page, a log line or a column, nor lose letters of its script."""
    assert clean_name(value) == name


def test_c30_userinfo_about_somebody_else_is_refused() -> None:
    """A token swapped for another person's must not mix two people into one identity."""
    for preset in (load_preset("google"), None):
        for raw in ({"sub": "2", "email": "b@example.com"}, {"email": "b@example.com"}):
            with pytest.raises(ProviderResponseError):
                map_profile(preset, "p", issuer="https://p.example.com", raw=raw, claims={"sub": "1"})


def test_no_token_is_kept_with_the_profile() -> None:
    """Where the token answer describes the person, its secrets must not land in the profile's column."""
    secrets = {"access_token": "s3", "refresh_token": "s4", "id_token": "s5", "oauth_token": "s6"}
    raw = {"id": 1, "name": "Ada", "oauth_token_secret": "s7", **secrets}
    identity = map_profile(None, "p", issuer="https://p.example.com", raw=raw)
    assert dict(identity.raw) == {"id": 1, "name": "Ada"}


def test_apple_takes_only_the_name_from_the_browser() -> None:
    """The form field is unsigned: an address in it could be anybody's."""
    claims = {"sub": "1"}
    user = {"name": {"firstName": "Ada"}, "email": "victim@example.com", "sub": "2"}
    identity = map_profile(load_preset("apple"), "apple", issuer=None, raw={}, claims=claims, extra={"user": user})
    assert (identity.subject, identity.display_name, identity.email) == ("1", "Ada", None)


@pytest.mark.parametrize("user", ["", "{", "[]", "null", '{"name": 7}', "[" * 20_000, None, 7, {"name": None}])
def test_apple_survives_an_odd_form_field(user: object) -> None:
    """A broken form field costs the name, not the login."""
    identity = map_profile(
        load_preset("apple"), "apple", issuer=None, raw={}, claims={"sub": "1"}, extra={"user": user}
    )
    assert identity.display_name is None


@pytest.mark.parametrize(
    ("valid", "verified", "expected"),
    [(True, True, True), (False, True, None), (None, True, None), (True, False, False), ("true", True, None)],
)
def test_kakao_needs_both_flags(valid: object, verified: object, expected: bool | None) -> None:
    """An address that its owner has lost to somebody else must not prove anything any longer."""
    account = {"email": "a@example.com", "is_email_valid": valid, "is_email_verified": verified}
    identity = map_profile(load_preset("kakao"), "kakao", issuer=None, raw={"id": 1, "kakao_account": account})
    assert identity.email_verified is expected


@pytest.mark.parametrize(
    ("avatar", "ending"),
    [("abc", "/1/abc.png"), ("a_abc", "/1/a_abc.gif"), (None, None), ("../../x", None), ("", None), (7, None)],
)
def test_discord_picture(avatar: object, ending: str | None) -> None:
    """The picture's hash builds an address and must not lead elsewhere."""
    raw = {"id": "1", "avatar": avatar}
    url = map_profile(load_preset("discord"), "discord", issuer=None, raw=raw).avatar_url
    assert url == (f"https://cdn.discordapp.com/avatars{ending}" if ending else None)


def test_profile_link_is_quoted() -> None:
    """A user name with a slash must not lead to another page."""
    raw = {"data": {"id": "1", "username": "a/../b?c"}}
    identity = map_profile(load_preset("x"), "x", issuer=None, raw=raw)
    assert identity.profile_url == "https://x.com/a%2F..%2Fb%3Fc"


def test_usual_claims_without_preset() -> None:
    """A provider that nobody described still tells who somebody is."""
    raw = {"id": 7, "login": "ada", "name": "Ada", "avatar_url": "https://example.com/a.png", "email": "a@example.com"}
    identity = map_profile(None, "work", issuer="https://api.example.com", raw=raw)
    assert identity == Identity(
        "work",
        "https://api.example.com",
        "7",
        email="a@example.com",
        username="ada",
        display_name="Ada",
        avatar_url="https://example.com/a.png",
    )
    with pytest.raises(ProviderResponseError, match="vouches"):
        map_profile(None, "work", issuer=None, raw=raw)
    with pytest.raises(ProviderResponseError, match="vouches"):
        map_profile(load_preset("gitlab"), "work", issuer=None, raw=raw)
