"""A primary as a scripted, real SMTP server on loopback: says, hangs, drops or delays whatever a test wants.

    with Primary() as primary:
        primary.on("rcpt", reply("450 4.2.1 full"), recipient="ada@corp.test", times=1)
        ...
        primary.kept[0].octets

Phases: connect, greeting, ehlo, starttls, auth, mail, rcpt, data, content, dot, rset, quit. Runs in a thread of
its own with its own event loop; `python -m tests.doubles.primary --port 2599 --log kept.jsonl` runs it as a process.
"""

import argparse
import asyncio
import base64
import json
import re
import signal
import ssl
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from types import TracebackType
from typing import TextIO

from tests.doubles.acts import Act, close, drop, hang, reply

__all__ = ["Act", "Kept", "Primary", "close", "drop", "hang", "reply"]

BUFFER = 96 * 2**20  # octets; the largest message it takes
PATH = re.compile(rb"<([^>]*)>")


@dataclass(frozen=True)
class Kept:
    """One message whose final dot arrived; `answered` is false where the script cut the reply off."""

    sender: str
    recipients: tuple[str, ...]
    octets: bytes  # dot-unstuffed
    wire: bytes  # exactly what came between the 354 and the end of data
    options: tuple[str, ...]  # parameters of MAIL FROM
    at: datetime
    connection: int
    tls: bool
    answered: bool

    def to_json(self) -> dict[str, object]:
        return {
            "sender": self.sender,
            "recipients": list(self.recipients),
            "sha256": sha256(self.octets).hexdigest(),
            "size": len(self.octets),
            "options": list(self.options),
            "at": self.at.isoformat(),
            "answered": self.answered,
        }


@dataclass
class _Rule:
    act: Act
    recipient: str | None
    times: int | None


class _CutError(Exception):
    """The script ends this connection."""


@dataclass
class _Envelope:
    sender: str | None = None
    options: tuple[str, ...] = ()
    recipients: list[str] = field(default_factory=list)


class Primary:
    """The server. `port` 0 picks a free one and keeps it over stop() and start()."""

    def __init__(
        self,
        *,
        port: int = 0,
        extensions: tuple[str, ...] = ("PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE 52428800", "ENHANCEDSTATUSCODES"),
        tls: ssl.SSLContext | None = None,
        implicit_tls: bool = False,
        credentials: tuple[str, str] | None = None,
        log: TextIO | None = None,
    ) -> None:
        self.port, self.extensions, self.tls, self.implicit_tls = port, extensions, tls, implicit_tls
        self.credentials, self.log = credentials, log
        self.kept: list[Kept] = []
        self.commands: list[str] = []
        self.connections = 0
        self.authenticated: list[str] = []
        self.decide: Callable[[str, str], Act | None] | None = None  # (phase, argument), asked before the rules
        self._rules: dict[str, list[_Rule]] = {}
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    # --- script ---------------------------------------------------------------------------------------------
    def on(self, phase: str, act: Act, *, recipient: str | None = None, times: int | None = None) -> "Primary":
        """From now on do `act` at `phase` (for `recipient` only; `times` times only). Later rules win."""
        with self._lock:
            self._rules.setdefault(phase, []).insert(0, _Rule(act, recipient, times))
        return self

    def heal(self) -> None:
        """Forget every rule."""
        with self._lock:
            self._rules.clear()
        self.decide = None

    def _act(self, phase: str, default: str, argument: str = "") -> Act:
        if self.decide and (act := self.decide(phase, argument)):
            return act
        with self._lock:
            for rule in self._rules.get(phase, []):
                if rule.recipient not in (None, argument) or rule.times == 0:
                    continue
                if rule.times is not None:
                    rule.times -= 1
                return rule.act
        return reply(default)

    # --- what arrived -----------------------------------------------------------------------------------------
    def copies(self, recipient: str, needle: bytes = b"") -> int:
        """How many kept messages for `recipient` hold `needle`."""
        return sum(recipient in message.recipients and needle in message.octets for message in list(self.kept))

    # --- running ------------------------------------------------------------------------------------------------
    def start(self) -> "Primary":
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), daemon=True, name="primary")
        self._thread.start()
        if not started.wait(5) or self._server is None:
            message = f"the primary could not listen on port {self.port}"
            raise RuntimeError(message)
        return self

    def stop(self) -> None:
        """Refuse connections from now on and reset those that are open."""
        if self._loop and self._thread:
            self._loop.call_soon_threadsafe(self._shut)
            self._thread.join(5)
        self._loop = self._thread = self._server = None

    def __enter__(self) -> "Primary":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self, started: threading.Event) -> None:
        loop = self._loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(self.listen())
            started.set()
            loop.run_forever()
            loop.run_until_complete(self._settle())
        except OSError:
            started.set()
        finally:
            loop.close()

    async def listen(self) -> None:
        context = self.tls if self.implicit_tls else None
        self._server = await asyncio.start_server(
            self._connected, "127.0.0.1", self.port, limit=BUFFER, ssl=context, backlog=1024
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def _shut(self) -> None:
        if self._server:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        asyncio.get_running_loop().stop()

    async def _settle(self) -> None:
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # lets aborted transports close

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        self.connections += 1
        try:
            await _Session(self, reader, writer, self.connections).run()
        except (
            _CutError,
            ConnectionError,
            asyncio.IncompleteReadError,
            asyncio.CancelledError,
            ssl.SSLError,
            TimeoutError,
        ):
            writer.transport.abort()
        finally:
            self._tasks.discard(task)

    def keep(self, message: Kept) -> None:
        self.kept.append(message)
        if self.log:
            self.log.write(json.dumps(message.to_json()) + "\n")
            self.log.flush()


class _Session:
    """One connection."""

    def __init__(
        self, primary: Primary, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        self.primary, self.reader, self.writer, self.number = primary, reader, writer, number
        self.secure = primary.implicit_tls
        self.envelope = _Envelope()

    async def run(self) -> None:
        await self.perform(self.primary._act("connect", ""), silent=True)
        await self.answer("greeting", "220 primary.test ESMTP")
        verbs = {
            "EHLO": self.ehlo, "HELO": self.helo, "STARTTLS": self.starttls, "AUTH": self.auth, "MAIL": self.mail,
            "RCPT": self.rcpt, "DATA": self.data, "RSET": self.rset, "NOOP": self.noop,
        }  # fmt: skip
        while True:
            line = await self.reader.readuntil(b"\r\n")
            command = line[:-2].decode("utf-8", "replace")
            self.primary.commands.append(command)
            verb = command.partition(" ")[0].upper()
            if verb == "QUIT":
                await self.answer("quit", "221 2.0.0 bye")
                self.writer.close()
                return
            if verb in verbs:
                await verbs[verb](command)
            else:
                await self.say("500 5.5.1 what?")

    # --- acts -----------------------------------------------------------------------------------------------
    async def answer(self, phase: str, default: str, argument: str = "") -> str:
        """Do what the script says at `phase`; the text answered."""
        return await self.perform(self.primary._act(phase, default, argument))

    async def perform(self, act: Act, *, silent: bool = False) -> str:
        if act.delay:
            await asyncio.sleep(act.delay)
        if act.kind == "drop":
            raise _CutError
        if act.kind == "close":
            self.writer.close()
            raise _CutError
        if act.kind == "hang":
            await asyncio.sleep(3600)
        if not silent:
            await self.say(act.text, pace=act.pace)
        if act.then_close:
            self.writer.close()
            raise _CutError
        return act.text

    async def say(self, text: str, *, pace: float = 0.0) -> None:
        octets = text.replace("\n", "\r\n").encode() + b"\r\n"
        if not pace:
            self.writer.write(octets)
            await self.writer.drain()
            return
        for octet in octets:
            self.writer.write(bytes([octet]))
            await self.writer.drain()
            await asyncio.sleep(pace)

    # --- commands -------------------------------------------------------------------------------------------
    async def ehlo(self, _command: str) -> None:
        self.envelope = _Envelope()
        words = ["primary.test", *self.primary.extensions]
        if self.primary.tls and not self.secure:
            words.append("STARTTLS")
        if self.primary.credentials and self.secure:
            words.append("AUTH PLAIN LOGIN")
        lines = [f"250{'-' if index < len(words) - 1 else ' '}{word}" for index, word in enumerate(words)]
        await self.answer("ehlo", "\n".join(lines))

    async def helo(self, _command: str) -> None:
        self.envelope = _Envelope()
        await self.answer("helo", "250 primary.test")

    async def starttls(self, _command: str) -> None:
        if not self.primary.tls or self.secure:
            await self.say("502 5.5.1 no")
            return
        if (await self.answer("starttls", "220 2.0.0 go")).startswith("220"):
            await self.writer.start_tls(self.primary.tls)
            self.secure, self.envelope = True, _Envelope()

    async def auth(self, command: str) -> None:
        words = command.split()
        if words[1].upper() == "PLAIN":
            _, user, password = base64.b64decode(words[2]).decode().split("\0")
        else:
            await self.say("334 VXNlcm5hbWU6")
            user = base64.b64decode(await self.reader.readuntil(b"\r\n")).decode()
            await self.say("334 UGFzc3dvcmQ6")
            password = base64.b64decode(await self.reader.readuntil(b"\r\n")).decode()
        good = (user, password) == self.primary.credentials
        if good:
            self.primary.authenticated.append(user)
        await self.answer("auth", "235 2.7.0 welcome" if good else "535 5.7.8 no")

    async def mail(self, command: str) -> None:
        found = PATH.search(command.encode())
        sender = found[1].decode() if found else ""
        if (await self.answer("mail", "250 2.1.0 ok", sender)).startswith("250"):
            options = tuple(command.partition(">")[2].split())
            self.envelope = _Envelope(sender, options)

    async def rcpt(self, command: str) -> None:
        found = PATH.search(command.encode())
        recipient = found[1].decode() if found else ""
        if self.envelope.sender is None:
            await self.say("503 5.5.1 MAIL first")
        elif (await self.answer("rcpt", "250 2.1.5 ok", recipient)).startswith("25"):
            self.envelope.recipients.append(recipient)

    async def data(self, _command: str) -> None:
        if not self.envelope.recipients:
            await self.say("554 5.5.1 no valid recipients")
            return
        if not (await self.answer("data", "354 go ahead")).startswith("354"):
            return
        act = self.primary._act("content", "")
        if act.kind != "reply":
            await self.reader.readexactly(act.after)
            await self.perform(act)
        wire = await self.reader.readuntil(b"\r\n")
        if wire != b".\r\n":
            while not wire.endswith(b"\r\n.\r\n"):
                wire += await self.reader.readuntil(b".\r\n")
        await self.end(wire[:-3])

    async def end(self, wire: bytes) -> None:
        octets = (b"\r\n" + wire).replace(b"\r\n..", b"\r\n.")[2:]
        act = self.primary._act("dot", f"250 2.0.0 kept as {len(self.primary.kept) + 1}", self.envelope.sender or "")
        answered = act.kind == "reply" and not act.delay
        if act.kind != "reply" or act.text.startswith("250"):
            self.primary.keep(self._kept(octets, wire, answered=answered))
        self.envelope = _Envelope()
        await self.perform(act)

    def _kept(self, octets: bytes, wire: bytes, *, answered: bool) -> Kept:
        return Kept(
            sender=self.envelope.sender or "",
            recipients=tuple(self.envelope.recipients),
            octets=octets,
            wire=wire,
            options=self.envelope.options,
            at=datetime.now(UTC),
            connection=self.number,
            tls=self.secure,
            answered=answered,
        )

    async def rset(self, _command: str) -> None:
        self.envelope = _Envelope()
        await self.answer("rset", "250 2.0.0 ok")

    async def noop(self, _command: str) -> None:
        await self.say("250 2.0.0 ok")


def main() -> None:
    """Serve until SIGTERM; each kept message is one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", default="")
    options = parser.parse_args()
    log = open(options.log, "a", encoding="ascii") if options.log else sys.stdout  # noqa: SIM115, PTH123
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    signal.signal(signal.SIGINT, lambda *_: stopped.set())
    with Primary(port=options.port, log=log) as primary:
        sys.stderr.write(f"listening on 127.0.0.1:{primary.port}\n")
        stopped.wait()


if __name__ == "__main__":
    main()
