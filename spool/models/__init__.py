"""Tables of the spool. Models hold fields, constraints and query sets; rules live in spool.queue."""

from spool.models.delivery import Attempt, Delivery, MergedAcceptance
from spool.models.dkim import DkimKey
from spool.models.domain import Domain, Route, RouteHost
from spool.models.draft import Draft, DraftAttachment
from spool.models.learned import LearnedAddress
from spool.models.mailbox import Mailbox, MailboxAlias, MailboxMember
from spool.models.message import ContentChunk, Message, MessageText
from spool.models.outage import Outage, PlannedOutage, Probe, RouteChange
from spool.models.overlay import Overlay
from spool.models.service import Counter, Heartbeat, Lease

__all__ = [
    "Attempt",
    "ContentChunk",
    "Counter",
    "Delivery",
    "DkimKey",
    "Domain",
    "Draft",
    "DraftAttachment",
    "Heartbeat",
    "LearnedAddress",
    "Lease",
    "Mailbox",
    "MailboxAlias",
    "MailboxMember",
    "MergedAcceptance",
    "Message",
    "MessageText",
    "Outage",
    "Overlay",
    "PlannedOutage",
    "Probe",
    "Route",
    "RouteChange",
    "RouteHost",
]
