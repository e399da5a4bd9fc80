"""Who may see a page."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from flask import redirect, request, url_for
from flask_login import current_user

from ..errors import OAuthError
from .addresses import check_next
from .context import find_client
from .negotiation import wants_json

P = ParamSpec("P")
R = TypeVar("R")


class LoginRequiredError(OAuthError):
    """A stranger asked for something that only users have."""

    code = "login_required"
    status = 401
    visitor = "Please sign in first."
    operator = "nobody is logged in"


def login_required(view: Callable[P, R]) -> Callable[P, R | Any]:
    """Send strangers to the sign-in page and back again; in JSON answer 401. A provider that is unknown is 404 to all.

    :param view: a view of the blueprint.
    """

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R | Any:
        if current_user.is_authenticated:
            return view(*args, **kwargs)
        if "name" in kwargs:
            find_client(str(kwargs["name"]))
        if wants_json():
            raise LoginRequiredError
        reads = request.method in ("GET", "HEAD")
        target = check_next(request.full_path.rstrip("?")) if reads else None
        if request.script_root and target:
            target = check_next(request.script_root + target)
        values: dict[str, Any] = {"next": target} if target else {}
        return redirect(url_for(".login_page", **values), 302 if reads else 303)

    return guarded
