"""The drill's senders: several sessions at once that behave as a sending mail server does.

Each tries the primary first, then einbox; a 4xx or a lost connection is retried. Before each final dot and after
each answer a synced line goes to the senders' log, so that the ledger can tell accepted from unknown.
"""

import json
import os
import smtplib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue

from einbox.drill.mail import DrillMail
from spool.smtpd.replies import UNSURE

TIMEOUT = 30.0  # seconds per reply
LAST_SECONDS = 2.0  # for the mail that is being sent when the drill is stopped
PAUSE = 0.2  # seconds before a retry; a real sender waits minutes


@dataclass
class SendersLog:
    """Append-only record of offers and answers, synced line by line."""

    path: Path
    lock: threading.Lock = field(default_factory=threading.Lock)
    closed: bool = False

    def close(self) -> None:
        """What comes later is of nobody's interest: the drill was stopped, and its directory goes."""
        with self.lock:
            self.closed = True

    def write(self, **entry: object) -> None:
        with self.lock:
            if not self.closed:
                self._append(entry)

    def _append(self, entry: dict[str, object]) -> None:
        with self.path.open("ab") as stream:
            stream.write(json.dumps(entry).encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())


# What smtpd says when its writer was lost or hangs: the mail may be kept all the same, and then its retry merges.
IN_DOUBT = f"{UNSURE.code} {UNSURE.enhanced} "


@dataclass(frozen=True)
class Answer:
    """The answer to one offer: the accepted recipients; None where no answer came after the dot, or one in doubt."""

    accepted: tuple[str, ...] | None
    put_off: tuple[str, ...]
    text: str


@contextmanager
def session(port: int) -> Iterator[smtplib.SMTP]:
    """A session with loopback `port`; how the farewell goes changes no answer. Raises OSError, SMTPException."""
    client = smtplib.SMTP("127.0.0.1", port, local_hostname="outside.test", timeout=TIMEOUT)
    try:
        client.ehlo_or_helo_if_needed()
        yield client
    finally:
        with suppress(OSError, smtplib.SMTPException):
            client.quit()
        client.close()


def offer(port: int, mail: DrillMail, recipients: Sequence[str]) -> Answer:
    """One SMTP transaction to loopback `port`. Raises OSError or smtplib.SMTPException before the final dot."""
    with session(port) as client:
        client.mail(mail.sender, ["BODY=8BITMIME", f"SIZE={len(mail.content)}"])
        replies = {recipient: client.rcpt(recipient) for recipient in recipients}
        taken = tuple(recipient for recipient, (code, _) in replies.items() if code == 250)
        text = "; ".join(sorted({f"{code} {reply.decode('utf-8', 'replace')}" for code, reply in replies.values()}))
        if not taken:
            return Answer((), tuple(recipients), text)
        try:
            code, reply = client.data(mail.content)
        except (OSError, smtplib.SMTPServerDisconnected) as error:
            return Answer(None, tuple(recipients), f"no answer: {type(error).__name__}")
        said = f"{code} {reply.decode('utf-8', 'replace')}"
        if said.startswith(IN_DOUBT):
            return Answer(None, tuple(recipients), said)
        accepted = taken if code == 250 else ()
        rest = tuple(recipient for recipient in recipients if recipient not in accepted)
        return Answer(accepted, rest, said)


def verdict(port: int, mail: DrillMail) -> str:
    """What loopback `port` says to the first recipient ("": nothing); no message is sent."""
    try:
        with session(port) as client:
            client.mail(mail.sender)
            code, reply = client.rcpt(mail.recipients[0])
            return f"{code} {reply.decode('utf-8', 'replace')}"
    except (OSError, smtplib.SMTPException):
        return ""


@dataclass
class Senders:
    """Sends a list of mails over several sessions and remembers what was answered."""

    ports: Sequence[tuple[str, int]]  # (name, loopback port), the primary first
    log: SendersLog
    deadline: float  # time.monotonic()
    on_accepted: Callable[[str, DrillMail], None] = lambda _host, _mail: None
    unsent: list[DrillMail] = field(default_factory=list)
    pace: float = 0.0  # mails a second over all sessions; 0: as fast as they go
    stopped: bool = False

    def send_all(self, mails: Sequence[DrillMail], *, sessions: int) -> None:
        """Send every mail; returns when each was accepted, or when the deadline has passed (see `unsent`)."""
        queue: SimpleQueue[DrillMail] = SimpleQueue()
        for mail in mails:
            queue.put(mail)
        interval = sessions / self.pace if self.pace else 0.0
        threads = [threading.Thread(target=self._work, args=(queue, interval), daemon=True) for _ in range(sessions)]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        except KeyboardInterrupt:  # they write to a log that goes with the drill
            self.stopped = True
            until = time.monotonic() + LAST_SECONDS
            for thread in threads:
                thread.join(max(0.0, until - time.monotonic()))
            self.log.close()
            raise

    def _work(self, queue: SimpleQueue[DrillMail], interval: float) -> None:
        while not self.stopped:
            try:
                mail = queue.get_nowait()
            except Empty:
                return
            if not self._send(mail):
                self.unsent.append(mail)
            time.sleep(interval)

    def _send(self, mail: DrillMail) -> bool:
        waiting = mail.recipients
        while waiting and not self.stopped and time.monotonic() < self.deadline:
            for name, port in self.ports:
                waiting = self._try(name, port, mail, waiting)
                if not waiting:
                    return True
            time.sleep(PAUSE)
        return not waiting

    def _try(self, name: str, port: int, mail: DrillMail, waiting: tuple[str, ...]) -> tuple[str, ...]:
        self.log.write(kind="offer", host=name, token=mail.token, sha256=mail.sha256, recipients=waiting)
        try:
            answer = offer(port, mail, waiting)
        except (OSError, smtplib.SMTPException) as error:
            answer = Answer((), waiting, f"{type(error).__name__}")
        self.log.write(
            kind="answer", host=name, token=mail.token, accepted=answer.accepted, text=answer.text, recipients=waiting
        )
        if answer.accepted:
            self.on_accepted(name, mail)
        return tuple(recipient for recipient in waiting if recipient not in (answer.accepted or ()))
