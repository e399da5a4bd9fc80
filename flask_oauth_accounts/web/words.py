"""Every word that visitors read passes through here.

Texts are written in English where they are used, marked with :func:`translate`, :func:`mark` or, in templates, ``_``.
They are looked up in this order: the application's own catalogue of the domain ``oauth_accounts``, the one that is
shipped, the application's ordinary catalogue. So an application that uses Flask-Babel can reword every text, and add a
language, by a file ``oauth_accounts.mo`` in its own translations.
"""

from __future__ import annotations

import gettext as _gettext
import logging
import math
import time
from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from flask import current_app, g, has_request_context, request

DOMAIN = "oauth_accounts"
CATALOGUES = Path(__file__).resolve().parent.parent / "translations"

logger = logging.getLogger(__name__)

_BROKEN = "_oauth_accounts_locale_is_broken"
_DOMAIN_KEY = "flask_oauth_accounts_domain"
_PROBE = "Continue with %(provider)s"
_RIGHT_TO_LEFT = frozenset({"ar", "ckb", "dv", "fa", "he", "ks", "ku", "ps", "sd", "ug", "ur", "yi"})
_RIGHT_TO_LEFT_SCRIPTS = frozenset({"Arab", "Hebr", "Nkoo", "Syrc", "Thaa"})

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def mark(message: str) -> str:
    """Mark a text for the catalogues that is translated later; returns it as it is."""
    return message


def translate(message: str, /, **values: object) -> str:
    """Translate a text and fill in its values.

    :param message: in English, with ``%(name)s`` where a value goes.
    :param values: what goes there; templates escape the result.
    :return: plain text in the visitor's language.
    """
    translated = next((text for text in _look_up(message) if text != message), message)
    return translated % values if values else translated


def translate_count(singular: str, plural: str, count: int, /, **values: object) -> str:
    """Translate a text that depends on a number.

    :param singular: in English, for one.
    :param plural: in English, for any other number.
    :param count: the number, available in both as ``%(count)s``.
    :param values: what else goes there.
    :return: plain text in the visitor's language.
    """
    found = (str(catalogue.ngettext(singular, plural, count)) for catalogue in _list_catalogues())
    text = next((text for text in found if text not in (singular, plural)), singular if count == 1 else plural)
    return text % {"count": count, **values}


def choose_language() -> str:
    """:return: the language of the current request: Flask-Babel's where the application uses it, else the browser's
    choice among the catalogues that are shipped, else English."""
    if not has_request_context():
        return "en"
    if _uses_babel():
        from flask_babel import get_locale

        try:
            return str(get_locale() or "en")
        except Exception as error:
            # A selector may ask the database, which may be what is broken; it is asked once, not for each word.
            logger.warning("the application's locale selector raised %s", type(error).__name__)
            setattr(g, _BROKEN, True)
    return match_language(request.accept_languages, ["en", *list_languages()])


def match_language(accepted: Iterable[tuple[str, float]], offered: Collection[str]) -> str:
    """Choose a language for a browser (RFC 4647 section 3.4, Lookup): ``de-AT`` is served ``de``.

    :param accepted: pairs of a language range and its quality, best first.
    :param offered: the languages there are; the first one where nothing fits.
    :return: one of ``offered``.
    """
    known = {language.lower().replace("_", "-"): language for language in offered}
    for wanted, quality in accepted:
        parts = wanted.lower().replace("_", "-").split("-") if quality > 0 else []
        for end in range(len(parts), 0, -1):
            found = known.get("-".join(parts[:end]))
            if found is not None:
                return found
    return next(iter(offered))


def find_page_language() -> str:
    """:return: the language that the page is really in, for its ``lang``: the chosen one where its texts are there,
    else English, so that a screen reader does not read English words as another language's."""
    language = choose_language()
    has_texts = language.partition("_")[0] == "en" or any(text != _PROBE for text in _look_up(_PROBE))
    return language if has_texts else "en"


def is_right_to_left(language: str) -> bool:
    """Whether a language is written from right to left.

    :param language: as ``ar`` or ``az_Arab_IR``; a script that is named decides.
    """
    first, *rest = language.split("_")
    scripts = [part for part in rest if len(part) == 4]
    return scripts[0] in _RIGHT_TO_LEFT_SCRIPTS if scripts else first in _RIGHT_TO_LEFT


@lru_cache(maxsize=1)
def list_languages() -> tuple[str, ...]:
    """:return: the languages that a catalogue is shipped for, apart from English."""
    return tuple(sorted(path.parent.parent.name for path in CATALOGUES.glob(f"*/LC_MESSAGES/{DOMAIN}.mo")))


@lru_cache(maxsize=64)
def find_catalogue(language: str) -> _gettext.NullTranslations:
    """:return: the catalogue of a language (``de_AT`` falls back to ``de``); an empty one where there is none."""
    known = list_languages()
    names = [name for name in (language, language.split("_", maxsplit=1)[0]) if name in known]
    return _gettext.translation(DOMAIN, str(CATALOGUES), languages=names, fallback=True)


def _look_up(message: str) -> Iterator[str]:
    return (str(catalogue.gettext(message)) for catalogue in _list_catalogues())


def _list_catalogues() -> list[Any]:
    """Where a text of the current request is looked up, in this order."""
    shipped = find_catalogue(choose_language())
    if not _uses_babel():
        return [shipped]
    from flask_babel import Domain, get_translations

    domain = current_app.extensions.get(_DOMAIN_KEY)
    if domain is None:
        domain = current_app.extensions[_DOMAIN_KEY] = Domain(domain=DOMAIN)
    return [domain.get_translations(), shipped, get_translations()]


def _uses_babel() -> bool:
    return has_request_context() and "babel" in current_app.extensions and not g.get(_BROKEN)


def describe_time(seconds: float | None, *, now: float | None = None) -> str:
    """Say when something was or will be, in words.

    :param seconds: since the epoch; ``None`` where it is not known.
    :param now: seconds since the epoch; the current time when left out.
    :return: "3 days ago", "in 2 hours", or "never".
    """
    if seconds is None or not math.isfinite(seconds):
        return translate("never")
    delta = seconds - (time.time() if now is None else now)
    distance = abs(delta)
    if distance < 45:
        return translate("just now")
    span = _describe_span(distance)
    return translate("in %(span)s", span=span) if delta > 0 else translate("%(span)s ago", span=span)


def _describe_span(seconds: float) -> str:
    if seconds < 45 * _MINUTE:
        return translate_count("%(count)s minute", "%(count)s minutes", max(1, round(seconds / _MINUTE)))
    if seconds < 22 * _HOUR:
        return translate_count("%(count)s hour", "%(count)s hours", max(1, round(seconds / _HOUR)))
    if seconds < 26 * _DAY:
        return translate_count("%(count)s day", "%(count)s days", max(1, round(seconds / _DAY)))
    if seconds < 320 * _DAY:
        return translate_count("%(count)s month", "%(count)s months", max(1, round(seconds / (30.44 * _DAY))))
    return translate_count("%(count)s year", "%(count)s years", max(1, round(seconds / (365.25 * _DAY))))


def make_initials(*names: str | None) -> str:
    """:return: one or two capital letters that stand for a picture.

    :param names: the first that holds a letter or digit is used.
    """
    for name in names:
        words = [word for word in (name or "").replace("@", " ").replace(".", " ").split() if word[0].isalnum()]
        if words:
            return "".join(word[0] for word in (words[:1] + words[-1:] if len(words) > 1 else words)).upper()[:2]
    return "?"
