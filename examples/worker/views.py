"""The pages: press a button, look how far the work is."""

from __future__ import annotations

from flask import Blueprint, abort, current_app, redirect, render_template_string, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_required
from redis import Redis
from rq import Queue
from rq.job import Job

from flask_oauth_accounts import token_required

from .jobs import report

site = Blueprint("site", __name__)

PAGE = """<!doctype html>
<title>Report</title>
<form method="post" action="{{ url_for('site.start') }}">
  <input type="hidden" name="csrf_token" value="{{ csrf_token() }}">
  <button>Make my report</button>
</form>"""


def create_queue() -> Queue:
    """The queue; its entries are JSON, so that whoever can write to Redis cannot run code here."""
    return Queue("reports", connection=Redis.from_url(current_app.config["REDIS_URL"]), serializer="json")


@site.get("/")
@login_required
def home() -> str:
    return render_template_string(PAGE)


@site.post("/reports")
@token_required("github")
def start() -> ResponseReturnValue:
    """Find out now, while the user is there, whether the token will do; then hand the work over."""
    job = create_queue().enqueue(report, current_user.id, meta={"user_id": current_user.id})
    return redirect(url_for("site.show", job_id=job.id), 303)


@site.get("/reports/<job_id>")
@login_required
def show(job_id: str) -> ResponseReturnValue:
    queue = create_queue()
    job = queue.fetch_job(job_id)
    if not isinstance(job, Job) or job.meta.get("user_id") != current_user.id:
        abort(404)
    return {"status": job.get_status(), "result": job.return_value()}
