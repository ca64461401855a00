"""Where is this mail? Its past, present and next step in order, with times and the server's own words."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.utils.translation import gettext as _

from accounts.models import User
from spool.enums import DeliveryState, Direction, Outcome
from spool.models import Delivery, Message, Overlay
from spool.webmail import access


@dataclass(frozen=True)
class Step:
    """One line. `kind`: past, now, bad, next; `said`: the server's own words."""

    kind: str
    title: str
    at: datetime | None = None
    second: str = ""
    said: str = ""

    @property
    def icon(self) -> str:
        return {"past": "done", "now": "clock", "bad": "warning", "next": "hollow"}[self.kind]


def deliveries_for(user: User, message: Message) -> list[Delivery]:
    """The author sees every recipient, everybody else the deliveries to his own mailboxes."""
    if message.author_id == user.pk:
        found = message.deliveries.exclude(state=DeliveryState.REMOVED)
    else:
        found = access.deliveries(user).filter(message=message)
    return list(found.select_related("mailbox", "route").prefetch_related("tries").order_by("pk"))


def tell(user: User, message: Message) -> tuple[Step, ...]:
    """The whole story as this person may know it."""
    mark = Overlay.objects.filter(user=user, message=message).first()
    return steps_of(user, message, deliveries_for(user, message), mark)


def steps_of(user: User, message: Message, mine: list[Delivery], mark: Overlay | None) -> tuple[Step, ...]:
    """The story from what was read already: `mine` as of deliveries_for, `mark` the person's overlay."""
    read_at = mark.read_at if mark else None
    steps = [_arrival(message)]
    if read_at and message.author_id != user.pk:
        steps.append(Step("past", _("Read by you"), read_at))
    for delivery in mine:
        steps.extend(_recipient(delivery, named=len(mine) > 1, own=message.author_id != user.pk))
    return (*steps, *_safety_copy(message, mine))


def _arrival(message: Message) -> Step:
    if message.author_id:
        return Step("past", _("Written here and kept"), message.accepted_at, _("On disk, and it survives a restart"))
    host = message.helo or message.peer or ""
    second = _("From %(host)s, with encryption") if message.tls else _("From %(host)s, without encryption")
    return Step("past", _("Arrived here and kept"), message.accepted_at, second % {"host": host} if host else "")


def _recipient(delivery: Delivery, *, named: bool, own: bool) -> list[Step]:
    """`named`: there are others, so each step says whose it is; `own`: the mailbox is the reader's, or shared."""
    who = _whose(delivery)
    tries = list(delivery.tries.all())
    steps = [
        Step(
            "bad", _("%(host)s did not take it") % {"host": one.host or _("The server")}, one.finished_at, "", one.text
        )
        for one in tries
        if one.finished_at and one.outcome in {Outcome.TRANSIENT, Outcome.PERMANENT, Outcome.AMBIGUOUS}
    ][-2:]
    if delivery.state == DeliveryState.DELIVERED:
        last = next((one for one in reversed(tries) if one.outcome == Outcome.DELIVERED), None)
        host = last.host if last else delivery.route.name
        title = _("Delivered to %(host)s") % {"host": host}
        return [*steps, Step("past", title, delivery.finished_at, who if named else "", delivery.last_reply)]
    return [*steps, _open_end(delivery, who, plain=own and not named)]


def _whose(delivery: Delivery) -> str:
    name = delivery.mailbox.name if delivery.mailbox else ""
    return f"{name}, {delivery.forward_path}" if name else delivery.forward_path


def _open_end(delivery: Delivery, who: str, *, plain: bool) -> Step:
    if delivery.state == DeliveryState.BOUNCED:
        return Step(
            "bad",
            _("Not delivered to %(who)s") % {"who": who},
            delivery.finished_at,
            delivery.reason,
            delivery.last_reply,
        )
    if delivery.state == DeliveryState.EXPIRED:
        return Step("bad", _("Given up for %(who)s") % {"who": who}, delivery.finished_at, "", delivery.last_reply)
    if delivery.state == DeliveryState.REVIEW:
        return Step("bad", _("The server refused it. IT looks at it."), None, who, delivery.last_reply)
    if delivery.held:
        return Step("now", _("Held by IT"), None, delivery.reason or who)
    if delivery.state == DeliveryState.LEASED:
        return Step("now", _("On its way to the server now"), None, who)
    if delivery.direction == Direction.OUTBOUND:
        return Step("now", _("Waiting for the server"), None, _("%(who)s: sent when the server is back") % {"who": who})
    then = _("Then it goes to your normal mailbox by itself")
    if not plain:
        then = _("%(who)s: then it goes to that mailbox by itself") % {"who": who}
    return Step("now", _("Waits here for the mail server"), None, then)


def _safety_copy(message: Message, mine: list[Delivery]) -> list[Step]:
    ends = [one.finished_at for one in mine if one.finished_at]
    if message.purged_at:
        return [Step("past", _("The safety copy was erased here"), message.purged_at)]
    if mine and len(ends) == len(mine):
        at = max(ends) + timedelta(hours=settings.SAFETY_COPY_HOURS)
        return [Step("next", _("The safety copy kept here is erased"), at)]
    if mine and not message.author_id:
        return [Step("next", _("In your normal mailbox"))]
    return []


def cleared_at(mine: list[Delivery]) -> datetime | None:
    """When the last of these deliveries went home; None while one is still here."""
    ends = [one.finished_at for one in mine if one.state == DeliveryState.DELIVERED and one.finished_at]
    return max(ends) if ends and len(ends) == len(mine) else None
