"""SMTP client: one connection, many transactions, one result per recipient. No database, no retry, no Django.

Whatever happens becomes a result, never an exception: every 4xx and every failure before the final reply is
transient; no reply after the final dot is ambiguous; a 5xx that speaks of a recipient is permanent (RFC 5321
section 4.2.1). Content is sent byte for byte but for dot-stuffing (section 4.5.2).
"""

import re
import ssl
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from spool.smtp.replies import GO_AHEAD, SHUTTING_DOWN, Outcome, Phase, Reply, judge
from spool.smtp.session import ConnectError, Endpoint, Session, Timers, open_session
from spool.smtp.wire import WireError

__all__ = ["ConnectError", "Connection", "ContentError", "Endpoint", "Envelope", "Result", "Timers", "connect"]

# Angle brackets end the path, but not inside a quoted local part (RFC 5321 section 4.1.2).
_SAFE_ADDRESS = re.compile(r'(?:"(?:[^"\\\x00-\x1f\x7f]|\\[^\x00-\x1f\x7f])*+"(?=@))?[^<>\x00-\x1f\x7f]*+')
_SIZE = re.compile(r"[0-9]{1,20}")  # RFC 1870 section 3
GROUP = 100  # commands written together under PIPELINING (RFC 2920 section 3.1)


class ContentError(ValueError):
    """The content holds a bare CR or LF, which must never leave (rule 8)."""


class StopSendingError(Exception):
    """Raised by a hook before the final dot: cut the connection, so that the server keeps nothing."""


@dataclass(frozen=True)
class Envelope:
    reverse_path: str  # empty: the null reverse-path
    recipients: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """What became of one recipient. `uncarriable`: this server cannot take this mail unchanged; a person decides."""

    recipient: str
    phase: Phase
    outcome: Outcome
    code: int | None = None
    enhanced: str = ""
    text: str = ""
    uncarriable: bool = False


# Called at after_rcpt, mid_data, before_dot, after_dot, after_reply; up to before_dot it may raise StopSendingError.
Hook = Callable[[str], None]


def _no_hook(_point: str) -> None:
    return


def check_lines(content: bytes) -> None:
    """Raises ContentError if any CR or LF stands alone."""
    if not content.count(b"\r\n") == content.count(b"\r") == content.count(b"\n"):
        raise ContentError("bare CR or LF in the content")


def check_envelope(envelope: Envelope) -> None:
    """Raises ContentError if an address could end its command early."""
    for address in (envelope.reverse_path, *envelope.recipients):
        if not _SAFE_ADDRESS.fullmatch(address):
            raise ContentError("an address that holds controls or angle brackets")


def stuff(content: bytes) -> bytes:
    """Dot-stuffed content that ends in CRLF (RFC 5321 section 4.5.2), without the final dot. Raises ContentError."""
    check_lines(content)
    stuffed = content.replace(b"\r\n.", b"\r\n..")
    if stuffed.startswith(b"."):
        stuffed = b"." + stuffed
    return stuffed if not stuffed or stuffed.endswith(b"\r\n") else stuffed + b"\r\n"


class _Ended(Exception):  # noqa: N818 - control flow inside this file
    """The transaction is over for every recipient without a result of its own."""

    def __init__(self, phase: Phase, outcome: Outcome, reply: Reply | None = None, text: str = "") -> None:
        super().__init__(text)
        self.phase, self.outcome, self.reply = phase, outcome, reply
        self.text = reply.text if reply else text


class Connection:
    """A session that carries transactions. After a failure `usable` is false and the connection is closed."""

    def __init__(self, session: Session) -> None:
        self.session, self.usable = session, True
        self._wire, self._timers = session.wire, session.timers

    @property
    def endpoint(self) -> Endpoint:
        return self.session.endpoint

    # --- one transaction ------------------------------------------------------------------------------------
    def send(self, envelope: Envelope, content: bytes, *, hook: Hook = _no_hook) -> list[Result]:
        """One transaction; a result for every recipient, in order. Raises ContentError before anything is sent."""
        check_envelope(envelope)
        stuffed = stuff(content)
        results: dict[str, Result] = {}
        try:
            options = self._options(envelope, content)
            self._introduce(envelope, options, results)
            hook("after_rcpt")
            self._deliver(stuffed, hook)
        except _Ended as end:
            self._settle(envelope.recipients, results, end)
        except StopSendingError as stop:
            self._abandon()
            self._settle(envelope.recipients, results, _Ended(Phase.DATA, Outcome.TRANSIENT, text=str(stop)))
        return [results[recipient] for recipient in envelope.recipients]

    def reset(self) -> None:
        """RSET: forget the transaction in progress."""
        self._command("RSET", Phase.MAIL, self._timers.mail)

    def verify(self, reverse_path: str, recipient: str) -> Result:
        """MAIL and RCPT without sending anything, then RSET: whether this server would take mail (a probe)."""
        results: dict[str, Result] = {}
        try:
            for line, phase in ((f"MAIL FROM:<{reverse_path}>", Phase.MAIL), (f"RCPT TO:<{recipient}>", Phase.RCPT)):
                reply = self._command(line, phase, self._timers.mail)
                if not reply.good:
                    raise _Ended(phase, judge(reply.code, phase), reply)
            self.reset()
            raise _Ended(Phase.RCPT, Outcome.DELIVERED, reply)
        except _Ended as end:
            self._settle((recipient,), results, end)
        return results[recipient]

    def close(self) -> None:
        """QUIT politely where the connection still works."""
        if self.usable:
            with suppress(WireError):
                self.session.say("QUIT", self._timers.quit)
        self._abandon()

    def abort(self) -> None:
        """From another thread: end the transaction under way now; its results say how far it came."""
        self._wire.abort()

    def _abandon(self) -> None:
        self.usable = False
        self._wire.close()

    # --- what this server can carry -------------------------------------------------------------------------
    def _options(self, envelope: Envelope, content: bytes) -> str:
        """Parameters of MAIL FROM. Ends the transaction if this mail cannot be carried unchanged."""
        offered, options = self.session.extensions, ""
        if "SIZE" in offered:
            limit = int(offered["SIZE"]) if _SIZE.fullmatch(offered["SIZE"]) else 0
            if 0 < limit < len(content):
                message = f"the server takes {limit} octets, the message has {len(content)}"
                raise _Ended(Phase.EHLO, Outcome.TRANSIENT, text=message)
            options += f" SIZE={len(content)}"
        if not content.isascii():
            if "8BITMIME" not in offered:
                raise _Ended(Phase.EHLO, Outcome.TRANSIENT, text="8-bit content, and the server has no 8BITMIME")
            options += " BODY=8BITMIME"
        if needs_smtputf8(envelope, content):
            if "SMTPUTF8" not in offered:
                raise _Ended(Phase.EHLO, Outcome.TRANSIENT, text="international mail, and the server has no SMTPUTF8")
            options += " SMTPUTF8"
        return options

    # --- MAIL, RCPT, DATA -------------------------------------------------------------------------------------
    def _introduce(self, envelope: Envelope, options: str, results: dict[str, Result]) -> None:
        """Everything up to the 354; refused recipients enter `results`."""
        steps = [(f"MAIL FROM:<{envelope.reverse_path}>{options}", Phase.MAIL, "")]
        steps += [(f"RCPT TO:<{recipient}>", Phase.RCPT, recipient) for recipient in envelope.recipients]
        pipelining = "PIPELINING" in self.session.extensions
        if pipelining:
            steps.append(("DATA", Phase.DATA, ""))
        refused: _Ended | None = None
        for (_, phase, recipient), reply in self._exchange(steps, pipelining=pipelining):
            if phase is Phase.DATA:
                self._pipelined_go_ahead(reply, refused, envelope, results)
            elif phase is Phase.MAIL and not reply.good:
                refused = _Ended(phase, judge(reply.code, phase), reply)
                if not pipelining:
                    raise refused
            elif phase is Phase.RCPT and not reply.good and refused is None:
                results[recipient] = _result(recipient, phase, judge(reply.code, phase), reply)
        if not pipelining:
            self._go_ahead(envelope, results)

    def _exchange(
        self, steps: list[tuple[str, Phase, str]], *, pipelining: bool
    ) -> Iterable[tuple[tuple[str, Phase, str], Reply]]:
        size = GROUP if pipelining else 1
        for start in range(0, len(steps), size):
            group = steps[start : start + size]
            self._write("".join(line + "\r\n" for line, _, _ in group).encode(), group[0][1])
            for step in group:
                yield step, self._reply(step[1], getattr(self._timers, step[1].value))

    def _go_ahead(self, envelope: Envelope, results: dict[str, Result]) -> None:
        if len(results) == len(set(envelope.recipients)):
            self.reset()
            raise _Ended(Phase.RCPT, Outcome.TRANSIENT)
        reply = self._command("DATA", Phase.DATA, self._timers.data)
        if reply.code != GO_AHEAD:
            self.reset()
            raise _Ended(Phase.DATA, judge(reply.code, Phase.DATA), reply)

    def _pipelined_go_ahead(
        self, reply: Reply, refused: _Ended | None, envelope: Envelope, results: dict[str, Result]
    ) -> None:
        """DATA went out before the server had judged: if nobody was accepted, nothing may follow."""
        nobody = refused is not None or len(results) == len(set(envelope.recipients))
        if reply.code == GO_AHEAD and not nobody:
            return
        if reply.code == GO_AHEAD:  # RFC 2920 section 3.1: a single dot, whose reply says nothing
            self._command(".", Phase.DATA, self._timers.dot)
        else:
            self.reset()
        raise refused or _Ended(Phase.DATA, judge(reply.code, Phase.DATA), reply)

    # --- content ----------------------------------------------------------------------------------------------
    def _deliver(self, stuffed: bytes, hook: Hook) -> None:
        """Content, dot, final reply. Always raises _Ended or StopSendingError."""
        half = len(stuffed) // 2
        self._write(stuffed[:half], Phase.DATA, self._timers.block)
        hook("mid_data")
        hook("before_dot")
        try:
            self._wire.write(stuffed[half:] + b".\r\n", self._timers.block)
            hook("after_dot")
            reply = self._wire.read_reply(self._timers.dot)
        except WireError as error:
            self._abandon()
            raise _Ended(Phase.DOT, Outcome.AMBIGUOUS, text=str(error)) from error
        hook("after_reply")
        if reply.code == SHUTTING_DOWN:
            self._abandon()
        raise _Ended(Phase.DOT, Outcome.DELIVERED if reply.good else judge(reply.code, Phase.DOT), reply)

    # --- plumbing ---------------------------------------------------------------------------------------------
    def _write(self, octets: bytes, phase: Phase, timeout: float | None = None) -> None:
        try:
            self._wire.write(octets, timeout or self._timers.block)
        except WireError as error:
            self._abandon()
            raise _Ended(phase, Outcome.TRANSIENT, text=str(error)) from error

    def _reply(self, phase: Phase, timeout: float) -> Reply:
        try:
            reply = self._wire.read_reply(timeout)
        except WireError as error:
            self._abandon()
            raise _Ended(phase, Outcome.TRANSIENT, text=str(error)) from error
        if reply.code == SHUTTING_DOWN:
            self._abandon()
            raise _Ended(phase, Outcome.TRANSIENT, reply)
        return reply

    def _command(self, line: str, phase: Phase, timeout: float) -> Reply:
        self._write(line.encode() + b"\r\n", phase)
        return self._reply(phase, timeout)

    @staticmethod
    def _settle(recipients: Iterable[str], results: dict[str, Result], end: _Ended) -> None:
        for recipient in recipients:
            if recipient not in results:
                results[recipient] = _result(recipient, end.phase, end.outcome, end.reply, end.text)


def needs_smtputf8(envelope: Envelope, content: bytes) -> bool:
    """Whether an address or a header field is not ASCII (RFC 6531 section 3.4)."""
    head = content.partition(b"\r\n\r\n")[0]
    return not (head.isascii() and envelope.reverse_path.isascii() and all(map(str.isascii, envelope.recipients)))


def _result(recipient: str, phase: Phase, outcome: Outcome, reply: Reply | None, text: str = "") -> Result:
    if reply is None:
        return Result(recipient, phase, outcome, text=text, uncarriable=phase is Phase.EHLO)
    return Result(recipient, phase, outcome, reply.code, reply.enhanced, reply.text)


def connect(
    endpoint: Endpoint, *, helo: str, timers: Timers | None = None, context: ssl.SSLContext | None = None
) -> Connection:
    """A connection ready for transactions. Raises ConnectError."""
    return Connection(open_session(endpoint, helo=helo, timers=timers, context=context))
