"""Open redirects: where `next` may lead (D01 to D10, M11)."""

from __future__ import annotations

from typing import cast
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from flask import Flask, redirect
from hypothesis import given, settings
from hypothesis import strategies as st

from flask_oauth_accounts.web.redirects import join_external, safe_next

ORIGIN = "https://www.example.com"
SIBLING = "https://shop.example.com"
RESERVED = ("/login", "/authorize", "/logout", "/connect")

HOSTILE = {
    "d01_slashes": [
        "//evil.com",
        "///evil.com",
        "////evil.com",
        "/\t/evil.com",
        " //evil.com",
        "/ /evil.com\n",
        "\x00//evil.com",
        "/.//evil.com",
        "/..//evil.com",
        "/%2e//evil.com",
        "/x/../..//evil.com",
        "/\x0b/evil.com",
        "/%2F/evil.com/..//",
    ],
    "d02_backslashes": [
        "/\\evil.com",
        "\\\\evil.com",
        "\\/evil.com",
        "/%5Cevil.com",
        "https:\\\\evil.com",
        "/x\\..\\evil.com",
    ],
    "d03_schemes": [
        "javascript:alert(1)",
        "data:text/html,x",
        "https:evil.com",
        "https:/evil.com",
        "http:///evil.com",
        "mailto:a@b",
        "HTTPS://evil.com",
        "vbscript:x",
        "ftp://www.example.com/x",
        "https:",
        ":",
        "blob:https://www.example.com/x",
    ],
    "d04_authority": [
        "https://www.example.com@evil.com/",
        "https://evil.com#www.example.com",
        "https://www.example.com.evil.com",
        "https://evil.com/www.example.com",
        "https://www.example.com:80@evil.com/",
        "https://user@www.example.com/",
        "https://www.example.com:443@evil.com",
        "https://[::1",
        "https://www.example.com:99999999/",
        "https://www.example.com:x/",
    ],
    "d05_unicode": [
        "https://www.example.com\u3002evil.com",
        "https://\uff57ww.example.com/",
        "/\u2028/evil.com",
        "\u200b//evil.com",
        "/\ud800",
        "https://www.exam\u00adple.com/",
        "\uff0f\uff0fevil.com",
        "\u3000//evil.com",
    ],
    "d07_line_breaks": ["/x\r\nSet-Cookie: a=b", "/x\n", "\n/x", "/x\r", "/%0d%0aSet-Cookie:a=b"],
    "d08_other_origin": [
        "http://www.example.com/x",
        "https://www.example.com:8443/x",
        "https://example.com/x",
        "https://www.example.com:444",
        "http://shop.example.com/x",
        "https://shop.example.com:444",
        "https://x.shop.example.com/",
        "https://shop.example.com.evil.com/",
        "https://shop.example.com//evil.com",
        "https://shop.example.com@evil.com/",
    ],
    "d10_loops": [
        "/login",
        "/login/github",
        "/authorize/github?code=x",
        "/logout",
        "/connect/x",
        "/%6cogin/x",
        "/x/../login",
        "/./login/x",
        "//login",
        "/x//../../login",
        "https://www.example.com/login/github",
        "/login/",
        "/login?next=/login",
    ],
    "not_a_path": ["", "x", "x/y", "?a=b", "#a", ".", "evil.com", None, 5, ["/x"], "/" + "x" * 3000],
}


@pytest.mark.parametrize(
    "value", [value for group in HOSTILE.values() for value in cast(list[object], group)], ids=repr
)
def test_d01_to_d10_hostile_next_is_refused(value: object) -> None:
    """A visitor would be sent from our login to a page of an attacker."""
    assert safe_next(value, origins=[ORIGIN], siblings=[SIBLING], reserved=RESERVED) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("/", "/"),
        ("/a/b?c=d&e=f#g", "/a/b?c=d&e=f#g"),
        ("/loginx", "/loginx"),
        ("/q?to=https://other.example/x//y", "/q?to=https://other.example/x//y"),
        ("/ü ß?q=é#ö", "/%C3%BC%20%C3%9F?q=%C3%A9#%C3%B6"),
        ("https://www.example.com", "/"),
        ("https://www.example.com/x?y=1#z", "/x?y=1#z"),
        ("HTTPS://WWW.EXAMPLE.COM:443/x", "/x"),
        ("/a%20b", "/a%20b"),
        ("/a//b", "/a//b"),
        ("https://SHOP.example.com:443/ü?y=1#z", "https://shop.example.com/%C3%BC?y=1#z"),
    ],
)
def test_m11_honest_next_is_kept(value: str, expected: str) -> None:
    """A visitor would lose the page, query or fragment that they came from."""
    assert safe_next(value, origins=[ORIGIN], siblings=[SIBLING], reserved=RESERVED) == expected


@settings(max_examples=400, deadline=None)
@given(
    st.one_of(
        st.text(max_size=40),
        st.builds(
            lambda start, text: start + text,
            st.sampled_from(["/", SIBLING]),
            st.text(alphabet="/\\.:@?#%25c\t\n evilcom[]0h", max_size=20),
        ),
    )
)
def test_d01_whatever_is_accepted_stays_on_site(value: str) -> None:
    """An input nobody thought of would lead away from the site."""
    target = safe_next(value, origins=[ORIGIN], siblings=[SIBLING], reserved=RESERVED)
    if target is None:
        return
    app = Flask(__name__)
    with app.test_request_context("/login"):
        response = redirect(target)
        sent = dict(response.get_wsgi_headers({}))["Location"]
    assert sent == target
    resolved = urlsplit(urljoin(ORIGIN + "/login", sent))
    assert f"{resolved.scheme}://{resolved.netloc}" == (SIBLING if value.startswith("https:") else ORIGIN)
    assert not unquote(resolved.path).startswith(("//", "/\\"))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["", "/", SIBLING]), st.text(max_size=60))
def test_d01_a_target_is_stable(start: str, value: str) -> None:
    """A target that changes when it is checked again would slip past one of the two checks."""
    target = safe_next(start + value, origins=[ORIGIN], siblings=[SIBLING])
    if target is not None:
        assert safe_next(target, origins=[ORIGIN], siblings=[SIBLING]) == target


@pytest.mark.parametrize(
    ("external", "root", "path", "expected"),
    [
        ("https://x.example", "", "/authorize/a", "https://x.example/authorize/a"),
        ("https://x.example/", "", "/authorize/a", "https://x.example/authorize/a"),
        ("https://x.example", "/sub", "/sub/authorize/a", "https://x.example/sub/authorize/a"),
        ("https://x.example/sub", "/sub", "/sub/authorize/a", "https://x.example/sub/authorize/a"),
        ("https://x.example/sub", "", "/authorize/a", "https://x.example/sub/authorize/a"),
    ],
)
def test_l22_redirect_uri_under_a_prefix(external: str, root: str, path: str, expected: str) -> None:
    """A site under a prefix would register one redirect URI and send another."""
    assert join_external(external, root, path) == expected
