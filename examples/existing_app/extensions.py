"""What the application consists of. Everything is made once here and bound to an application in ``create_app``."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from flask_caching import Cache
from flask_login import LoginManager
from flask_migrate import Migrate
from flask_wtf import CSRFProtect

from flask_oauth_accounts import AccountPolicy, OAuth, OAuthAccounts

from .models import User, db

login_manager = LoginManager()
login_manager.login_view = "site.sign_in"
cache = Cache()
csrf = CSRFProtect()
migrate = Migrate(directory=str(Path(__file__).parent / "migrations"))


@login_manager.user_loader
def load_user(user_id: str) -> User | None:
    return db.session.get(User, UUID(user_id))


class Policy(AccountPolicy):
    """A password is one more way in, so the last provider may go where there is one."""

    def has_other_way_in(self, user: User) -> bool:
        return user.password_hash is not None


oauth = OAuth()
oauth.register("github")
oauth.register("company", preset="oidc")
accounts = OAuthAccounts(oauth, db=db, user_model=User, policy=Policy())
