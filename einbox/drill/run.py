"""One complete emergency, act by act; ends with the ledger.

Healthy, dead, mail from several sessions, a person logs in and answers, alive again, drained, balanced.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import groupby

from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from audit.context import acting, current
from audit.models import Event
from audit.record import Target, record
from audit.tags import Tag
from einbox.drill.ledger import Ledger, Pair, settle
from einbox.drill.mail import DrillMail, make_mails
from einbox.drill.senders import Senders, SendersLog, verdict
from einbox.drill.sink import read_log
from einbox.drill.stage import DrillError, Stage, wait_until
from spool.enums import UNFINISHED, DeliveryState, RouteState
from spool.models import Delivery, Message, Outage, Route
from spool.queue import queries

HEALTHY_MAILS = 5
DETECT_SECONDS = 60.0
VISIBLE_SECONDS = 60.0
READ_SECONDS = 180.0
LOOK_SECONDS = 1.0  # how often an open inbox asks for news

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """How large the drill is; times in seconds."""

    messages: int = 200
    sessions: int = 10
    seed: int = 1
    pace: float = 0.0  # mails a second over all sessions; 0: as fast as they go
    drain_seconds: float = 300.0


@dataclass
class Play:
    """What the acts learn as they go."""

    stage: Stage
    plan: Plan
    say: Progress
    mails: list[DrillMail] = field(default_factory=list)
    died_at: float = 0.0
    detected_after: float = 0.0
    first_accepted_at: float = 0.0
    visible_after: float = 0.0
    drain_rate: float = 0.0
    unsent: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def log(self) -> SendersLog:
        return SendersLog(self.stage.directory / "senders.jsonl")

    @property
    def route(self) -> Route:
        return Route.objects.get(domains__name=self.stage.domain)


def run(stage: Stage, plan: Plan, *, say: Progress) -> Ledger:
    """Play all acts on a stage that is set up. Raises DrillError where an act cannot go on."""
    play = Play(stage, plan, say)
    target = Target("drill", stage.drill, stage.domain)
    with acting(current().actor, drill=True):
        record(Tag.DRILL_STARTED, target=target, detail={"domain": stage.domain, "messages": plan.messages})
        _healthy(play)
        _dies(play)
        _mail_arrives(play)
        _returns(play)
        ledger = _balance(play)
        record(Tag.DRILL_ENDED, target=target, detail={"ledger": ledger.to_json()})
        stage.ended = True
    return ledger


def _healthy(play: Play) -> None:
    """The primary takes its own mail; einbox, tried alone, answers 451."""
    stage = play.stage
    stage.start_primary()
    stage.start_processes()
    wait_until(lambda: play.route.confirmed_at is not None, seconds=DETECT_SECONDS, what="a good probe")
    play.mails = list(
        make_mails(
            count=play.plan.messages + HEALTHY_MAILS, drill=stage.drill, recipients=stage.addresses, seed=play.plan.seed
        )
    )
    senders = Senders(_ports(stage), play.log, time.monotonic() + DETECT_SECONDS)
    senders.send_all(play.mails[:HEALTHY_MAILS], sessions=1)
    wait_until(
        lambda: verdict(stage.smtp_port, play.mails[0]).startswith("451 4.7.1"),
        seconds=DETECT_SECONDS,
        what="einbox putting senders off while the primary is healthy",
    )
    play.say(f"primary healthy: {HEALTHY_MAILS} mails went straight to it; einbox answers 451")


def _dies(play: Play) -> None:
    play.stage.primary.kill()
    play.died_at = time.monotonic()
    play.say("primary killed")


def _mail_arrives(play: Play) -> None:
    """N mails from several sessions at once, while a person logs in, reads and answers."""
    stage = play.stage
    detector = threading.Thread(target=_watch_detection, args=(play,), daemon=True)
    reader = threading.Thread(target=_person_acts, args=(play,), daemon=True)
    senders = Senders(_ports(stage), play.log, time.monotonic() + play.plan.drain_seconds)
    senders.on_accepted = lambda host, _mail: _first_accepted(play, host)
    senders.pace = play.plan.pace
    detector.start()
    reader.start()
    senders.send_all(play.mails[HEALTHY_MAILS:], sessions=play.plan.sessions)
    play.unsent = len(senders.unsent)
    detector.join(DETECT_SECONDS)
    wait_until(lambda: bool(play.visible_after) or not reader.is_alive(), seconds=READ_SECONDS, what="the reader")
    if not play.visible_after:
        message = f"the person could not finish; see {stage.directory}"
        raise DrillError(message)
    wait_until(lambda: play.route.state == RouteState.DOWN, seconds=DETECT_SECONDS, what="the route's way down")
    play.say(f"outage noticed after {play.detected_after:.1f} s; {play.plan.messages} mails sent")
    play.say(f"person logged in with a code, read and answered; first mail visible after {play.visible_after:.2f} s")


def _first_accepted(play: Play, host: str) -> None:
    if host == "einbox" and not play.first_accepted_at:
        play.first_accepted_at = time.monotonic()


def _watch_detection(play: Play) -> None:
    try:
        wait_until(lambda: play.route.state != RouteState.UP, seconds=DETECT_SECONDS, what="detection")
        play.detected_after = time.monotonic() - play.died_at
    finally:
        connection.close()


def _person_acts(play: Play) -> None:
    """Log in during the outage, wait for mail, read one message, answer it; the inbox stays open to the end."""
    _user, person = play.stage.people[0]
    person.log_in()
    links = person.wait_for_mail(seconds=VISIBLE_SECONDS)
    visible_at = time.monotonic()
    person.reply(links[0], "Thank you, this reached me during the drill.")
    # Mail may have waited for the log-in; the time counted is from the later of the two.
    play.visible_after = max(0.01, visible_at - max(play.first_accepted_at, person.logged_in_at))
    while not play.over.wait(LOOK_SECONDS):
        person.inbox_links()


def _returns(play: Play) -> None:
    """The primary comes back; everything goes home; the inbox is empty."""
    stage = play.stage
    held = _of_domain(stage).filter(state__in=UNFINISHED).count()
    stage.start_primary()
    back_at = timezone.now()
    play.say(f"primary is back; {held} deliveries wait")
    seconds = wait_until(
        lambda: not _of_domain(stage).filter(state__in=UNFINISHED).exclude(state=DeliveryState.REVIEW).exists(),
        seconds=play.plan.drain_seconds,
        what="the drain",
    )
    wait_until(lambda: not _open_outages(stage).exists(), seconds=DETECT_SECONDS, what="the end of the outage")
    times = [row.finished_at for row in _of_domain(stage) if row.finished_at and row.finished_at >= back_at]
    span = (max(times) - min(times)).total_seconds() if times else 0.0
    play.drain_rate = len(times) / max(span, 0.1)
    play.say(f"all went home in {seconds:.1f} s, {play.drain_rate:.0f} a second")
    play.over.set()
    for user, person in stage.people[:1]:
        if left := person.inbox_links():
            message = f"{len(left)} messages are still in the inbox of {user.email}"
            raise DrillError(message)
    play.say("inbox empty")


def _balance(play: Play) -> Ledger:
    stage = play.stage
    return settle(
        sent=read_log(stage.directory / "senders.jsonl"),
        kept=[_named(entry, _submissions(stage)) for entry in stage.primary.kept()],
        hashes={mail.token: mail.sha256 for mail in play.mails},
        counts=queries.account(domains=[stage.domain]),
        still_held=_still_held(stage),
        submitted=frozenset(
            (_token(message), delivery.forward_path)
            for message in _submissions(stage)
            for delivery in message.deliveries.all()
        ),
        ambiguous=queries.ambiguous_attempts([stage.domain]),
        unsent=play.unsent,
        seconds_to_detect=play.detected_after,
        seconds_to_first_visible=play.visible_after,
        drain_messages_per_second=play.drain_rate,
    )


def _named(entry: dict[str, str], submissions: list[Message]) -> dict[str, str]:
    """Mail written here has no token; the primary knows it by its sender, and each person writes once."""
    if entry["token"]:
        return entry
    for message in submissions:
        if message.reverse_path == entry["sender"]:
            return {**entry, "token": _token(message)}
    return entry


def _submissions(stage: Stage) -> list[Message]:
    return list(Message.objects.filter(author__in=[user for user, _ in stage.people]).prefetch_related("deliveries"))


def _still_held(stage: Stage) -> frozenset[Pair]:
    """Deliveries that einbox keeps or that ended for a reason, by token and recipient."""
    rows = _of_domain(stage).exclude(state=DeliveryState.DELIVERED).select_related("message")
    return frozenset((_token(row.message), row.forward_path) for row in rows)


def _token(message: Message) -> str:
    """The ledger's name for a message: its drill token, or its key if a person of the drill wrote it."""
    if message.author_id:
        return f"written {message.pk}"
    return message.message_id.strip("<>").partition("@")[0]


def _of_domain(stage: Stage) -> QuerySet[Delivery]:
    return Delivery.objects.filter(route__domains__name=stage.domain)


def _open_outages(stage: Stage) -> QuerySet[Outage]:
    return Outage.objects.filter(route__domains__name=stage.domain, closed_at__isnull=True)


def _ports(stage: Stage) -> list[tuple[str, int]]:
    return [("primary", stage.primary.port), ("einbox", stage.smtp_port)]


def acts_of_people(stage: Stage) -> list[str]:
    """Who did what, from the audit log: one line an act of the drill's people."""
    sentences = {tag.value: tag.info.sentence for tag in Tag}
    events = Event.objects.filter(actor_id__in=[user.pk for user, _ in stage.people]).order_by("id")
    runs = groupby(events, key=lambda event: (event.actor_label, event.tag))
    return [_run_of_acts(list(run), sentences) for _, run in runs]


def _run_of_acts(run: list[Event], sentences: dict[str, str]) -> str:
    """Acts of one kind that follow each other are one line with their number."""
    times = f" ({len(run)} times)" if len(run) > 1 else ""
    return f"{run[0].at:%H:%M:%S} {run[0].actor_label} {sentences[run[0].tag]}{times}"
