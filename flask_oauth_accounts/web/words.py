"""Every word that visitors read passes through here.

Texts are written in English where they are used, marked with :func:`translate`, :func:`mark` or, in templates, ``_``.
A catalogue of the domain ``oauth_accounts`` is looked up first; what it does not know is given to the application's
own ``_`` (Flask-Babel installs one), so that an application can translate or reword every text.
"""

from __future__ import annotations

import gettext as _gettext
import math
import time
from functools import lru_cache
from pathlib import Path

from flask import current_app, has_request_context, request

DOMAIN = "oauth_accounts"
CATALOGUES = Path(__file__).resolve().parent.parent / "translations"

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
    translated = find_catalogue(choose_language()).gettext(message)
    if translated == message:
        translated = _translate_by_application(message)
    return translated % values if values else translated


def translate_count(singular: str, plural: str, count: int, /, **values: object) -> str:
    """Translate a text that depends on a number, which is available as ``%(count)s``."""
    text = find_catalogue(choose_language()).ngettext(singular, plural, count)
    return text % {"count": count, **values}


def choose_language() -> str:
    """:return: the language of the current request: Flask-Babel's where the application uses it, else the browser's
    choice among the catalogues that are shipped, else English."""
    if not has_request_context():
        return "en"
    if "babel" in current_app.extensions:
        from flask_babel import get_locale

        return str(get_locale() or "en")
    return request.accept_languages.best_match(["en", *list_languages()]) or "en"


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


def _translate_by_application(message: str) -> str:
    if not has_request_context() or "babel" not in current_app.extensions:
        return message
    from flask_babel import gettext

    return str(gettext(message))


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
