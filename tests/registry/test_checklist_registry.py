"""The registry object, ``register`` and the configuration keys: what code for Authlib's Flask client relies on."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from flask import Flask

from flask_oauth_accounts import ConfigurationError, OAuth, OAuth1App, OAuth2App
from flask_oauth_accounts.providers import list_presets, load_preset

OAUTH2 = {
    "client_id": "the-client",
    "client_secret": "the-client-secret",
    "access_token_url": "https://provider.test/token",
    "authorize_url": "https://provider.test/authorize",
    "api_base_url": "https://api.provider.test/v1/",
}
OAUTH1 = {**OAUTH2, "request_token_url": "https://provider.test/request_token"}


class EmptyCache(dict[str, Any]):
    """A cache that is falsy as long as it is empty."""

    def set(self, key: str, value: Any, timeout: int | None = None) -> None:  # type: ignore[override]
        self[key] = value


def fetch(name: str) -> dict[str, Any]:
    return {"access_token": f"token of {name}"}


def update(name: str, token: Any) -> None:
    pass


# -- 1.1 ---


def test_s009_positional_order_of_the_constructor(app: Flask) -> None:
    """S:9-11: arguments given by position would land in the wrong place."""
    cache = EmptyCache()
    oauth = OAuth(app, cache, fetch, update)
    assert (oauth.app, oauth.cache, oauth.fetch_token, oauth.update_token) == (app, cache, fetch, update)


def test_s013_positional_order_of_init_app(app: Flask) -> None:
    """S:13-16: ``init_app(app, cache)`` of old code would give the cache to something else."""
    cache = EmptyCache()
    oauth = OAuth()
    oauth.init_app(app, cache, fetch, update)
    assert (oauth.app, oauth.cache, oauth.fetch_token, oauth.update_token) == (app, cache, fetch, update)


def test_s122_an_empty_cache_is_a_cache(app: Flask, stub: Any) -> None:
    """S:122: a dictionary-like cache is falsy while empty, and would be ignored for the first login."""
    cache = EmptyCache()
    oauth = OAuth()
    oauth.init_app(app, cache=cache)
    oauth.register("dev", **stub.oauth2())
    with app.test_request_context():
        oauth.dev.authorize_redirect("https://app.test/cb")
    assert cache


@pytest.mark.parametrize("key", ["fetch_token", "update_token"])
def test_s241_s274_six_spellings_of_the_callbacks(app: Flask, key: str) -> None:
    """S:241-250, 274-283: one of the six documented ways to give a callback would be ignored."""
    function = {"fetch_token": fetch, "update_token": update}[key]
    later, all_later = OAuth(**{key: function}), OAuth()
    later.init_app(app)
    all_later.init_app(app, **{key: function})
    for oauth in (OAuth(app, **{key: function}), later, all_later):
        assert getattr(oauth, key) is function


def test_init_app_overrides_only_what_it_gives(app: Flask) -> None:
    """A callback given to the constructor would be lost by ``init_app(app, cache=…)``."""
    oauth = OAuth(fetch_token=fetch, update_token=update)
    oauth.init_app(app, EmptyCache(), update_token=print)
    assert (oauth.fetch_token, oauth.update_token) == (fetch, print)


def test_public_attributes_are_none_by_default(app: Flask) -> None:
    """Code that asks ``if oauth.cache`` would meet an AttributeError."""
    for oauth in (OAuth(), OAuth(app)):
        assert oauth.cache is None
        assert oauth.fetch_token is None
        assert oauth.update_token is None
    assert OAuth().app is None


def test_extension_key(app: Flask) -> None:
    """Other extensions could not find out that the package is set up."""
    oauth = OAuth(app)
    assert app.extensions["flask_oauth_accounts"].oauth is oauth


def test_one_registry_for_two_applications(create_app: Callable[..., Flask]) -> None:
    """The second application would log in with the first one's credentials."""
    oauth = OAuth()
    oauth.register("dev", **{**OAUTH2, "client_id": None})
    apps = [create_app(DEV_CLIENT_ID=name) for name in ("one", "two")]
    caches = [EmptyCache(), EmptyCache()]
    for app, cache in zip(apps, caches, strict=True):
        oauth.init_app(app, cache)
    for app, cache, name in zip(apps, caches, ("one", "two"), strict=True):
        with app.app_context():
            assert oauth.dev.client_id == name
            assert oauth.app is app
            assert oauth.cache is cache


def test_several_registries_on_one_application(app: Flask) -> None:
    """Two extensions that each bring a registry would overwrite each other's clients."""
    first, second = OAuth(app, EmptyCache(), fetch), OAuth(app)
    first.register("dev", **OAUTH2)
    second.register("dev", **{**OAUTH2, "client_id": "other"})
    assert first.dev.client_id == "the-client"
    assert second.dev.client_id == "other"
    assert second.cache is None
    with app.test_request_context():
        assert first.dev.token == {"access_token": "token of dev"}
        assert second.dev.token is None


def test_binding_an_application_again_keeps_what_it_had(app: Flask) -> None:
    """A second ``init_app``, as test suites and factories make it, would lose the cache and the callbacks."""
    cache = EmptyCache()
    oauth = OAuth(app, cache, fetch)
    oauth.init_app(app, update_token=update)
    assert (oauth.cache, oauth.fetch_token, oauth.update_token) == (cache, fetch, update)


# -- 1.2 ---


def test_s022_register_returns_the_client(app: Flask) -> None:
    """S:22-33: ``github = oauth.register("github", …)`` would not give a client."""
    oauth = OAuth(app)
    assert oauth.register("dev", **OAUTH2) is oauth.dev is oauth.create_client("dev")
    assert oauth.register(name="named", **OAUTH2) is oauth.named


def test_s022_register_before_init_returns_a_proxy(app: Flask) -> None:
    """S:22-33: a module-level client would not work once an application is there, or would fail in a puzzling way."""
    oauth = OAuth()
    proxy = oauth.register("dev", **OAUTH2)
    for use in (lambda: proxy.client_id, lambda: oauth.dev, lambda: oauth.create_client("dev")):
        with pytest.raises(RuntimeError, match=r"init_app\(app\) first"):
            use()
    oauth.init_app(app)
    assert proxy.client_id == "the-client"
    assert proxy == oauth.dev


def test_a_registry_of_two_applications_says_that_it_needs_a_context(create_app: Callable[..., Flask]) -> None:
    """A developer would read "not initialised" although it is."""
    oauth = OAuth()
    oauth.register("dev", **OAUTH2)
    apps = [create_app(), create_app()]
    for app in apps:
        oauth.init_app(app)
    with pytest.raises(RuntimeError, match="app_context"):
        oauth.dev


def test_s035_unknown_names(app: Flask) -> None:
    """S:35-37, 204: a misspelt name would end in something else than AttributeError, or None from ``create_client``."""
    oauth = OAuth(app)
    with pytest.raises(AttributeError, match="nope"):
        oauth.nope
    with pytest.raises(AttributeError, match="nope"):
        OAuth().nope
    assert oauth.create_client("nope") is None
    assert OAuth().create_client("nope") is None


def test_s022_every_argument_is_an_attribute(app: Flask) -> None:
    """S:22-33, 60, 64: a registered value could not be read back."""
    values = {
        **OAUTH1,
        "request_token_params": {"params": {"a": "1"}},
        "access_token_params": {"params": {"b": "1"}},
        "refresh_token_url": "https://provider.test/refresh",
        "refresh_token_params": {"c": "1"},
        "authorize_params": {"d": "1"},
        "client_kwargs": {"realm": "here"},
    }
    oauth = OAuth(app)
    oauth.register("dev", **values, save_request_token=print, fetch_request_token=dict, compliance_fix=print)
    for key, value in values.items():
        assert getattr(oauth.dev, key) == value


def test_the_same_client_each_time(app: Flask) -> None:
    """Each call would open new connections."""
    oauth = OAuth(app)
    oauth.register("dev", **OAUTH2)
    found: list[Any] = []

    def read() -> None:
        found.append(oauth.dev)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1


def test_registering_again_replaces(app: Flask) -> None:
    """A changed registration would silently keep the old client."""
    oauth = OAuth(app)
    proxy = oauth.register("dev", **OAUTH2)
    oauth.register("dev", **{**OAUTH2, "client_id": "second"})
    assert oauth.dev.client_id == "second"
    assert proxy.client_id == "the-client"


def test_unregister(app: Flask) -> None:
    """A client could not be taken away."""
    oauth = OAuth(app)
    oauth.register("dev", **OAUTH2)
    oauth.unregister("dev")
    oauth.unregister("dev")
    assert oauth.create_client("dev") is None
    with pytest.raises(AttributeError):
        oauth.dev


def test_a_refused_registration_leaves_nothing_behind(app: Flask) -> None:
    """After one wrong ``register`` every page that lists the providers would fail."""
    oauth = OAuth(app)
    with pytest.raises(ConfigurationError):
        oauth.register("dev", **{**OAUTH2, "authorize_url": "http://provider.test/"})
    assert oauth.create_client("dev") is None
    oauth.register("dev", **OAUTH2)
    with pytest.raises(ConfigurationError):
        oauth.register("dev", **{**OAUTH2, "authorize_url": "http://provider.test/"})
    assert oauth.dev.authorize_url == "https://provider.test/authorize"


def test_dictionaries_are_never_changed(app: Flask) -> None:
    """A dictionary shared by two registrations would leak one's values into the other."""
    shared = {"scope": "a b", "code_challenge_method": "S256"}
    arguments = {**OAUTH2, "client_kwargs": shared, "access_token_params": {"x": "1"}, "authorize_params": {"y": {}}}
    before = copy.deepcopy(arguments)
    app.config["DEV_CLIENT_KWARGS"] = {"scope": "c", "prompt": "login"}
    config_before = copy.deepcopy(app.config["DEV_CLIENT_KWARGS"])
    oauth = OAuth(app)
    oauth.register("dev", overwrite=True, **arguments)
    with app.test_request_context():
        oauth.dev.authorize_redirect("https://app.test/cb", extra="1")
    assert arguments == before
    assert app.config["DEV_CLIENT_KWARGS"] == config_before
    shared["scope"] = "changed later"
    assert oauth.dev.client_kwargs["scope"] == "c"


def test_class_level_config_leaks_nothing(app: Flask) -> None:
    """The secret of one registration would go to the provider of the next one of the same class."""

    class Provider(OAuth2App):
        OAUTH_APP_CONFIG: ClassVar = {
            "authorize_url": "https://provider.test/authorize",
            "access_token_url": "https://provider.test/token",
            "client_kwargs": {"scope": "email"},
        }

    before = copy.deepcopy(Provider.OAUTH_APP_CONFIG)
    oauth = OAuth(app)
    one = oauth.register(
        "one", client_cls=Provider, client_id="1", client_secret="SECRET1", client_kwargs={"prompt": "x"}
    )
    two = oauth.register("two", client_cls=Provider, client_id="2")
    assert isinstance(one, Provider)
    assert one.client_secret == "SECRET1"
    assert two.client_secret is None
    assert two.authorize_url == "https://provider.test/authorize"
    assert (dict(one.client_kwargs), dict(two.client_kwargs)) == ({"scope": "email", "prompt": "x"}, {"scope": "email"})
    assert before == Provider.OAUTH_APP_CONFIG


def test_class_level_config_of_oauth_1(app: Flask) -> None:
    """An OAuth 1 provider given as a class would be taken for OAuth 2."""

    class Provider(OAuth1App):
        OAUTH_APP_CONFIG: ClassVar = {key: value for key, value in OAUTH1.items() if key.endswith("url")}

    oauth = OAuth(app)
    assert isinstance(oauth.register("one", client_cls=Provider, client_id="1", client_secret="s"), Provider)


@pytest.mark.parametrize("cls", [OAuth1App, dict, "OAuth2App"])
def test_class_of_the_wrong_kind(app: Flask, cls: Any) -> None:
    """A class of the wrong kind would fail in the middle of a login."""
    with pytest.raises(ConfigurationError, match="client_cls of dev"):
        OAuth(app).register("dev", client_cls=cls, **OAUTH2)


def test_oauth_1_if_there_is_a_request_token_url(create_app: Callable[..., Flask]) -> None:
    """A provider described by configuration alone would be spoken to in the wrong protocol."""
    app = create_app({f"TW_{key.upper()}": value for key, value in OAUTH1.items()})
    oauth = OAuth(app)
    assert isinstance(oauth.register("tw"), OAuth1App)
    assert isinstance(oauth.register("other", **OAUTH1), OAuth1App)
    assert isinstance(oauth.register("twitter", client_id="1", client_secret="2"), OAuth1App)
    assert isinstance(oauth.register("dev", **OAUTH2, request_token_url=None), OAuth2App)


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("client_secert", "client_secret"),
        ("acces_token_url", "access_token_url"),
        ("Scope", "scope"),
        ("jwks_url", "jwks_uri"),
    ],
)
def test_unknown_keyword_names_the_nearest(app: Flask, wrong: str, near: str) -> None:
    """A typing error would be ignored, and the login would fail for reasons that nobody understands."""
    with pytest.raises(TypeError, match=f"{wrong}.*did you mean '{near}'"):
        OAuth(app).register("dev", **{wrong: "x"})


def test_metadata_names_are_arguments(app: Flask) -> None:
    """A provider without discovery could not be described in the words of RFC 8414."""
    oauth = OAuth(app)
    oauth.register(
        "dev",
        client_id="1",
        authorization_endpoint="https://provider.test/authorize",
        token_endpoint="https://provider.test/token",
        introspection_endpoint="https://provider.test/introspect",
        code_challenge_methods_supported=["S256"],
        authorization_response_iss_parameter_supported=True,
        issuer="https://provider.test",
    )
    metadata = oauth.dev.load_server_metadata()
    assert metadata["token_endpoint"] == "https://provider.test/token"
    assert metadata["authorization_response_iss_parameter_supported"] is True
    assert oauth.dev.authorize_url == "https://provider.test/authorize"


def test_presets(app: Flask) -> None:
    """Every provider's addresses would have to be looked up and typed in."""
    oauth = OAuth(app)
    github = oauth.register("github", client_id="1", client_secret="2")
    work = oauth.register("work", preset="google", client_id="3", client_secret="4")
    assert github.api_base_url == "https://api.github.com/"
    assert work.name == "work"
    assert "google" in work.server_metadata_url
    with pytest.raises(ConfigurationError, match="nothing-like-it"):
        oauth.register("x", preset="nothing-like-it", client_id="1")


def test_metadata_names_beat_the_preset(app: Flask) -> None:
    """A preset's address given anew in the words of RFC 8414 would be ignored."""
    urls = {"authorization_endpoint": "https://ghe.test/authorize", "token_endpoint": "https://ghe.test/token"}
    client = OAuth(app).register("github", client_id="1", client_secret="2", **urls)
    assert (client.authorize_url, client.access_token_url) == tuple(urls.values())


def test_arguments_beat_configuration_beats_preset(create_app: Callable[..., Flask]) -> None:
    """An operator could not point a preset at a proxy, or a test at a stand-in."""
    app = create_app(GITHUB_API_BASE_URL="https://ghe.test/api/", GITHUB_CLIENT_ID="configured")
    oauth = OAuth(app)
    assert oauth.register("github", client_secret="2").api_base_url == "https://ghe.test/api/"
    client = oauth.register("github", client_secret="2", api_base_url="https://mine.test/", client_id="given")
    assert (client.api_base_url, client.client_id) == ("https://mine.test/", "given")
    assert client.authorize_url == "https://github.com/login/oauth/authorize"


# -- 1.3 ---


def test_s039_hyphens_are_kept(create_app: Callable[..., Flask]) -> None:
    """S:39-48: the configuration of a client with a hyphen in its name would not be found."""
    app = create_app({"MY-APP_CLIENT_ID": "x"})
    oauth = OAuth(app)
    assert oauth.register("my-app").client_id == "x"


CONFIGURED: dict[str, Any] = {
    "CLIENT_ID": "id",
    "CLIENT_SECRET": "secret",
    "ACCESS_TOKEN_URL": "https://p.test/token",
    "ACCESS_TOKEN_PARAMS": {"a": "1"},
    "REFRESH_TOKEN_URL": "https://p.test/refresh",
    "REFRESH_TOKEN_PARAMS": {"b": "1"},
    "AUTHORIZE_URL": "https://p.test/authorize",
    "AUTHORIZE_PARAMS": {"c": "1"},
    "API_BASE_URL": "https://p.test/api/",
    "SERVER_METADATA_URL": "https://p.test/.well-known/openid-configuration",
    "CODE_CHALLENGE_METHOD": "S256",
    "ISSUER": "https://p.test",
    "USERINFO_ENDPOINT": "https://p.test/userinfo",
    "JWKS_URI": "https://p.test/jwks",
    "REVOCATION_ENDPOINT": "https://p.test/revoke",
    "END_SESSION_ENDPOINT": "https://p.test/logout",
}


def test_s053_every_configuration_key(create_app: Callable[..., Flask]) -> None:
    """S:53-66: a key that the documentation lists would have no effect."""
    more = {
        "DEV_CLIENT_KWARGS": {"prompt": "login"},
        "DEV_SCOPE": "openid email",
        "DEV_ALLOWED_HOSTS": "a.test, b.test",
    }
    app = create_app({f"DEV_{key}": value for key, value in CONFIGURED.items()} | more)
    client = OAuth(app).register("dev")
    for key, value in CONFIGURED.items():
        assert getattr(client, key.lower()) == value
    assert client.scope == "openid email"
    assert client.client_kwargs["prompt"] == "login"
    assert client.allowed_hosts == ("a.test", "b.test")
    other = create_app(DEV_PRESET="gitlab", DEV_CLIENT_ID="1")
    preset = OAuth(other).register("dev").preset
    assert preset is not None
    assert preset.display_name == "GitLab"


def test_given_arguments_win_over_configuration(create_app: Callable[..., Flask]) -> None:
    """Configuration left over from another client would silently change this one."""
    app = create_app(DEV_CLIENT_ID="config", DEV_ACCESS_TOKEN_PARAMS={"x": "config", "y": "config"}, DEV_SCOPE="config")
    client = OAuth(app).register(
        "dev", **{**OAUTH2, "access_token_params": {"x": "given"}, "client_kwargs": {"scope": "given"}}
    )
    assert client.client_id == "the-client"
    assert client.access_token_params == {"x": "given"}
    assert client.scope == "given"


def test_overwrite_lets_configuration_win_and_merges(create_app: Callable[..., Flask]) -> None:
    """An operator could not override what the code says."""
    app = create_app(DEV_CLIENT_ID="config", DEV_ACCESS_TOKEN_PARAMS={"x": "config"}, DEV_SCOPE="config")
    client = OAuth(app).register(
        "dev",
        True,
        **{**OAUTH2, "access_token_params": {"x": "given", "y": "given"}, "client_kwargs": {"scope": "given"}},
    )
    assert client.client_id == "config"
    assert client.client_secret == "the-client-secret"
    assert client.access_token_params == {"x": "config", "y": "given"}
    assert client.scope == "config"


def test_overwrite_reaches_the_parameters_of_a_preset(create_app: Callable[..., Flask]) -> None:
    """An operator could not move a client to another tenant."""
    app = create_app(MS_TENANT="config.example", WORK_TENANT="")
    for name, overwrite, tenant in (("ms", True, "config"), ("ms", False, "given"), ("work", True, "given")):
        client = OAuth(app).register(
            name, overwrite, preset="microsoft", tenant="given.example", client_id="1", client_secret="2"
        )
        assert f"/{tenant}.example/" in client.authorize_url


NEEDING_A_PARAMETER = [name for name in list_presets() if any(item.required for item in load_preset(name).placeholders)]


@pytest.mark.parametrize("place", ["arguments", "configuration"])
@pytest.mark.parametrize("name", NEEDING_A_PARAMETER)
def test_addresses_given_in_place_of_a_presets_parameters(
    create_app: Callable[..., Flask], name: str, place: str
) -> None:
    """A registration that was written for Authlib, with all its addresses, would be refused for a domain it needs
    nowhere."""
    addresses = {
        "authorize_url": "https://own.test/authorize",
        "access_token_url": "https://own.test/token",
        "api_base_url": "https://own.test/api/",
        "userinfo_endpoint": "https://own.test/userinfo",
    }
    config = {f"{name}_{key}".upper(): value for key, value in addresses.items()} if place == "configuration" else {}
    given = {} if config else addresses
    client = OAuth(create_app(config)).register(name, client_id="1", client_secret="2", **given)
    assert {key: getattr(client, key) for key in addresses} == addresses
    assert not any("{" in str(value) for value in vars(client._config).values() if isinstance(value, (str, tuple)))
    with pytest.raises(ConfigurationError, match=f"{name.upper()}_[A-Z_]+ is missing"):
        OAuth(create_app()).register(name, client_id="1", client_secret="2", authorize_url="https://own.test/authorize")


def test_s026_none_means_not_given(create_app: Callable[..., Flask]) -> None:
    """S:26-32: the document's own sample passes None, which would hide what the configuration says."""
    app = create_app({f"DEV_{key.upper()}": value for key, value in OAUTH2.items()}, DEV_CLIENT_KWARGS={"scope": "a"})
    client = OAuth(app).register("dev", **dict.fromkeys([*OAUTH2, "client_kwargs", "request_token_params"]))
    assert client.client_id == "the-client"
    assert client.scope == "a"
    preset = OAuth(app).register("github", client_id="1", authorize_url=None, client_kwargs=None)
    assert preset.authorize_url == "https://github.com/login/oauth/authorize"


def test_configuration_is_read_when_the_client_is_built(create_app: Callable[..., Flask]) -> None:
    """A value set between ``register`` and the first use, as factories do, would be missed."""
    app = create_app()
    oauth = OAuth()
    oauth.register("dev", **{**OAUTH2, "client_id": None})
    oauth.init_app(app)
    app.config["DEV_CLIENT_ID"] = "late"
    assert oauth.dev.client_id == "late"
    app.config["DEV_CLIENT_ID"] = "too late"
    assert oauth.dev.client_id == "late"


def test_a_number_from_the_environment_is_a_client_id(create_app: Callable[..., Flask], monkeypatch: Any) -> None:
    """``FLASK_FACEBOOK_CLIENT_ID=12345`` is read as a number by Flask, and the client would not work."""
    monkeypatch.setenv("FLASK_DEV_CLIENT_ID", "12345")
    app = create_app()
    app.config.from_prefixed_env()
    assert OAuth(app).register("dev").client_id == "12345"


def test_no_secret_in_any_repr(app: Flask) -> None:
    """A secret would land in a log or on an error page by way of ``repr``."""
    oauth = OAuth(app, fetch_token=lambda name: {"access_token": "AT-hidden", "refresh_token": "RT-hidden"})
    client = oauth.register("dev", **{**OAUTH2, "client_secret": "CS-hidden", "client_kwargs": {"scope": "a"}})
    oauth.register("one", **{**OAUTH1, "client_secret": "CS-hidden", "client_kwargs": {"rsa_key": "PEM-hidden"}})
    with app.test_request_context():
        texts = [repr(client.token), str(client.token), repr(client._memo())]
    texts += [repr(oauth), repr(client), repr(client._config), str(client._config), repr(oauth.one._config)]
    texts += [repr(oauth._entries), repr(app.extensions["flask_oauth_accounts"]), repr(client._callbacks)]
    texts += [repr(vars(app.extensions["flask_oauth_accounts"]))]
    assert "hidden" not in "".join(texts)


@pytest.mark.parametrize(
    ("name", "arguments", "config", "label"),
    [
        ("acme_sso", {}, {}, "Acme Sso"),
        ("acme_sso", {}, {"ACME_SSO_DISPLAY_NAME": "ACME"}, "ACME"),
        ("acme_sso", {"display_name": "Works"}, {"ACME_SSO_DISPLAY_NAME": "ACME"}, "Works"),
        ("acme_sso", {"preset": "oidc"}, {}, "Acme Sso"),
        ("github", {}, {}, "GitHub"),
        ("github", {"display_name": "Code"}, {}, "Code"),
    ],
)
def test_the_name_for_people(
    app: Flask, name: str, arguments: dict[str, Any], config: dict[str, Any], label: str
) -> None:
    """A button would carry a name that nobody at the company knows."""
    app.config.update(config)
    endpoints = (
        {} if name == "github" else {"authorize_url": "https://a.test/a", "access_token_url": "https://a.test/t"}
    )
    if "preset" in arguments:
        endpoints = {"server_metadata_url": "https://a.test/.well-known/openid-configuration"}
    client = OAuth(app).register(name, client_id="id", client_secret="secret", **endpoints, **arguments)
    assert client.display_name == label
