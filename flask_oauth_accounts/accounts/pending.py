"""A link that waits for a proof: the identity and token of a visitor whose e-mail address somebody has already."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from ..identity import Identity
from ..protocols import Sealer
from ..tokens import Protocol, TokenDict

_PLACE = "pending-link"


@dataclass(frozen=True)
class PendingLink:
    """What is needed to link an identity once the visitor has logged in by an older way and confirmed.

    Whoever keeps it binds it to the browser it was made for. ``repr`` shows no secret.

    :ivar identity: who the provider says this is.
    :ivar token: as it came from the provider.
    :ivar expires_at: seconds since the epoch.
    """

    identity: Identity
    token: Mapping[str, Any] = field(repr=False)
    protocol: Protocol
    requested_scope: str | None
    expires_at: float

    def dumps(self, sealer: Sealer, *, binding: str = "") -> str:
        """Write it down for a cache or a session: JSON, sealed as a whole, so that it can be neither read nor edited.

        :param sealer: seals the text.
        :param binding: what it is bound to, such as a hash of the browser's id; the same is needed to read it.
        """
        values = dataclasses.asdict(self)
        return sealer.seal(json.dumps(values, separators=(",", ":"), default=str), f"{_PLACE}:{binding}")

    @classmethod
    def loads(cls, text: str, sealer: Sealer, *, binding: str = "") -> PendingLink:
        """Read what :meth:`dumps` wrote.

        :raises SealedValueError: if the text was changed, the key is gone, or the binding is another.
        :raises ValueError: if it is not a pending link.
        """
        values = json.loads(sealer.unseal(text, f"{_PLACE}:{binding}"))
        try:
            identity = Identity(**values.pop("identity"))
            return cls(identity=identity, token=TokenDict(values.pop("token")), **cast("dict[str, Any]", values))
        except (TypeError, AttributeError, KeyError) as error:
            raise ValueError("not a pending link") from error
