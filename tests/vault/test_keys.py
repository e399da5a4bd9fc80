"""The key ring: what it seals opens in one place only, and keys can be replaced."""

from __future__ import annotations

import base64
import re
import traceback
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_oauth_accounts.errors import ConfigurationError, SealedValueError
from flask_oauth_accounts.vault.keys import Key, KeyRing, generate_key_line

OLD = Key("old", b"o" * 32)
NEW = Key("new", b"n" * 32)
RING = KeyRing([NEW, OLD])


@given(st.text(max_size=200), st.text(max_size=50))
def test_opens_what_it_sealed(secret: str, context: str) -> None:
    """A secret that came back changed would cost the user the connection."""
    assert RING.unseal(RING.seal(secret, context), context) == secret


def test_value_names_its_key_and_hides_the_secret() -> None:
    """Without the key's id in the value, keys could not be rotated."""
    sealed = RING.seal("hunter2", "here")
    assert re.fullmatch(r"v1\.new\.[A-Za-z0-9_-]+", sealed)
    assert "hunter2" not in sealed
    assert RING.key_id(sealed) == "new"
    assert RING.seal("hunter2", "here") != sealed


def test_h04_moved_changed_or_foreign_values_do_not_open() -> None:
    """Whoever can write to the database could swap one user's token for another's."""
    sealed = RING.seal("secret", "row 1")
    head, body = sealed.rsplit(".", 1)
    changed = f"{head}.{body[:-2]}{'A' if body[-2] != 'A' else 'B'}{body[-1]}"
    foreign = KeyRing([Key("new", b"x" * 32)]).seal("secret", "row 1")
    with pytest.raises(SealedValueError):
        RING.unseal(sealed, "row 2")
    for value in (changed, foreign, f"{head}.{body[:20]}", f"{head}.A", f"v1.old.{body}", sealed + "\n", f" {sealed}"):
        with pytest.raises(SealedValueError):
            RING.unseal(value, "row 1")


@pytest.mark.parametrize("plain", ["", "ya29.a0Af", "v1.new", "v1..AAAA", "v1.new.", "v2.new.AAAA", None, 7])
def test_plain_text_never_passes_as_sealed(plain: str) -> None:
    """A token written around the package would be used without anybody having protected it."""
    assert RING.key_id(plain) is None
    with pytest.raises(SealedValueError):
        RING.unseal(plain, "here")


def test_every_key_opens_and_a_dropped_one_does_not() -> None:
    """Rotation would cut off everybody whose token is not re-sealed yet."""
    sealed = KeyRing([OLD]).seal("secret", "here")
    assert RING.unseal(sealed, "here") == "secret"
    with pytest.raises(SealedValueError, match="'old', which is gone"):
        KeyRing([NEW]).unseal(sealed, "here")


def test_reads_lines_with_and_without_padding() -> None:
    """A key copied from a tool that writes padding would be refused."""
    padded = base64.urlsafe_b64encode(b"p" * 32).decode()
    ring = KeyRing.from_lines([f"a:{padded}", f"b:{base64.urlsafe_b64encode(b'q' * 32).decode().rstrip('=')}"])
    assert ring.key_ids == ("a", "b")
    assert KeyRing([Key("a", b"p" * 32)]).unseal(ring.seal("x", "c"), "c") == "x"
    assert KeyRing.from_lines([generate_key_line("2026-11")]).key_ids == ("2026-11",)
    assert generate_key_line() != generate_key_line()


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "OAUTH_ACCOUNTS_KEYS is empty"),
        (["c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTEyMzQ"], "entry 1 has no key id"),
        (["c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTEyMzQ:a"], "entry 1 has no key id"),
        (["a.b:c2VjcmV0"], "entry 1 has no key id"),
        (["good:c2VjcmV0"], "'good' has 6 bytes"),
        (["good:c2Vj cmV0+/"], "'good' is not base64url"),
        (["good:c2Vjc"], "'good' is not base64url"),
        ([f"twice:{'A' * 43}", f"twice:{'A' * 42}E"], "'twice' twice"),
    ],
)
def test_bad_lines_are_named_without_showing_them(lines: list[str], said: str) -> None:
    """An operator could not find the mistake, or would find the key in the log."""
    with pytest.raises(ConfigurationError) as caught:
        KeyRing.from_lines(lines)
    text = "".join(traceback.format_exception_only(caught.value))
    assert said in text
    assert "OAUTH_ACCOUNTS_KEYS" in text
    assert "c2V" not in text
    assert "AAAA" not in text


def test_derives_from_the_secret_key_and_its_fallbacks() -> None:
    """Changing SECRET_KEY with a fallback would disconnect every user."""
    before = KeyRing.derive("first")
    after = KeyRing.derive("second", ["first"])
    assert re.fullmatch(r"sk-[0-9a-f]{8}", before.key_ids[0])
    assert after.key_ids[1:] == before.key_ids
    assert after.unseal(before.seal("x", "c"), "c") == "x"
    assert KeyRing.derive(b"first").key_ids == before.key_ids
    assert KeyRing.derive("first", ["first", None]).key_ids == before.key_ids  # type: ignore[list-item]
    with pytest.raises(SealedValueError):
        KeyRing.derive("second").unseal(before.seal("x", "c"), "c")
    with pytest.raises(ConfigurationError, match="SECRET_KEY is not set"):
        KeyRing.derive(None)


def test_h11_nothing_prints_key_material() -> None:
    """A traceback with local variables would hand out the key to all tokens."""
    ring = KeyRing.derive("the-secret-key")
    for shown in (repr(ring), str(ring), repr(OLD), repr(ring._provider)):
        assert "ooooo" not in shown
        assert "secret" not in shown
        assert "\\x" not in shown


def test_a_provider_is_asked_each_time() -> None:
    """A key rotated in a key management service would need a restart of every worker."""

    class Service:
        ring: Sequence[Key] = (OLD,)

        def keys(self) -> Sequence[Key]:
            return self.ring

    service = Service()
    ring = KeyRing(service)
    sealed = ring.seal("x", "c")
    service.ring = (NEW, OLD)
    assert ring.key_id(ring.seal("x", "c")) == "new"
    assert ring.unseal(sealed, "c") == "x"
    service.ring = ()
    with pytest.raises(ConfigurationError):
        ring.seal("x", "c")
