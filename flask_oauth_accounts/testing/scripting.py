"""What a test can make go wrong at the provider, or happen behind the application's back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from .faults import Fault, Tampering
from .state import ProviderState


class Scripting:
    """The part of :class:`DevProvider` that scripts trouble."""

    state: ProviderState

    def fail(
        self,
        path: str,
        status: int | None = 500,
        body: str | bytes | Mapping[str, Any] = "",
        *,
        content_type: str | None = None,
        headers: Mapping[str, str] | None = None,
        times: int | None = 1,
        delay: float = 0.0,
        hang: bool = False,
        drop: bool = False,
        after: bool = False,
    ) -> Fault:
        """Let one endpoint fail.

        :param path: the whole path or its last segments.
        :param status: of the faulty answer; ``None`` to be late with the true one.
        :param body: a mapping is sent as JSON.
        :param content_type: HTML by default, JSON for a mapping.
        :param headers: further headers of the answer.
        :param times: how many requests fail, ``None`` for all until :meth:`clear_faults`.
        :param delay: seconds to wait first.
        :param hang: wait for :meth:`Fault.release` first.
        :param drop: close the connection without an answer.
        :param after: do what was asked before failing, so that only the answer is lost.
        :return: the fault, to wait for and to release.
        """
        fault = Fault(
            path,
            status=status,
            body=body,
            content_type=content_type,
            headers=headers,
            times=times,
            delay=delay,
            hang=hang,
            drop=drop,
            after=after,
        )
        return self.state.faults.add(fault)

    def clear_faults(self) -> None:
        """Forget everything scripted, and release whoever hangs."""
        self.state.faults.clear()

    def next_id_token(
        self,
        *,
        remove: Collection[str] = (),
        alg: str | None = None,
        key: Any = None,
        header: Mapping[str, Any] | None = None,
        raw: str | None = None,
        omit: bool = False,
        transform: Callable[[str], str] | None = None,
        times: int | None = 1,
        **claims: Any,
    ) -> None:
        """Let the next ID tokens be wrong.

        :param remove: claims to leave out.
        :param alg: sign with another algorithm; ``"none"`` for no signature.
        :param key: sign with another key: a joserfc key, or text for HMAC.
        :param header: set header parameters; ``None`` as a value removes one.
        :param raw: send this text instead.
        :param omit: send no ID token.
        :param transform: applied to the finished token.
        :param times: how many ID tokens, ``None`` for all.
        :param claims: claims to set.
        """
        options = {"alg": alg, "key": key, "header": header, "omit": omit}
        self.state.faults.tamper("id_token", Tampering(claims, remove, raw, transform, options), times=times)

    def next_userinfo(
        self, *, remove: Collection[str] = (), raw: Any = None, times: int | None = 1, **claims: Any
    ) -> None:
        """Let the next answers of userinfo and of the profile API be wrong.

        :param remove: claims to leave out.
        :param raw: send this instead: text as it is, anything else as JSON.
        :param times: how many answers, ``None`` for all.
        :param claims: claims to set.
        """
        self.state.faults.tamper("userinfo", Tampering(claims, remove, raw), times=times)

    def next_token(
        self, *, remove: Collection[str] = (), raw: str | None = None, times: int | None = 1, **fields: Any
    ) -> None:
        """Let the next good answers of the token endpoint be odd; parameters as in :meth:`next_userinfo`."""
        self.state.faults.tamper("token", Tampering(fields, remove, raw), times=times)

    def next_callback(self, *, remove: Collection[str] = (), times: int | None = 1, **params: str) -> None:
        """Change the parameters of the next OAuth 2 callbacks, for example ``iss`` or ``state``.

        :param remove: parameters to leave out.
        :param times: how many callbacks, ``None`` for all.
        :param params: parameters to set.
        """
        self.state.faults.tamper("callback", Tampering(params, remove), times=times)

    def next_metadata(
        self, *, remove: Collection[str] = (), raw: Any = None, times: int | None = 1, **values: Any
    ) -> None:
        """Change the next metadata documents; parameters as in :meth:`next_userinfo`."""
        self.state.faults.tamper("metadata", Tampering(values, remove, raw), times=times)

    def next_jwks(self, raw: Any, *, times: int | None = 1) -> None:
        """Send something else than the keys; parameters as in :meth:`next_userinfo`."""
        self.state.faults.tamper("jwks", Tampering(raw=raw), times=times)

    def expire_access_tokens(self, user: str | None = None) -> None:
        """Let the OAuth 2 access tokens of a user, or of all, expire now.

        :param user: a user name or subject.
        """
        self.state.expire_access_tokens(self.username(user))

    def revoke_grants(self, user: str | None = None) -> None:
        """Withdraw the consents of a user, or of all, as on a provider's page of connected applications.

        :param user: a user name or subject.
        """
        self.state.revoke_grants(self.username(user))

    def rotate_signing_key(self, *, keep_old: bool = True) -> None:
        """Sign with a new key from now on.

        :param keep_old: whether the old keys stay in the JWKS.
        """
        with self.state.lock:
            self.state.keys.rotate(keep_old=keep_old)

    def username(self, user: str | None) -> str | None:
        """:return: the user name for a user name or subject, ``None`` for ``None``.

        :raises RuntimeError: if there is no such user.
        """
        if user is None:
            return None
        found = self.state.find_user(user)
        if found is None:
            known = ", ".join(self.state.users)
            raise RuntimeError(f"there is no user {user!r} at this provider; known are {known}")
        return found.username
