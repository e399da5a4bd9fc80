"""One of several processes that call the provider for many users; run by its path.

It reads one line of JSON – the configuration, the folder, and whose subject each user id has – says ``ready``, waits
for a second line, and prints how many calls it made and which answers were not the user's own.
"""

from __future__ import annotations

import json
import sys

from flask import Flask

from flask_oauth_accounts import create_blueprint, current_oauth


def main() -> None:
    task = json.loads(sys.stdin.readline())
    app = Flask("site", instance_path=task["instance"])
    app.config.update(task["config"])
    app.register_blueprint(create_blueprint())
    print("ready", flush=True)
    sys.stdin.readline()
    wrong, calls = [], 0
    for _ in range(task["rounds"]):
        for user_id, subject in task["subjects"].items():
            with app.app_context():
                answer = current_oauth.two.for_user(int(user_id)).get("/api/echo").json()
            calls += 1
            if answer.get("subject") != subject:
                wrong.append([subject, answer])
    print(json.dumps([calls, wrong]), flush=True)


if __name__ == "__main__":
    main()
