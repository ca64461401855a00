"""Everything the page of one message shows, put together from the parsed message and its deliveries."""

from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _

from accounts.models import User
from spool.mime import notes
from spool.mime.parse import MailAddress, ParsedMessage
from spool.models import Mailbox, Message, Overlay
from spool.queue import content, parsing
from spool.webmail import access, files, frame, story, suspicion
from spool.webmail.suspicion import Surroundings, Warning_

SAID_BY_WARNING = frozenset({notes.SENDER_DISGUISED, notes.SENDER_ALPHABETS})


@dataclass(frozen=True)
class Letter:
    """One opened message, ready to print."""

    message: Message
    parsed: ParsedMessage
    sender: MailAddress
    outside: bool
    warning: Warning_ | None
    files: tuple[files.File, ...]
    blocked_images: int
    height: frame.Height
    mark: Overlay | None
    box: Mailbox | None
    steps: tuple[story.Step, ...]
    cleared_at: datetime | None
    people: str  # "you, Hannes Kieselstein and 3 more"
    notes: tuple[str, ...]

    @property
    def subject(self) -> str:
        return self.parsed.subject or self.message.subject or _("(no subject)")

    @property
    def local_part(self) -> str:
        return self.sender.address.rpartition("@")[0]

    @property
    def domain(self) -> str:
        return self.sender.address.rpartition("@")[2]


def of(user: User, message: Message) -> Letter:
    """Reads (parses if nobody did yet) and judges one message the person may see."""
    parsed = _parsed(message)
    sender = parsed.from_[0] if parsed.from_ else MailAddress(message.from_name, _address(message))
    around = Surroundings.load([sender.name])
    own = message.author_id == user.pk
    mine = story.deliveries_for(user, message)
    mark = Overlay.objects.filter(user=user, message=message).first()
    warning = None if message.author_id else _judge(parsed, sender, around)
    return Letter(
        message=message,
        parsed=parsed,
        sender=sender,
        outside=not own and suspicion.domain_of(sender.address) not in around.domains,
        warning=warning,
        files=tuple(files.describe(part) for part in parsed.attachments),
        blocked_images=_blocked_images(message, parsed),
        height=frame.height(parsed.text, parsed.html),
        mark=mark,
        box=access.mailbox_of(user, message) if own else access.own_before_shared(mine),
        steps=story.steps_of(user, message, mine, mark),
        cleared_at=None if own else story.cleared_at(mine),
        people=_people(user, parsed, message),
        notes=tuple(_(note) for note in parsed.notes if warning is None or note not in SAID_BY_WARNING),
    )


def _parsed(message: Message) -> ParsedMessage:
    """What was read of the message; of one whose content is gone or damaged, its list columns."""
    try:
        return parsing.load(message)
    except content.ContentGone:
        return ParsedMessage(subject=message.subject, notes=(notes.CONTENT_GONE,))
    except content.ContentDamaged:
        return ParsedMessage(subject=message.subject, notes=(notes.UNREADABLE,))


def _blocked_images(message: Message, parsed: ParsedMessage) -> int:
    if "<img" not in parsed.html.lower():
        return 0
    try:
        return parsing.body(message).blocked_images
    except content.ContentError:
        return 0


def _address(message: Message) -> str:
    return message.from_address or message.reverse_path


def _judge(parsed: ParsedMessage, sender: MailAddress, around: Surroundings) -> Warning_ | None:
    reply_to = parsed.reply_to[0].address if parsed.reply_to else ""
    return suspicion.judge(sender.name, sender.address, around=around, reply_to=reply_to)


def _people(user: User, parsed: ParsedMessage, message: Message) -> str:
    """To whom it went, the reader first, at most three by name."""
    mine = {box.lower() for box in access.mailboxes(user).values_list("address", flat=True)}
    everybody = [*parsed.to, *parsed.cc]
    names = [_("you")] if any(one.address.lower() in mine for one in everybody) else []
    names += [one.name or one.address for one in everybody if one.address.lower() not in mine]
    if not names:
        names = [path for path in message.deliveries.values_list("forward_path", flat=True)[:1] if path.lower() in mine]
        names = [_("you")] if names else [_("hidden recipients")]
    shown, rest = names[:3], len(names) - 3
    if rest > 0:
        return _("%(names)s and %(count)d more") % {"names": ", ".join(shown), "count": rest}
    if len(shown) == 1:
        return shown[0]
    return _("%(names)s and %(last)s") % {"names": ", ".join(shown[:-1]), "last": shown[-1]}
