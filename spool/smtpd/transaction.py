"""One mail transaction, from MAIL to its end. Its view of routes and addresses does not change meanwhile."""

from dataclasses import dataclass, field

from spool.queue.ingest import Recipient
from spool.smtpd.grammar import Mail
from spool.smtpd.policy import Sender
from spool.smtpd.view import View


@dataclass
class Transaction:
    mail: Mail
    view: View
    sender: Sender
    recipients: list[Recipient] = field(default_factory=list)
