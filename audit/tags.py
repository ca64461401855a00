"""Tags of events: one closed list; value = source.subject.action. Imports nothing.

A retired tag stays here as a comment, so that old rows remain explainable.
"""

from dataclasses import dataclass
from enum import Enum


class Severity(Enum):
    INFO = "info"
    NOTICE = "notice"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True)
class TagInfo:
    """What a tag means and which detail keys it may carry (nothing else is stored).

    `sentence` is a verb phrase that follows the actor's name.
    """

    sentence: str
    severity: Severity = Severity.INFO
    keys: frozenset[str] = frozenset()


def _tag(sentence: str, *keys: str, severity: Severity = Severity.INFO) -> TagInfo:
    return TagInfo(sentence, severity, frozenset(keys))


NOTICE, WARNING, CRITICAL = Severity.NOTICE, Severity.WARNING, Severity.CRITICAL


class Tag(Enum):
    """`Tag.value` is stored; `Tag.info` explains it."""

    info: TagInfo

    def __new__(cls, value: str, info: TagInfo) -> "Tag":
        member = object.__new__(cls)
        member._value_ = value
        member.info = info
        return member

    # log-in and sessions
    LOGIN_SUCCEEDED = "account.login.succeeded", _tag("logged in", "factor", "new_network")
    LOGIN_REFUSED = "account.login.refused", _tag("was refused at log-in", "stage", "cause", severity=NOTICE)
    LOGIN_THROTTLED = "account.login.throttled", _tag("was slowed down at log-in", "stage", "wait", severity=WARNING)
    LOGOUT = "account.session.ended", _tag("logged out", "cause")
    ACCESS_DENIED = "account.access.denied", _tag("was denied access", "path", "method", "cause", severity=NOTICE)
    # people and factors
    USER_CREATED = "account.user.created", _tag("created a person", "role", severity=NOTICE)
    USER_CHANGED = "account.user.changed", _tag("changed a person", "fields", "old", "new", severity=NOTICE)
    USER_DEACTIVATED = "account.user.deactivated", _tag("deactivated a person", "reason", severity=WARNING)
    USER_IMPORTED = "account.user.imported", _tag("imported people", "created", "skipped", severity=NOTICE)
    INVITE_CREATED = "account.invite.created", _tag("made an enrolment link", "expires_at", severity=NOTICE)
    INVITE_USED = "account.invite.used", _tag("used an enrolment link", severity=NOTICE)
    INVITE_REFUSED = (
        "account.invite.refused",
        _tag("tried an enrolment link that was refused", "cause", severity=WARNING),
    )
    PASSWORD_SET = "account.password.set", _tag("set a password", severity=NOTICE)
    FACTOR_ENROLLED = "account.factor.enrolled", _tag("enrolled a factor", "factor", severity=NOTICE)
    FACTOR_RESET = "account.factor.reset", _tag("reset all factors", "reason", severity=WARNING)
    RECOVERY_CODES_MADE = "account.recovery.made", _tag("made recovery codes", "count", severity=NOTICE)
    RECOVERY_CODE_USED = "account.recovery.used", _tag("used a recovery code", "left", severity=WARNING)
    # reading and writing mail
    INBOX_LISTED = "mail.inbox.listed", _tag("opened the inbox", "mailbox", "count")
    MAIL_SEARCHED = "mail.search.done", _tag("searched mail", "count")
    MESSAGE_READ = "mail.message.read", _tag("read a message", "mailbox")
    MESSAGE_DOWNLOADED = "mail.message.downloaded", _tag("downloaded a message", "mailbox", "size")
    ATTACHMENT_DOWNLOADED = "mail.attachment.downloaded", _tag("downloaded an attachment", "mailbox", "size", "type")
    MESSAGE_MARKED = "mail.message.marked", _tag("marked a message", "mailbox", "mark", "value")
    DRAFT_SAVED = "mail.draft.saved", _tag("saved a draft", "mailbox")
    DRAFT_DISCARDED = "mail.draft.discarded", _tag("discarded a draft", "mailbox")
    DRAFT_FILE_ADDED = "mail.draft.file_added", _tag("added a file to a draft", "mailbox", "size", "type")
    DRAFT_FILE_REMOVED = "mail.draft.file_removed", _tag("took a file off a draft", "mailbox", "size", "type")
    MESSAGE_SUBMITTED = (
        "mail.message.submitted",
        _tag("sent a message", "mailbox", "recipients", "inside", "outside", "size"),
    )
    # machine work, one event a batch: count, first and last id, SHA-256 over the ids and content hashes
    BATCH_ACCEPTED = "spool.batch.accepted", _tag("accepted mail", "count", "first", "last", "root")
    BATCH_DELIVERED = "spool.batch.delivered", _tag("delivered mail", "count", "first", "last", "root", "host")
    BATCH_PURGED = "spool.batch.purged", _tag("erased safety copies", "count", "first", "last", "root")
    # the spool, by people
    DELIVERY_HELD = "spool.delivery.held", _tag("held a delivery", "reason", severity=NOTICE)
    DELIVERY_RELEASED = "spool.delivery.released", _tag("released a delivery", "reason", severity=NOTICE)
    DELIVERY_RETRIED = "spool.delivery.retried", _tag("asked for another try", "reason", severity=NOTICE)
    DELIVERY_REDELIVERED = "spool.delivery.redelivered", _tag("delivered a copy again", "reason", severity=WARNING)
    DELIVERY_BOUNCED = "spool.delivery.bounced", _tag("gave up a delivery", "reason", severity=WARNING)
    DELIVERY_REMOVED = "spool.delivery.removed", _tag("withdrew a delivery", "reason", severity=WARNING)
    DELIVERY_EXPIRED = "spool.delivery.expired", _tag("let a delivery expire", "days", severity=WARNING)
    DELIVERY_WARNED = (
        "spool.delivery.warned",
        _tag("warned that a delivery will expire", "expires_at", "author_told", severity=WARNING),
    )
    DELIVERY_REVIEW = (
        "spool.delivery.review",
        _tag("put a delivery into review: the primary refused it", "code", severity=WARNING),
    )
    QUEUE_VIEWED = "spool.queue.viewed", _tag("viewed the queue", "count")
    # routes and outages
    ROUTE_CHANGED = (
        "spool.route.changed",
        _tag("saw a route change its state", "old", "new", "evidence", severity=NOTICE),
    )
    ROUTE_HELD = "spool.route.held", _tag("held a route's mail back", "reason", severity=WARNING)
    ROUTE_RELEASED = "spool.route.released", _tag("let a route's mail go again", "reason", severity=NOTICE)
    OUTAGE_OPENED = "spool.outage.opened", _tag("opened an outage", "kind", "reason", severity=WARNING)
    OUTAGE_CLOSED = "spool.outage.closed", _tag("closed an outage", "reason", "report", severity=NOTICE)
    OUTAGE_ENDED = "spool.outage.ended", _tag("ended an outage by hand", "reason", severity=WARNING)
    OUTAGE_PLANNED = "spool.outage.planned", _tag("planned an outage", "starts_at", "until", "reason", severity=NOTICE)
    OUTAGE_CANCELLED = "spool.outage.cancelled", _tag("called a planned outage off", "reason", severity=NOTICE)
    OUTAGE_ANNOUNCED = "spool.outage.announced", _tag("announced to the people", "text", severity=NOTICE)
    # configuration
    DOMAIN_ADDED = (
        "spool.domain.added",
        _tag("added a domain", "primary", "policy", "restored", "mailboxes", severity=NOTICE),
    )
    DOMAIN_CHANGED = "spool.domain.changed", _tag("changed a domain", "fields", severity=NOTICE)
    DOMAIN_REMOVED = "spool.domain.removed", _tag("removed a domain", "reason", "mailboxes", severity=WARNING)
    DKIM_MADE = "spool.dkim.made", _tag("made keys that sign a domain's mail", "selectors", severity=WARNING)
    DKIM_CONFIRMED = (
        "spool.dkim.confirmed",
        _tag("let keys sign a domain's mail", "selectors", "retired", "seen", severity=WARNING),
    )
    DKIM_RETIRED = (
        "spool.dkim.retired",
        _tag("stopped signing a domain's mail", "selectors", "reason", severity=WARNING),
    )
    MAILBOX_ADDED = "spool.mailbox.added", _tag("added a mailbox", "kind", severity=NOTICE)
    MAILBOX_CHANGED = "spool.mailbox.changed", _tag("changed a mailbox", "change", "value", severity=NOTICE)
    MAILBOX_REMOVED = "spool.mailbox.removed", _tag("removed a mailbox", "reason", "erased", severity=WARNING)
    MAILBOX_RESTORED = "spool.mailbox.restored", _tag("brought a mailbox back", "reason", severity=NOTICE)
    LEARNED_REMOVED = "spool.learned.removed", _tag("removed an address learned from the primary", severity=NOTICE)
    # the installation
    AUDIT_VIEWED = "audit.log.viewed", _tag("viewed the audit log", "filter")
    AUDIT_EXPORTED = "audit.log.exported", _tag("exported the audit log", "count", "format", severity=NOTICE)
    AUDIT_VERIFY_FAILED = "audit.chain.broken", _tag("found the audit log broken", "seq", "cause", severity=CRITICAL)
    KEYS_SHOWN = "system.keys.shown", _tag("printed the recovery sheet of the keys", severity=WARNING)
    KEYS_CONFIRMED = "system.keys.confirmed", _tag("confirmed a copy of the keys", "fingerprint", severity=NOTICE)
    BACKUP_MADE = "system.backup.made", _tag("made a backup", "size", severity=NOTICE)
    RESTORED = "system.backup.restored", _tag("restored a backup", "made_at", severity=WARNING)
    DRILL_STARTED = "system.drill.started", _tag("started a drill", "domain", "messages", severity=NOTICE)
    DRILL_STOPPED = "system.drill.stopped", _tag("stopped a drill before its end", "withdrawn", severity=NOTICE)
    DRILL_ENDED = "system.drill.ended", _tag("ended a drill", "ledger", severity=NOTICE)
