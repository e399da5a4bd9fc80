"""Which of our users is that. Knows no framework and no database.

:mod:`.linking` decides, :mod:`.policy` lets the application have its say, :mod:`.service` carries it out through
the store. What may not happen here: a request, a session, a query.
"""

from .connections import Connection as Connection
from .connections import Disconnected as Disconnected
from .connections import Forgotten as Forgotten
from .keeping import Notice as Notice
from .keeping import Revoke as Revoke
from .keeping import choose_refusal as choose_refusal
from .linking import STRANGER as STRANGER
from .linking import Conflict as Conflict
from .linking import Decision as Decision
from .linking import Known as Known
from .linking import Link as Link
from .linking import LogIn as LogIn
from .linking import Refuse as Refuse
from .linking import Rules as Rules
from .linking import SignUp as SignUp
from .linking import Visitor as Visitor
from .linking import decide as decide
from .pending import PendingLink as PendingLink
from .policy import AccountPolicy as AccountPolicy
from .policy import create_policy as create_policy
from .service import AccountService as AccountService
from .service import Outcome as Outcome
