"""Words of the spool as they are stored: states, policies, phases. Imports nothing of ours."""

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class RouteState(TextChoices):
    UP = "up", _("Up")
    SUSPECT = "suspect", _("Suspect")
    DOWN = "down", _("Down")
    RECOVERING = "recovering", _("Recovering")


WORST_FIRST = (RouteState.DOWN, RouteState.SUSPECT, RouteState.RECOVERING, RouteState.UP)


class OutageKind(TextChoices):
    DETECTED = "detected", _("Detected by probes")
    PLANNED = "planned", _("Planned")
    DECLARED = "declared", _("Declared")
    DRILL = "drill", _("Drill")


class TlsPolicy(TextChoices):
    NONE = "none", _("Never TLS")
    OPPORTUNISTIC = "opportunistic", _("TLS if offered")
    REQUIRED = "required", _("Verified TLS only")


class RecipientPolicy(TextChoices):
    """What RCPT gets for an address nobody knows."""

    REJECT = "reject", _("Refuse (550)")
    DEFER = "defer", _("Put off (450)")
    DROPBOX = "dropbox", _("Keep in a named shared mailbox")
    ACCEPT = "accept", _("Accept")


class WhileUp(TextChoices):
    """What a sender gets while the primary is healthy."""

    DEFER = "defer", _("451, so that senders use the primary")
    RELAY = "relay", _("Accept and pass on")


class SigningAlgorithm(TextChoices):
    """Of a DKIM key; the words of the tag `a` (RFC 6376 section 3.5, RFC 8463)."""

    RSA = "rsa-sha256", "RSA"
    ED25519 = "ed25519-sha256", "Ed25519"


class MailboxKind(TextChoices):
    PERSONAL = "personal", _("Personal")
    SHARED = "shared", _("Shared")


class Direction(TextChoices):
    """Where a delivery goes: home to a protected mailbox, or outside."""

    INBOUND = "inbound", _("Inbound")
    OUTBOUND = "outbound", _("Outbound")


class DeliveryState(TextChoices):
    QUEUED = "queued", _("Queued")
    LEASED = "leased", _("Leased")
    DELIVERED = "delivered", _("Delivered")
    REVIEW = "review", _("Review")
    BOUNCED = "bounced", _("Bounced")
    EXPIRED = "expired", _("Expired")
    REMOVED = "removed", _("Removed")


UNFINISHED = (DeliveryState.QUEUED, DeliveryState.LEASED, DeliveryState.REVIEW)
FINISHED = (DeliveryState.DELIVERED, DeliveryState.BOUNCED, DeliveryState.EXPIRED, DeliveryState.REMOVED)


class Phase(TextChoices):
    """How far an SMTP transaction came (RFC 5321 section 4.1.4)."""

    CONNECT = "connect", _("connect")
    GREETING = "greeting", _("greeting")
    EHLO = "ehlo", _("EHLO")
    STARTTLS = "starttls", _("STARTTLS")
    AUTH = "auth", _("AUTH")
    MAIL = "mail", _("MAIL FROM")
    RCPT = "rcpt", _("RCPT TO")
    DATA = "data", _("DATA")
    DOT = "dot", _("end of data")


class Outcome(TextChoices):
    """Result of one attempt for one recipient. `ambiguous`: no reply after the final dot (rule 5)."""

    DELIVERED = "delivered", _("Delivered")
    TRANSIENT = "transient", _("Put off")
    PERMANENT = "permanent", _("Refused")
    AMBIGUOUS = "ambiguous", _("No answer after the last line")


class ParseState(TextChoices):
    PENDING = "pending", _("Not read yet")
    PARSED = "parsed", _("Read")
    FAILED = "failed", _("Could not be read")
