"""Arguments, configuration and preset laid over one another.

Explicit arguments beat configuration beats preset; ``None`` means "not given". With ``overwrite=True`` configuration
wins, and dictionaries are merged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..providers import Preset, find_preset, load_preset, read_apple_key
from .names import APPLE_ARGUMENTS, CONFIG_KEYS, config_key


@dataclass(frozen=True)
class Registration:
    """What is known of a client before it is checked.

    :ivar values: the merged arguments.
    :ivar parameters: the values of the preset's placeholders.
    """

    name: str
    values: Mapping[str, Any] = field(repr=False)
    preset: Preset | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)


def merge_settings(
    name: str,
    arguments: Mapping[str, Any],
    config: Mapping[str, Any],
    *,
    overwrite: bool = False,
    defaults: Mapping[str, Any] | None = None,
) -> Registration:
    """Lay arguments, configuration and preset over one another; nothing that is passed in is changed.

    :param name: of the client.
    :param arguments: keywords of ``register``.
    :param config: the application's configuration.
    :param overwrite: let configuration win over arguments.
    :param defaults: a class's ``OAUTH_APP_CONFIG``, of the rank of a preset.
    :return: the merged values, the preset and the values of its placeholders.
    :raises ConfigurationError: for a preset that does not exist.
    """
    given = _lift({key: _copy(value) for key, value in arguments.items() if value is not None})
    configured = _lift(_read_config(name, config))
    merged = _overlay(given, configured) if overwrite else _overlay(configured, given, merge=False)
    preset = _choose_preset(name, merged)
    parameters: dict[str, str] = {}
    if preset is not None:
        wanted = {**given, **_read_parameters(preset, name, config)} if overwrite else given
        parameters = preset.collect_parameters(name, config, wanted, own_server=_names_server(merged))
        for placeholder in preset.placeholders:
            merged.pop(placeholder.name, None)
        if preset.client_secret_form == "apple":  # noqa: S105  a form, not a secret
            keys = {config_key(name, key): merged.pop(key) for key in APPLE_ARGUMENTS if key in merged}
            wins = {key: value for key, value in keys.items() if not (overwrite and config.get(key))}
            merged["apple_key"] = read_apple_key(name, {**config, **wins})
        defaults = {**_fill_preset(preset, parameters, merged), **(defaults or {})}
    merged.pop("preset", None)
    for key, value in (defaults or {}).items():
        if value is None:
            continue
        if key == "client_kwargs":
            merged[key] = {**value, **merged.get(key, {})}
        elif key not in merged:
            merged[key] = _copy(value)
    return Registration(name, merged, preset, parameters)


def _lift(values: dict[str, Any]) -> dict[str, Any]:
    """What can be said in two ways gets one place, so that arguments, configuration and preset compare."""
    for key, metadata_name in (("authorize_url", "authorization_endpoint"), ("access_token_url", "token_endpoint")):
        if values.get(metadata_name):
            values.setdefault(key, values[metadata_name])
    kwargs = values.get("client_kwargs")
    if not isinstance(kwargs, dict):
        return values
    for key in ("scope", "code_challenge_method"):
        if kwargs.get(key):
            values.setdefault(key, kwargs[key])
            del kwargs[key]
    return values


def _read_config(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key in CONFIG_KEYS:
        value = config.get(config_key(name, key))
        if value is not None and value != "":
            values[key] = _copy(value)
    return values


def _read_parameters(preset: Preset, name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    found = {key: config.get(config_key(name, key)) for key in preset.parameters}
    return {key: value for key, value in found.items() if value not in (None, "", [], ())}


def _copy(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


def _overlay(base: Mapping[str, Any], top: Mapping[str, Any], *, merge: bool = True) -> dict[str, Any]:
    result = dict(base)
    for key, value in top.items():
        if merge and isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = {**result[key], **value}
        else:
            result[key] = value
    return result


def _choose_preset(name: str, merged: Mapping[str, Any]) -> Preset | None:
    """The preset asked for, or that of the client's name unless the application describes another protocol."""
    if merged.get("preset"):
        return load_preset(str(merged["preset"]))
    preset = find_preset(name)
    if preset is None:
        return None
    own_oauth2 = merged.get("authorize_url") and merged.get("access_token_url") and not merged.get("request_token_url")
    if preset.protocol == "oauth1":
        return None if own_oauth2 else preset
    return None if merged.get("request_token_url") else preset


def _fill_preset(preset: Preset, parameters: Mapping[str, str], merged: Mapping[str, Any]) -> dict[str, Any]:
    """The preset's values, less those that belong to a server which the application has replaced by its own."""
    own_discovery, own_server = merged.get("server_metadata_url"), _names_server(merged)
    values = preset.settings(parameters, metadata_url=own_discovery, own_server=own_server)
    if own_server and not own_discovery:
        values.pop("server_metadata_url", None)
    if own_server and merged.get("api_base_url"):
        values.pop("allowed_hosts", None)
    return values


def _names_server(merged: Mapping[str, Any]) -> bool:
    """Whether the application says itself where people log in."""
    return bool(merged.get("server_metadata_url") or (merged.get("authorize_url") and merged.get("access_token_url")))
