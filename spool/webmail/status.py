"""The status line: what is going on, in the words of the people who read it.

`facts` reads routes and outages; `words` is pure. Knows no request and no template.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from math import ceil

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from accounts.models import User
from spool.enums import WORST_FIRST, RouteState
from spool.models import Outage, Route
from spool.queue import queries, scope
from spool.webmail import access


@dataclass(frozen=True)
class Facts:
    """What is known of the worst route somebody depends on; `route` None: nothing is known."""

    state: str
    since: datetime | None = None
    checked_at: datetime | None = None
    stale: bool = False
    outage: Outage | None = None
    delivered: int = 0
    total: int = 0
    seconds_left: float | None = None
    writing_open: bool = False


@dataclass(frozen=True)
class StatusLine:
    """One status line, ready to print. `tint` is hold or ok, `mark` names the drawing."""

    state: str
    tint: str
    mark: str
    headline: str
    short: str  # beside the headline where there is one line only
    sentence: str  # below the headline in the inbox
    gate: str  # below the headline before log-in
    since: datetime | None = None
    checked_at: datetime | None = None
    draining: bool = False
    delivered: int = 0
    total: int = 0
    left: str = ""
    announcement: str = ""
    announced_by: str = ""
    announced_at: datetime | None = None
    writing_open: bool = False


UNKNOWN = Facts(state="unknown")


def routes_of(user: User | None) -> list[Route]:
    """The routes behind a person's mailboxes; all of them when nobody is logged in or he has no mailbox."""
    own = list(queries.routes_of(user)) if user is not None else []
    return own or list(scope.routes().distinct())


def facts(user: User | None, *, now: datetime) -> Facts:
    """What is known of the worst of the person's routes."""
    routes = routes_of(user)
    if not routes:
        return UNKNOWN
    worst = min(routes, key=lambda route: (WORST_FIRST.index(RouteState(route.state)), route.state_since))
    outage = queries.open_outage_of(worst)
    draining = worst.state == RouteState.RECOVERING and user is not None
    delivered, total = _progress(user, outage) if draining else (0, 0)
    return Facts(
        state=worst.state,
        since=outage.opened_at if outage else worst.state_since,
        checked_at=worst.confirmed_at,
        stale=worst.state == RouteState.UP and queries.is_stale(worst, now=now),
        outage=outage,
        delivered=delivered,
        total=total,
        seconds_left=queries.route_status(worst, now=now).seconds_left if draining else None,
        writing_open=any(queries.writing_open(route) for route in routes),
    )


def _progress(user: User | None, outage: Outage | None) -> tuple[int, int]:
    """How many of the person's messages of this outage went home, and how many there are."""
    if outage is None or user is None:
        return 0, 0
    return queries.messages(access.deliveries(user).filter(outage=outage))


def words(known: Facts) -> StatusLine:
    """The sentences for these facts."""
    time = f"{timezone.localtime(known.since):%H:%M}" if known.since else ""
    if known.since and timezone.localdate(known.since) != timezone.localdate():
        time = date_format(timezone.localtime(known.since), "j M, H:i")
    if known.state == RouteState.RECOVERING:
        return _recovering(known)
    if known.state == RouteState.UP and known.outage is None:
        return _healthy(known)
    if known.state == "unknown":
        return _unknown()
    lost = _("Nothing is lost.")
    down = _("Mail server down since %(time)s.") % {"time": time}
    if known.state == RouteState.SUSPECT:
        down = _("Mail server not answering since %(time)s.") % {"time": time}
    line = StatusLine(
        state=known.state,
        tint="hold",
        mark="down",
        headline=down if known.state != RouteState.UP else _("Mail server set aside since %(time)s.") % {"time": time},
        short=lost,
        sentence=_("New mail arrives here. Colleagues get yours at once, others when it is back."),
        gate=_("Log in to read and answer today’s mail."),
        since=known.since,
        writing_open=known.writing_open,
    )
    return _with_news(line, known.outage)


def _with_news(line: StatusLine, outage: Outage | None) -> StatusLine:
    if outage is None or not outage.announcement:
        return line
    return replace(
        line,
        announcement=outage.announcement,
        announced_by=outage.announced_by or _("IT"),
        announced_at=outage.announced_at,
    )


def _recovering(known: Facts) -> StatusLine:
    minutes = ceil(known.seconds_left / 60) if known.seconds_left else 0
    counted = _("%(done)d of %(total)d delivered.") % {"done": known.delivered, "total": known.total}
    return StatusLine(
        state=known.state,
        tint="ok",
        mark="draining",
        headline=_("The mail server is back. Your mail is going home."),
        short=counted if known.total else "",
        sentence=_("Delivered mail leaves this list and is in your normal mailbox."),
        gate=_("Log in to see what is still here."),
        since=known.since,
        draining=known.total > 0,
        delivered=known.delivered,
        total=known.total,
        left=_("about %(minutes)d min left") % {"minutes": minutes} if minutes else "",
        writing_open=known.writing_open,
    )


def _healthy(known: Facts) -> StatusLine:
    if known.stale:
        return StatusLine(
            state=known.state,
            tint="hold",
            mark="down",
            headline=_("Mail server not checked just now."),
            short=_("New mail is kept here until it is."),
            sentence=_("New mail is kept here until the server is checked again."),
            gate=_("Log in to see whether mail is here."),
            checked_at=known.checked_at,
        )
    return StatusLine(
        state=known.state,
        tint="ok",
        mark="healthy",
        headline=_("Mail server is working."),
        short="",
        sentence=_("Your mail goes straight to your normal mailbox."),
        gate=_("Log in to check that you are ready for the next time."),
        checked_at=known.checked_at,
    )


def _unknown() -> StatusLine:
    return StatusLine(
        state="unknown",
        tint="hold",
        mark="down",
        headline=_("The state of the mail server is not known now."),
        short=_("Mail that was accepted is kept."),
        sentence=_("Mail that was accepted is kept."),
        gate=_("Mail that was accepted is kept."),
    )
