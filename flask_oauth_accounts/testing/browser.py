"""The human: reads the provider's pages over HTTP, fills in their form, and follows nothing else."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import urljoin

import requests

_TIMEOUT = 10


class Callback(str):
    """Where the provider sends the browser.

    :ivar form: the fields to post there where ``response_mode=form_post`` was asked for, else ``None`` for a GET.
    """

    __slots__ = ("form",)
    form: dict[str, str] | None

    def __new__(cls, url: str, form: dict[str, str] | None = None) -> Callback:
        """:param url: the whole address."""
        callback = super().__new__(cls, url)
        callback.form = form
        return callback


class _FormParser(HTMLParser):
    """The one form of a page, and what its error message says."""

    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self.message = ""
        self._in_message = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = values.get("action", "")
        elif tag == "input" and values.get("type") == "hidden":
            self.fields[values["name"]] = values.get("value", "")
        self._in_message = values.get("role") == "alert"

    def handle_data(self, data: str) -> None:
        if self._in_message:
            self.message += data


def submit_page(url: str, fields: dict[str, str], *, session: requests.Session) -> Callback:
    """Open a page and send its form.

    :param url: of the page, as a client would send a browser there.
    :param fields: what the person chooses.
    :param session: the browser's cookies.
    :return: where the provider sends the browser next.
    :raises RuntimeError: if the provider shows an error page instead.
    """
    page = session.get(url, allow_redirects=False, timeout=_TIMEOUT)
    if page.is_redirect:
        return Callback(page.headers["Location"])
    form = _read_form(page)
    action = urljoin(page.url, form.action or page.url)
    answer = session.post(action, data={**form.fields, **fields}, allow_redirects=False, timeout=_TIMEOUT)
    if answer.is_redirect:
        return Callback(urljoin(answer.url, answer.headers["Location"]))
    form = _read_form(answer)
    return Callback(form.action or answer.url, form.fields)


def _read_form(page: requests.Response) -> _FormParser:
    parser = _FormParser()
    parser.feed(page.text)
    if page.status_code != 200:
        reason = " ".join(parser.message.split())
        raise RuntimeError(f"the provider answered {page.status_code} instead of its page: {reason}")
    return parser


def open_browser() -> requests.Session:
    """:return: a browser without cookies that ignores proxies and ``.netrc``."""
    session = requests.Session()
    session.trust_env = False
    return session
