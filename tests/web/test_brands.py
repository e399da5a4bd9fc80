"""Colours of the providers."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_oauth_accounts.web.brands import NEUTRAL, contrast, create_brand, css_class, readable_on


@given(st.integers(0, 0xFFFFFF))
def test_every_colour_is_readable(number: int) -> None:
    """Somebody with weak eyes could not read the mark of a provider (WCAG 2.2 AA asks for 4.5)."""
    color = f"#{number:06x}"
    assert contrast(color, readable_on(color)) >= 4.5


@given(st.text())
def test_f03_every_name_gives_a_plain_class(name: str) -> None:
    """A client with an odd name would break the stylesheet."""
    assert re.fullmatch(r"oa-brand-[A-Za-z0-9_-]+", css_class(name))


@pytest.mark.parametrize("color", [None, "", "red", "#fff", "#12345g", "#123456;}", "url(x)"])
def test_what_is_no_colour_becomes_neutral(color: str | None) -> None:
    """A slip in a preset would break the stylesheet for all providers."""
    assert create_brand("x", color).color == NEUTRAL


def test_contrast_is_that_of_wcag() -> None:
    """The measure itself would be wrong, and with it every colour."""
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
