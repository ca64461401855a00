"""The drain: returns a route's due mail, round by round, as fast as the next hop copes.

One drain per route and direction acts at a time, by lease. A round is: claim (one commit, attempts included),
carry over several kept connections, record the answers group by group. Only the drain's own thread talks to the
database; lanes only talk SMTP. While a route is not open no attempts are burnt (rule 5).
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from queue import SimpleQueue

from django.db import DatabaseError, connection
from django.utils import timezone

from spool.enums import Direction
from spool.models import Message, Route
from spool.queue import claim, content, leases, outage
from spool.queue.claim import LEASE_SECONDS, Claim, Job
from spool.queue.deliver import Lane, Sent, trace_header
from spool.queue.routing import Hop, next_hop
from spool.queue.schedule import Evidence
from spool.queue.settle import Tally, settle
from spool.queue.signing import Signatures, SigningError
from spool.queue.window import MAX_LANES, Verdict, Window
from spool.smtp.client import Result
from spool.smtp.replies import Outcome, Phase

log = logging.getLogger(__name__)

RENEW_SECONDS = 5.0
SAFETY_SECONDS = 10.0  # nothing is begun so shortly before a lease ends
GROUP = 50  # messages whose answers are committed together
GROUP_SECONDS = 0.25  # or as many as came in this time
RUN_SECONDS = 300.0
STOP_PATIENCE = 1.5  # for transactions under way when we are asked to stop
PAUSE_SECONDS = 30.0  # after a burst of refusals
EVIDENCE_SECONDS = 1.0

Clock = Callable[[], datetime]


@dataclass
class Drain:
    """One run for one route and direction. Use `run`."""

    route: Route
    direction: Direction
    stop: threading.Event = field(default_factory=threading.Event)
    clock: Clock = timezone.now
    tally: Tally = field(default_factory=Tally)
    _signatures: Signatures | None = None  # of this round
    _lanes: SimpleQueue[Lane] = field(default_factory=SimpleQueue)
    _made: list[Lane] = field(default_factory=list)
    _leased_until: float = 0.0  # time.monotonic()
    _renewed: float = 0.0
    _evidence: float = 0.0
    _asked_to_stop: float = 0.0

    def run(self) -> Tally:
        """Send what is due until nothing is, the hop fails, or `stop` is set. Returns what became of it."""
        lease = leases.acquire(self._name(), seconds=LEASE_SECONDS, now=self.clock())
        if lease is None:
            return self.tally
        pause, ends = 0.0, time.monotonic() + RUN_SECONDS
        window = Window()
        with ThreadPoolExecutor(MAX_LANES, thread_name_prefix="lane") as pool:
            try:
                verdict = Verdict.GO_ON
                while verdict is Verdict.GO_ON and time.monotonic() < ends and not self.stop.is_set():
                    lease = leases.renew(lease, seconds=LEASE_SECONDS, now=self.clock())
                    hop = self._hop()
                    batch = self._claim(hop, window) if hop else None
                    if hop is None or batch is None or not batch.jobs:
                        break
                    window, verdict = self._round(pool, hop, batch, lease, window)
                pause = PAUSE_SECONDS if verdict is Verdict.PAUSE else 0.0
            except leases.LeaseLostError:
                log.warning("the drain of %s lost its lease", self.route.name)
            finally:
                for lane in self._made:
                    pool.submit(lane.close)
                with suppress(DatabaseError):
                    leases.release(lease, now=self.clock(), pause=pause)
        return self.tally

    def _name(self) -> str:
        return f"drain:{self.route.pk}:{self.direction.value}"

    def _hop(self) -> Hop | None:
        """Looked up at every round: the route's state and hosts may have changed."""
        self.route = Route.objects.prefetch_related("hosts").get(pk=self.route.pk)
        hop = next_hop(self.route, self.direction)
        self._signatures = Signatures() if hop and hop.signs else None
        for lane in self._made:
            if hop is None or lane.hop != hop:
                lane.close()
                lane.hop = hop or lane.hop
        return hop

    def _claim(self, hop: Hop, window: Window) -> Claim:
        host = str(hop.endpoints[0]) if hop.endpoints else ""
        started = time.monotonic()
        batch = claim.claim(self.route, self.direction, messages=window.messages, host=host, now=self.clock())
        self._leased_until = started + LEASE_SECONDS - SAFETY_SECONDS
        self._renewed = started
        return batch

    # --- a round ----------------------------------------------------------------------------------------------
    def _round(
        self, pool: ThreadPoolExecutor, hop: Hop, batch: Claim, lease: leases.Held, window: Window
    ) -> tuple[Window, Verdict]:
        while len(self._made) < window.lanes:
            lane = Lane(hop, may_send=self._may_send)
            self._made.append(lane)
            self._lanes.put(lane)
        total, lost, failure = Tally(), False, None
        for group in self._groups(self._carry(pool, batch, window.lanes), batch, lease):
            total += self._settle(group, batch.token)
            for sent in group:
                if not sent.connected or _cut(sent):
                    lost, failure = lost or not sent.connected or window.messages == 1, sent
        self.tally += total
        self._report(hop, total, failure)
        return window.after(
            delivered=total.delivered,
            put_off=total.put_off + total.ambiguous,
            refused=total.refused,
            lost_connection=lost,
        )

    def _may_send(self) -> bool:
        return time.monotonic() < self._leased_until

    def _carry(self, pool: ThreadPoolExecutor, batch: Claim, lanes: int) -> Iterator[Sent | None]:
        """Answers as they come; None when some time passed without any. At most `lanes` jobs are under way."""
        jobs = iter(batch.jobs)
        running: set[Future[Sent]] = set()
        gone = False  # the host took no session: what was not begun goes back untouched
        while True:
            stopping = gone or self.stop.is_set()
            while len(running) < lanes and not stopping and (job := next(jobs, None)) is not None:
                octets = self._read(job)
                if isinstance(octets, Result):
                    yield Sent(job, (octets,) * len(job.deliveries), "")
                else:
                    running.add(pool.submit(self._send, job, octets))
            if not running:
                break
            finished, running = wait(running, timeout=GROUP_SECONDS, return_when=FIRST_COMPLETED)
            for future in finished:
                sent = future.result()
                gone = gone or not sent.connected
                yield sent
            if not finished:
                self._hurry()
                yield None
        rest = [delivery for job in jobs for delivery in job.deliveries]
        if rest:
            claim.give_back(rest, batch.token, now=self.clock())

    def _read(self, job: Job) -> bytes | Result:
        """What leaves for a job: our trace fields and the octets as accepted; a result if they cannot be had."""
        message: Message = job.message
        try:
            octets = content.read(message)
            signed = self._signatures.over(message, octets, at=self.clock()) if self._signatures else b""
        except content.ContentError as error:
            return Result("", Phase.CONNECT, Outcome.TRANSIENT, text=str(error), uncarriable=True)
        except SigningError as error:  # its own server may take it yet
            return Result("", Phase.MAIL, Outcome.TRANSIENT, text=str(error))
        return trace_header(message) + signed + octets

    def _hurry(self) -> None:
        """Once we are asked to stop, what hangs is cut: its answer is recorded as what is known of it."""
        if not self.stop.is_set():
            self._asked_to_stop = 0.0
        elif not self._asked_to_stop:
            self._asked_to_stop = time.monotonic()
        elif time.monotonic() - self._asked_to_stop > STOP_PATIENCE:
            for lane in self._made:
                lane.abort()

    def _send(self, job: Job, octets: bytes) -> Sent:
        lane = self._lanes.get()
        try:
            return lane.send(job, octets)
        finally:
            self._lanes.put(lane)

    def _groups(self, answers: Iterable[Sent | None], batch: Claim, lease: leases.Held) -> Iterator[list[Sent]]:
        """Answers in groups that are worth a commit, keeping the leases alive meanwhile."""
        group: list[Sent] = []
        since = time.monotonic()
        for answer in answers:
            if answer is not None:
                group.append(answer)
            now = time.monotonic()
            if group and (len(group) >= GROUP or now - since >= GROUP_SECONDS):
                yield group
                group = []
            if not group:
                since = now
            if now - self._renewed >= RENEW_SECONDS:
                self._renew(batch, lease)
        if group:
            yield group

    def _renew(self, batch: Claim, lease: leases.Held) -> None:
        """Failing to renew is no fault yet: lanes stop by themselves before the lease runs out."""
        started = self._renewed = time.monotonic()
        try:
            leases.renew(lease, seconds=LEASE_SECONDS, now=self.clock())
            claim.renew(batch.token, now=self.clock())
        except (DatabaseError, leases.LeaseLostError) as error:
            log.warning("the drain of %s cannot renew its leases: %s", self.route.name, type(error).__name__)
            connection.close()
            return
        self._leased_until = started + LEASE_SECONDS - SAFETY_SECONDS

    def _settle(self, group: list[Sent], token: int) -> Tally:
        """Record answers even if the database is away for a while: a 250 forgotten is a duplicate."""
        deadline = time.monotonic() + LEASE_SECONDS
        while True:
            try:
                return settle(group, token, now=self.clock())
            except DatabaseError as error:
                if time.monotonic() > deadline:
                    raise
                log.warning("answers wait for the database: %s", type(error).__name__)
                connection.close()
                time.sleep(0.5)

    def _report(self, hop: Hop, total: Tally, failure: Sent | None) -> None:
        """Real answers of the primary are evidence too."""
        if not hop.is_home or not (total.delivered or failure):
            return
        if failure is None and time.monotonic() - self._evidence < EVIDENCE_SECONDS:
            return
        self._evidence = time.monotonic()
        bad = failure.results[0] if failure and not total.delivered else None
        evidence = Evidence(
            ok=bad is None,
            host=failure.host if failure else str(hop.endpoints[0]),
            phase=bad.phase.value if bad else Phase.DOT.value,
            code=bad.code if bad else None,
            text=bad.text if bad else "",
            is_probe=False,
        )
        outage.observe(self.route, evidence, now=self.clock())


def _cut(sent: Sent) -> bool:
    """The connection broke under way, or the host said 421."""
    return any(result.outcome is not Outcome.DELIVERED and result.code in (None, 421) for result in sent.results) and (
        not any(result.uncarriable for result in sent.results)
    )
