"""The page for a grant that stays narrower than a view needs, where asking again by itself would go in circles."""

from __future__ import annotations

from typing import Any

from flask import make_response, request, url_for

from ..errors import InsufficientScopeError
from .context import create_provider_view, find_client, render
from .guards import login_required
from .negotiation import create_problem, wants_json
from .sessions import get_user_id
from .starts import find_connection
from .words import translate


@login_required
def narrow(id: str) -> Any:
    """Say that the provider has granted less than it was asked for, and offer to ask again.

    :param id: of the identity, or the name of a client; with the query of the page that asks for consent.
    """
    connection = find_connection(get_user_id(), id)
    client = find_client(id if connection is None else connection.record.identity.name)
    query: dict[str, Any] = {key: request.args[key] for key in ("next", "scope") if key in request.args}
    again = url_for(".reconnect", id=id, **query)
    error = InsufficientScopeError(provider=client.name)
    if wants_json():
        return create_problem(error, status=error.status, url=again)
    page = render(
        "error.html",
        title=translate("More permissions are needed"),
        message=translate(
            "%(provider)s has given us fewer permissions than this needs, although we asked for them.",
            provider=client.display_name,
        ),
        provider=create_provider_view(client),
        code=error.code,
        status=error.status,
        retry_url=again,
        retry_label=translate("Ask %(provider)s again", provider=client.display_name),
        home_url=url_for(".accounts"),
        home_label=translate("Your connected accounts"),
    )
    return make_response(page, error.status)
