"""The application's own pages: a start page, and signing in with e-mail and password."""

from __future__ import annotations

import re

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_required, login_user
from sqlalchemy import select

from flask_oauth_accounts import current_oauth

from .models import User, db

site = Blueprint("site", __name__, cli_group=None)

OWN_PATH = re.compile(r"/[\w-][\w./?=&%-]*", re.ASCII)
"""A path on this site; never ``//elsewhere``."""


@site.get("/")
def home() -> str:
    return render_template("home.html")


@site.route("/sign-in", methods=["GET", "POST"])
def sign_in() -> ResponseReturnValue:
    if request.method == "POST":
        user = db.session.scalar(select(User).where(User.email == request.form["email"].strip().lower()))
        if user is not None and user.check_password(request.form["password"]):
            login_user(user)
            # An account that waits to be connected has sent its visitor here, and wants them back.
            target = request.args.get("next", "")
            return redirect(target if OWN_PATH.fullmatch(target) else url_for("site.home"))
        flash("E-mail address or password is wrong.")
    return render_template("sign_in.html")


@site.get("/company-profile")
@login_required
def company_profile() -> ResponseReturnValue:
    """An API call with the stored token of whoever is logged in."""
    claims = current_oauth.company.userinfo()
    return {"user": str(current_user.id), "subject": claims["sub"]}
