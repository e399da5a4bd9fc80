"""The package's own configuration: every key with the prefix ``OAUTH_ACCOUNTS_``, in one place.

A key that is not listed here, or whose value is of the wrong kind, is refused by name when the application starts.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from .errors import ConfigurationError

PREFIX = "OAUTH_ACCOUNTS_"


def _fail(key: str, what: str) -> ConfigurationError:
    return ConfigurationError(f"{PREFIX}{key} {what}")


def parse_list(value: object) -> tuple[str, ...] | None:
    """Read a list of words: any sequence, or text separated by commas; ``None`` for anything else."""
    if isinstance(value, str):
        return tuple(word.strip() for word in value.split(",") if word.strip())
    if isinstance(value, (list, tuple, set, frozenset)) and all(isinstance(word, str) for word in value):
        return tuple(value)
    return None


def _list(key: str, value: object) -> tuple[str, ...]:
    words = parse_list(value)
    if words is None:
        raise _fail(key, "must be a list of words, or text separated by commas")
    return words


def _hosts(key: str, value: object) -> tuple[tuple[str, int | None], ...]:
    return tuple(_host(key, word) for word in _list(key, value))


def _host(key: str, word: str) -> tuple[str, int | None]:
    """The host in lower case and the port, ``None`` for any."""
    netloc = f"[{word}]" if word.count(":") > 1 and "[" not in word else word
    try:
        parts = urlsplit(f"//{netloc}")
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        host, port = "", None
    if not host or parts.netloc != netloc or any(char in netloc for char in "@* "):
        raise _fail(
            key,
            f'must be host names, with a port where only that one is meant, such as "sso.internal" or '
            f'"sso.internal:8080"; {word!r} is none',
        )
    return host, port


def _bool(key: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and value in (0, 1):
        return bool(value)
    if isinstance(value, str) and value.lower() in ("true", "yes", "on", "1", "false", "no", "off", "0"):
        return value.lower() in ("true", "yes", "on", "1")
    raise _fail(key, "must be true or false")


def _seconds(key: str, value: object) -> float:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise _fail(key, "must be a number of seconds") from None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 10**9:
        raise _fail(key, "must be a number of seconds, 0 or more")
    return float(value)


def _positive(key: str, value: object) -> float:
    seconds = _seconds(key, value)
    if seconds <= 0:
        raise _fail(key, "must be more than 0 seconds")
    return seconds


def _count(key: str, value: object) -> int:
    number = _seconds(key, value)
    if number < 1 or number != int(number):
        raise _fail(key, "must be a whole number, 1 or more")
    return int(number)


def _timeout(key: str, value: object) -> tuple[float, float]:
    if isinstance(value, str) and "," in value:
        value = value.split(",")
    if isinstance(value, (list, tuple)):
        if len(value) != 2:
            raise _fail(key, "must be a number of seconds, or the pair of connect and read seconds")
        return _positive(key, value[0]), _positive(key, value[1])
    seconds = _positive(key, value)
    return min(seconds, 3.05), seconds


def _text(key: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _fail(key, "must be a text")
    return value


def _origin(key: str, value: object) -> str:
    text = _text(key, value).rstrip("/")
    try:
        parts = urlsplit(text)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.query and not parts.fragment
    except ValueError:
        valid = False
    if not valid:
        raise _fail(key, 'must be an address like "https://www.example.com"')
    return text


def _choice(*choices: str) -> Callable[[str, object], str]:
    def parse(key: str, value: object) -> str:
        if value not in choices:
            raise _fail(key, "must be " + " or ".join(f'"{choice}"' for choice in choices))
        return str(value)

    return parse


def _link_by_email(key: str, value: object) -> str | None:
    if value is False or value == "never":
        return None
    return _choice("verified")(key, value)


def _option(parse: Callable[[str, object], Any], default: Any, doc: str) -> Any:
    return field(default=default, metadata={"parse": parse, "doc": doc})


@dataclass(frozen=True)
class Settings:
    """The values in force for one application; each field is the key without its prefix, in lower case."""

    providers: tuple[str, ...] | None = _option(
        _list, None, "names of the clients to register; all configured presets when unset"
    )
    auto_migrate: bool | None = _option(
        _bool, None, "bring the tables up to date on first use; on only for the embedded database"
    )
    keys: tuple[str, ...] | None = _option(
        _list, None, '"<key id>:<base64url of 32 bytes>"; the first encrypts, all decrypt'
    )
    external_url: str | None = _option(
        _origin, None, "the address the browser sees, with scheme; else taken from the request"
    )
    login_redirect: str | None = _option(_text, None, "path or endpoint to go to after a login without next")
    logout_redirect: str | None = _option(
        _text, None, "path or endpoint to go to after a logout; the sign-in page when unset"
    )
    provider_logout: bool = _option(_bool, False, "also log out at an OpenID provider that offers it")
    show_avatars: bool = _option(_bool, False, "load the users' pictures from the providers' hosts")
    signup: str = _option(_choice("open", "closed"), "open", "whether unknown identities become users")
    allowed_domains: tuple[str, ...] | None = _option(
        _list, None, "only verified e-mail addresses of these domains may sign up"
    )
    link_by_email: str | None = _option(
        _link_by_email, None, '"verified" links by e-mail where provider and local address are verified'
    )
    allow_http: tuple[tuple[str, int | None], ...] = _option(
        _hosts, (), "hosts whose endpoints may be http://, each with a port where only that one is meant"
    )
    http_timeout: tuple[float, float] = _option(
        _timeout, (3.05, 10.0), "seconds to connect and to read, a number or a pair"
    )
    http_total_timeout: float = _option(_positive, 20.0, "seconds for a whole exchange with a provider")
    http_max_bytes: int = _option(
        _count, 32 * 1024 * 1024, "greatest answer of an API call, in bytes after decompression"
    )
    flow_lifetime: float = _option(_positive, 600.0, "seconds a pending login is kept")
    max_pending: int = _option(_count, 10, "pending logins kept for one browser")
    refresh_lease: float = _option(_positive, 30.0, "seconds a claim to refresh a token holds")
    refresh_wait: float = _option(_seconds, 15.0, "seconds to wait for somebody else's refresh")
    refresh_leeway: float | None = _option(_seconds, None, "seconds before its expiry from which a token is due")
    session_keep: tuple[str, ...] = _option(_list, (), "session keys that survive a login; all others start afresh")
    event_retention: float = _option(_seconds, 180 * 86400.0, "seconds that `flask oauth purge` keeps events")

    @classmethod
    def from_mapping(cls, config: Mapping[str, Any]) -> Settings:
        """Read and check every key of the package.

        :param config: the application's configuration.
        :raises ConfigurationError: for a key that does not exist or a value of the wrong kind; the sentence names it.
        """
        fields = {item.name.upper(): item for item in dataclasses.fields(cls)}
        values: dict[str, Any] = {}
        for full_key in config:
            if not isinstance(full_key, str) or not full_key.startswith(PREFIX):
                continue
            key = full_key.removeprefix(PREFIX)
            if key not in fields:
                near = difflib.get_close_matches(key, fields, n=1)
                hint = f"; did you mean {PREFIX}{near[0]}?" if near else f"; known are {', '.join(sorted(fields))}"
                raise ConfigurationError(f"{full_key} is not a setting of flask_oauth_accounts{hint}")
            if config[full_key] is not None:
                values[fields[key].name] = fields[key].metadata["parse"](key, config[full_key])
        return cls(**values)


def describe_settings() -> list[tuple[str, Any, str]]:
    """:return: key, default and meaning of every setting, for the documentation and the command line."""
    return [(PREFIX + item.name.upper(), item.default, item.metadata["doc"]) for item in dataclasses.fields(Settings)]
