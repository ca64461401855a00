"""The commands of one SMTP session: plain ones answered as their octets arrive, DATA through the chunk scanner.

What is rare (STARTTLS, VRFY, …) runs as aiosmtpd's command methods do. Touches no database: the committer writes.
"""

import ssl
from typing import TYPE_CHECKING, ClassVar

from spool.failpoints import enabled, failpoint
from spool.mime.headers import scan
from spool.queue.ingest import Incoming, Stored
from spool.smtpd import grammar, replies
from spool.smtpd.grammar import Refused
from spool.smtpd.job import Job
from spool.smtpd.loops import looping
from spool.smtpd.policy import Sender, decide, network
from spool.smtpd.scanner import DataScanner, Problem
from spool.smtpd.transaction import Transaction
from spool.smtpd.wire import Wire

if TYPE_CHECKING:
    from spool.smtpd.server import Server

HANDSHAKE = 30.0  # seconds for TLS
REPLY_OF = {
    Problem.SIZE: replies.TOO_LARGE,
    Problem.LINE: replies.LINE_TOO_LONG,
    Problem.BARE: replies.BARE_OCTETS,
    Problem.MEMORY: replies.FULL,
}
ALONE = frozenset({b"EHLO", b"HELO", b"DATA"})  # the client must wait for the reply (RFC 2920 section 3.1)
IDLE_COMMANDS = frozenset({b"NOOP", b"RSET", b"VRFY", b"EHLO", b"HELO", b"EXPN", b"HELP"})


class Connection(Wire):
    """The session of one client."""

    _odd: ClassVar[dict[bytes, str]] = {
        b"STARTTLS": "smtp_STARTTLS",
        b"VRFY": "smtp_VRFY",
        b"EXPN": "smtp_EXPN",
        b"HELP": "smtp_HELP",
        b"AUTH": "smtp_AUTH",
    }

    def __init__(self, server: "Server", *, peer: str = "") -> None:
        super().__init__(server, peer=peer)
        self.helo = ""
        self.mail: Transaction | None = None
        self._idle_commands = 0

    def _command(self, line: bytes) -> None:
        verb, _, argument = line.partition(b" ")
        verb = verb.upper()
        if verb in IDLE_COMMANDS:
            self._idle_commands += 1
            if self._idle_commands > self.limits.commands:
                self._dismiss(replies.TOO_MANY_COMMANDS)
                return
        if verb in ALONE and self._data:
            self._dismiss(replies.OUT_OF_STEP)
            return
        try:
            if verb == b"RCPT":
                self._rcpt(argument)
            elif verb == b"MAIL":
                self._mail(argument)
            elif verb == b"DATA":
                self._start_data(argument)
            else:
                self._other(verb, argument.strip())
        except Refused as refused:
            self._say(refused.reply)

    def _other(self, verb: bytes, argument: bytes) -> None:
        if verb in (b"EHLO", b"HELO"):
            self._hello(argument, extended=verb == b"EHLO")
        elif verb == b"RSET":
            self._say(replies.BAD_ARGUMENT if argument else replies.OK)
            if not argument:
                self.mail = None
        elif verb == b"NOOP":
            self._say(replies.OK)
        elif verb == b"QUIT":
            self._dismiss(replies.BYE)
        elif verb in self._odd:
            self._run(self._odd[verb], argument.decode("ascii", "replace"))
        else:
            self._say(replies.UNKNOWN_COMMAND)

    # --- commands ------------------------------------------------------------------------------------------------
    def _hello(self, argument: bytes, *, extended: bool) -> None:
        name = argument.decode("utf-8", "replace")[:255]
        if not name or not name.isprintable() or " " in name:
            self._say(replies.BAD_ARGUMENT)
            return
        self.helo, self.mail = name, None
        self._out.append(self.server.ehlo(tls=bool(self.tls)) if extended else self.server.helo)

    def _mail(self, argument: bytes) -> None:
        if not self.helo or self.mail is not None:
            raise Refused(replies.BAD_SEQUENCE)
        mail = grammar.read_mail(argument)
        if mail.size > self.limits.message_size:
            raise Refused(replies.TOO_LARGE)
        if self.server.full(mail.size):
            raise Refused(replies.FULL)
        view = self.server.view
        if view is None:
            raise Refused(replies.UNSURE)
        self.mail = Transaction(mail, view, Sender(network(self.peer), mail.reverse_path))
        self._out.append(replies.SENDER_OK.line)
        failpoint("smtpd.after_mail")

    def _rcpt(self, argument: bytes) -> None:
        mail = self.mail
        if mail is None:
            raise Refused(replies.BAD_SEQUENCE)
        path = grammar.read_rcpt(argument, smtputf8=mail.mail.smtputf8)
        if len(mail.recipients) >= self.limits.recipients:
            raise Refused(replies.TOO_MANY_RECIPIENTS)
        server = self.server
        if server.harvest.full(self.client, self.seen):
            self._dismiss(replies.HARVEST)
            return
        verdict = decide(mail.view, path, mail.sender, put_off=server.put_off, limits=self.limits, now=server.clock())
        if verdict.probe_route_id is not None:
            server.arrived(verdict.probe_route_id)
        if verdict.recipient is None:
            if verdict.reply in replies.HARVESTED and server.harvest.unknown(self.client, self.seen):
                self._errors = max(self._errors, self.limits.errors_soft)  # late from now on, whatever the session
            raise Refused(verdict.reply)
        mail.recipients.append(verdict.recipient)
        self._out.append(server.recipient_ok)

    def _start_data(self, argument: bytes) -> None:
        if argument:
            raise Refused(replies.BAD_ARGUMENT)
        if self.mail is None:
            raise Refused(replies.BAD_SEQUENCE)
        if not self.mail.recipients:
            raise Refused(replies.NO_RECIPIENTS)
        if self.server.full(self.mail.mail.size):
            raise Refused(replies.FULL)
        self.scanner = DataScanner(size_limit=self.limits.message_size, line_limit=self.limits.line)
        self.data_since = self.seen
        self._out.append(replies.START_DATA.line)

    def _take_data(self) -> None:
        scanner = self.scanner
        if scanner is None:
            raise RuntimeError("no message is being read")
        before = scanner.buffered
        rest = scanner.feed(self._data)
        self._data = b"" if rest is None else rest
        self.server.in_flight += scanner.buffered - before
        if scanner.problem is None and self.server.in_flight > self.limits.memory:
            self.server.in_flight -= scanner.buffered
            scanner.drop(Problem.MEMORY)
        if rest is None:
            failpoint("smtpd.mid_data")
            if scanner.overrun:
                self._dismiss(REPLY_OF[scanner.problem or Problem.SIZE])
            return
        self._end_data(scanner)

    def _end_data(self, scanner: DataScanner) -> None:
        failpoint("smtpd.after_dot")
        mail, held = self.mail, scanner.buffered
        raw = scanner.content()
        self.server.in_flight -= held
        self.scanner = self.mail = None
        if mail is None or scanner.problem is not None:
            self._say(REPLY_OF[scanner.problem or Problem.SIZE])
            return
        columns = scan(raw)
        if looping(raw, columns.hops, hostname=self.server.hostname, limits=self.limits):
            self._say(replies.LOOP)
            return
        incoming = Incoming(
            raw=raw,
            recipients=tuple(mail.recipients),
            reverse_path=mail.mail.reverse_path,
            peer=self.peer.partition("%")[0] or None,
            helo=self.helo,
            tls=self.tls,
            smtputf8=mail.mail.smtputf8,
            body_8bit=mail.mail.body_8bit,
            columns=columns,
        )
        if enabled("smtpd.reply_before_commit"):  # the fault that the kill test must catch
            self._out.append(replies.OK.line)
            self.server.submit(Job(incoming, self.loop.time()), self)
            return
        self._busy = True
        self.job = Job(incoming, self.loop.time())
        self.server.in_flight += self.job.size
        self.server.submit(self.job, self)

    def finished(self, stored: Stored | None) -> None:
        """The committer's word on this session's job; None: in doubt."""
        job, self.job = self.job, None
        if job is None:
            return
        self.server.in_flight -= job.size
        if self.transport is None:
            return
        self._busy = False
        if stored is None:
            self._say(replies.UNSURE)
        else:
            self._errors = self._idle_commands = 0
            self.server.harvest.accepted(self.client, job.recipients, self.seen)
            self._out.append(self.server.accepted(stored, job))
            self._flush()
            failpoint("smtpd.after_reply")
        self._resume()

    # --- odd commands, aiosmtpd's way
    async def smtp_STARTTLS(self, arg: str) -> None:  # noqa: N802 - aiosmtpd's name
        """RFC 3207. What was pipelined behind it in clear is dropped unread (CVE-2024-34083)."""
        context = self.server.tls_context
        if context is None or self.transport is None:
            self._say(replies.NO_TLS)
        elif self.tls or arg:
            self._say(replies.BAD_SEQUENCE if self.tls else replies.BAD_ARGUMENT)
        else:
            self._data = b""  # and no more comes in clear: reading is paused
            self._clear = False
            self.transport.write(replies.START_TLS.line)
            transport = await self.loop.start_tls(
                self.transport, self, context, server_side=True, ssl_handshake_timeout=HANDSHAKE
            )
            if transport is None:
                raise ConnectionResetError
            self.transport = transport
            self.helo, self.mail = "", None  # what is in _data came over TLS, with the end of the handshake
            layer: ssl.SSLObject = transport.get_extra_info("ssl_object")
            self.tls = " ".join((layer.version() or "", (layer.cipher() or ("",))[0]))

    async def smtp_VRFY(self, arg: str) -> None:  # noqa: N802 - aiosmtpd's name
        """Says nothing about anybody (C7)."""
        self._say(replies.CANNOT_VERIFY if arg else replies.BAD_ARGUMENT)

    async def smtp_EXPN(self, arg: str) -> None:  # noqa: N802 - aiosmtpd's name
        self._say(replies.NOT_OFFERED)

    smtp_HELP = smtp_AUTH = smtp_EXPN  # noqa: N815 - none of them is offered

    def _let_go(self) -> None:
        if self.scanner is not None:
            self.server.in_flight -= self.scanner.buffered
        self.scanner = self.mail = None
