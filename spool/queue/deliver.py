"""One lane of the drain: a kept connection that carries jobs to a next hop. No database.

What a lane may do depends on its lease: before the final dot it looks at the clock once more, so that a process
that was stopped and wakes up late sends nothing that somebody else sends already.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from django.conf import settings

from spool.failpoints import failpoint
from spool.mime import trace
from spool.models import Message
from spool.queue.claim import Job
from spool.queue.routing import Hop
from spool.smtp.client import ConnectError, Connection, ContentError, Envelope, Result, StopSendingError, connect
from spool.smtp.replies import Outcome, Phase
from spool.smtp.session import Timers

PER_CONNECTION = 200  # transactions before a polite QUIT
# The host is dead or alive for all mail: wait less for it than RFC 5321 asks for one message.
TIMERS = Timers(connect=10, greeting=60, ehlo=60)


@dataclass(frozen=True)
class Sent:
    """The answers of one job, one per delivery in order. `connected` is false if no host took the session."""

    job: Job
    results: tuple[Result, ...]
    host: str
    connected: bool = True


def trace_header(message: Message) -> bytes:
    """Our Received field, the same at every try (the recipient is not named: others may share the copy)."""
    by_smtp = message.author_id is None
    word = trace.protocol(tls=bool(message.tls), smtputf8=message.smtputf8) if by_smtp else "HTTP"
    return trace.received(
        by=settings.SMTP_HOSTNAME,
        id=message.public_id,
        at=message.accepted_at,
        helo=message.helo,
        peer=message.peer,
        with_=word,
        tls=message.tls,
    )


class Lane:
    """Used by one thread at a time. `may_send` says whether the lease still holds."""

    def __init__(self, hop: Hop, *, may_send: Callable[[], bool], timers: Timers = TIMERS) -> None:
        self.hop, self.may_send, self.timers = hop, may_send, timers
        self._connection: Connection | None = None
        self._carried = 0

    def send(self, job: Job, content: bytes) -> Sent:
        """Carry one job; never raises. `content` is what leaves, trace header included."""
        envelope = Envelope(job.message.reverse_path, tuple(delivery.forward_path for delivery in job.deliveries))
        try:
            sent = self._send(job, envelope, content)
            if self._was_stale(sent):
                self.close()
                sent = self._send(job, envelope, content)
        except ContentError as error:
            return self._same_for_all(job, Result("", Phase.MAIL, Outcome.TRANSIENT, text=str(error), uncarriable=True))
        except OSError as error:  # a fault test's error, or one nobody foresaw: the worst is assumed
            self.close(politely=False)
            return self._same_for_all(job, Result("", Phase.DOT, Outcome.AMBIGUOUS, text=type(error).__name__))
        return sent

    def _send(self, job: Job, envelope: Envelope, content: bytes) -> Sent:
        failpoint("deliver.after_lease")
        try:
            connection = self._connected()
        except ConnectError as error:
            result = Result("", Phase(error.phase), Outcome.TRANSIENT, error.code, error.enhanced, error.text)
            return self._same_for_all(job, result, connected=False)
        failpoint("deliver.after_connect")
        results = connection.send(envelope, content, hook=self._hook)
        self._carried += 1
        host = str(connection.endpoint)
        if not connection.usable or self._carried >= PER_CONNECTION:
            self.close()
        return Sent(job, tuple(results), host)

    def _connected(self) -> Connection:
        """The kept connection, or the first host that takes a session. Raises ConnectError (of the last host)."""
        if self._connection is not None:
            return self._connection
        failure = ConnectError(Phase.CONNECT, "the route has no host")
        for endpoint in self.hop.endpoints:
            try:
                self._connection = connect(endpoint, helo=settings.SMTP_HOSTNAME, timers=self.timers)
            except ConnectError as error:
                failure = error
                continue
            self._carried = 0
            return self._connection
        raise failure

    def _was_stale(self, sent: Sent) -> bool:
        """A kept connection that the server had closed meanwhile: nothing was said about this mail."""
        return self._carried > 1 and all(
            result.phase is Phase.MAIL and result.outcome is Outcome.TRANSIENT and result.code in (None, 421)
            for result in sent.results
        )

    def _hook(self, point: str) -> None:
        if point == "before_dot":
            if not self.may_send():
                raise StopSendingError("the lease ran out")
            return
        failpoint(f"deliver.{point}")

    def _same_for_all(self, job: Job, result: Result, *, connected: bool = True) -> Sent:
        host = str(self.hop.endpoints[-1]) if self.hop.endpoints else ""
        results = tuple(replace(result, recipient=delivery.forward_path) for delivery in job.deliveries)
        return Sent(job, results, host, connected=connected)

    def abort(self) -> None:
        """From another thread: end what is under way now."""
        connection = self._connection
        if connection is not None:
            connection.abort()

    def close(self, *, politely: bool = True) -> None:
        if self._connection is not None:
            self._connection.usable = self._connection.usable and politely
            self._connection.close()
        self._connection = None
