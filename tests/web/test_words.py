"""The words: complete in every language, alike in their placeholders, chosen as browser or application wants."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import read_mo, write_mo
from babel.messages.pofile import read_po
from flask import Flask, request
from flask_babel import Babel

from flask_oauth_accounts.errors import OAuthError
from flask_oauth_accounts.web.words import describe_time, is_right_to_left, list_languages, match_language, translate

ROOT = Path(__file__).resolve().parents[2]
LANGUAGES = ["de", "fr"]
PLACEHOLDER = re.compile(r"%\(\w+\)s")


@pytest.fixture(scope="module")
def messages() -> ModuleType:
    """The script behind ``make messages``."""
    spec = importlib.util.spec_from_file_location("messages", ROOT / "docs" / "messages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read_catalogue(language: str, suffix: str) -> Catalog:
    path = ROOT / "flask_oauth_accounts" / "translations" / language / "LC_MESSAGES" / f"oauth_accounts{suffix}"
    with path.open("rb") as file:
        return read_po(file, locale=language) if suffix == ".po" else read_mo(file)


def as_tuple(text: Any) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else tuple(text)


def subclasses(base: type[OAuthError]) -> list[type[OAuthError]]:
    ours = [child for child in base.__subclasses__() if child.__module__.startswith("flask_oauth_accounts.")]
    return [base, *(item for child in ours for item in subclasses(child))]


@pytest.mark.parametrize("suffix", [".po", ".mo"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_is_translated(messages: ModuleType, language: str, suffix: str) -> None:
    """A visitor would read a page in two languages at once."""
    catalogue = {as_tuple(item.id): item for item in read_catalogue(language, suffix) if item.id}
    wanted = {as_tuple(text) for text in messages.list_messages()}
    wanted |= {(error.visitor,) for error in subclasses(OAuthError)}
    assert catalogue.keys() == wanted
    for key, item in catalogue.items():
        assert not item.fuzzy, key
        strings = as_tuple(item.string)
        assert len(strings) == len(key)
        for string in strings:
            assert string.strip(), key
            assert sorted(PLACEHOLDER.findall(string)) == sorted(PLACEHOLDER.findall(key[0])), key
            assert string.count("%") == key[0].count("%"), key


def test_the_catalogues_are_compiled_from_what_is_there(messages: ModuleType, capsys: Any) -> None:
    """What was mended in a catalogue would never reach a visitor."""
    assert messages.run(check=True, add=None) == 0, capsys.readouterr().out
    assert list(list_languages()) == LANGUAGES


def test_no_page_holds_a_text_of_its_own() -> None:
    """A word that is not marked stays English for everybody."""
    for path in (ROOT / "templates" / "oauth_accounts").glob("*.html"):
        text = re.sub(r"\{#.*?#\}|\{\{.*?\}\}|\{%.*?%\}", " ", path.read_text("utf-8"), flags=re.DOTALL)
        assert not re.findall(r">[^<>]*[A-Za-z]{2}[^<>]*<", text), path.name


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        ([("de-AT", 1), ("en", 0.5)], "de"),
        ([("de-Latn-CH", 1)], "de"),
        ([("DE", 1)], "de"),
        ([("nl", 1), ("fr-CA", 0.9), ("en", 0.8)], "fr"),
        ([("en-US", 1), ("de", 0.9)], "en"),
        ([("de", 0), ("fr", 0.1)], "fr"),
        ([("*", 1)], "en"),
        ([("deu", 1)], "en"),
        ([("", 1)], "en"),
        ([], "en"),
    ],
)
def test_language_of_a_browser(accepted: list[tuple[str, float]], expected: str) -> None:
    """An Austrian would be spoken to in English."""
    assert match_language(accepted, ["en", "de", "fr"]) == expected


@pytest.mark.parametrize(
    ("language", "expected"),
    [("ar", True), ("he_IL", True), ("az_Arab_IR", True), ("ku_Latn", False), ("de", False), ("en", False)],
)
def test_direction_of_writing(language: str, expected: bool) -> None:
    """Arabic and Hebrew would be set from the wrong side."""
    assert is_right_to_left(language) is expected


@pytest.mark.parametrize(
    ("language", "seconds", "expected"),
    [
        ("de", -60, "vor 1 Minute"),
        ("de", -3 * 86400, "vor 3 Tagen"),
        ("de", 2 * 3600, "in 2 Stunden"),
        ("de-CH", -800 * 86400, "vor 2 Jahren"),
        ("fr", -3 * 86400, "il y a 3 jours"),
        ("fr", 86400, "dans 1 jour"),
        ("fr", 90 * 86400, "dans 3 mois"),
        ("en", -86400, "1 day ago"),
    ],
)
def test_plural_forms(language: str, seconds: float, expected: str) -> None:
    """ "Vor 1 Tagen" makes a page look careless, and its makers too."""
    with Flask(__name__).test_request_context("/", headers={"Accept-Language": language}):
        assert describe_time(1e9 + seconds, now=1e9) == expected


def test_a_german_browser(site: Any) -> None:
    """Somebody who reads no English could not sign in."""
    german = {"Accept-Language": "de-AT,de;q=0.9,en;q=0.8"}
    browser = site.browser()
    response = browser.get("/login", headers=german)
    assert '<html lang="de">' in response.text
    assert "Weiter mit Two" in response.text
    assert "<h1>Anmelden</h1>" in response.text
    assert response.headers["Content-Language"] == "de"
    assert "Accept-Language" in response.headers["Vary"]
    failed = browser.get("/authorize/two?state=x", headers=german)
    assert "Diese Anmeldung wurde nicht hier begonnen" in failed.text
    problem = browser.get("/authorize/two?state=x", headers={**german, "Accept": "application/json"})
    assert problem.json["detail"].startswith("Diese Anmeldung wurde nicht hier begonnen")
    assert problem.headers["Content-Language"] == "de"
    assert '<html lang="en">' in browser.get("/login", headers={"Accept-Language": "pl"}).text


def test_a_whole_visit_in_french_shows_no_english(site: Any, messages: ModuleType) -> None:
    """A page would change its language in the middle."""
    browser = site.browser()
    browser.environ_base["HTTP_ACCEPT_LANGUAGE"] = "fr"
    texts = [browser.get("/login").text]
    site.log_in(browser)
    texts += [browser.get(path).text for path in ("/login", "/login/two", "/profile/two", "/accounts", "/login/x")]
    for english in (text for text in messages.list_messages() if isinstance(text, str) and len(text) > 12):
        plain = english.split("%")[0].strip()
        assert len(plain) < 8 or not any(plain in text for text in texts), english


class TestFlaskBabel:
    """An application that uses Flask-Babel."""

    @staticmethod
    def use_babel(app: Flask, folder: Path, selector: Callable[[], str | None]) -> None:
        Babel(app, default_translation_directories=str(folder), locale_selector=selector)

    @staticmethod
    def write(folder: Path, language: str, domain: str, texts: dict[str, str]) -> None:
        catalogue = Catalog(locale=language)
        for text, translation in texts.items():
            catalogue.add(text, translation)
        target = folder / language / "LC_MESSAGES" / f"{domain}.mo"
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            write_mo(file, catalogue)

    def test_its_locale_is_used(self, site: Any, tmp_path: Path) -> None:
        """A user who has chosen a language would get our pages in the browser's instead."""
        self.use_babel(site.app, tmp_path, lambda: request.args.get("lang", "fr"))
        browser = site.browser()
        english = {"Accept-Language": "en"}
        assert "Continuer avec Two" in browser.get("/login", headers=english).text
        swiss = browser.get("/login?lang=de_CH", headers=english)
        assert "Weiter mit Two" in swiss.text
        assert '<html lang="de-CH">' in swiss.text

    def test_its_own_words_come_first(self, site: Any, tmp_path: Path) -> None:
        """An application could not say it in its own words."""
        self.write(tmp_path, "de", "oauth_accounts", {"Continue with %(provider)s": "Los mit %(provider)s"})
        self.write(tmp_path, "de", "messages", {"Sign in": "Hereinspaziert"})
        self.use_babel(site.app, tmp_path, lambda: "de")
        text = site.browser().get("/login").text
        assert "Los mit Two" in text
        assert "<h1>Anmelden</h1>" in text

    def test_a_language_of_its_own(self, site: Any, tmp_path: Path) -> None:
        """An application in Hebrew would have English pages in it, set from the wrong side."""
        words = {"Continue with %(provider)s": "המשך עם %(provider)s", "Sign in": "כניסה"}
        self.write(tmp_path, "he", "messages", words)
        self.use_babel(site.app, tmp_path, lambda: "he")
        page = site.browser().get("/login")
        assert '<html lang="he" dir="rtl">' in page.text
        assert "המשך עם Two" in page.text
        assert page.headers["Content-Language"] == "he"

    def test_a_language_without_texts_is_not_claimed(self, site: Any, tmp_path: Path) -> None:
        """A screen reader would read English words as if they were Arabic."""
        self.use_babel(site.app, tmp_path, lambda: "ar")
        assert '<html lang="en">' in site.browser().get("/login").text

    def test_a_selector_that_fails_is_asked_once(self, site: Any, tmp_path: Path) -> None:
        """A database that is down would turn the error page into a server error, or into minutes of waiting."""
        asked = []

        def ask_database() -> str:
            asked.append(1)
            raise ConnectionError

        self.use_babel(site.app, tmp_path, ask_database)
        page = site.browser().get("/login/nope", headers={"Accept-Language": "de"})
        assert page.status_code == 404
        assert "Diese Anmeldemöglichkeit gibt es hier nicht." in page.text
        assert len(asked) == 1


def test_outside_a_request() -> None:
    """A job that words a message would crash."""
    assert translate("Sign in") == "Sign in"
    assert describe_time(None) == "never"
