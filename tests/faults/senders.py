"""Several senders at once, each with a ledger of what it offered and what it was promised, synced line by line.

The checker reads the ledgers from the disk and the rows from the database, after the fault; it trusts neither the
server nor this process's memory.
"""

import os
import random
import threading
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from spool.models import Message
from spool.queue import content
from tests.doubles.smtpd import Client

# Octets: one lies in its row; the other in a file, and is more than one read, so that there is a middle of DATA.
SMALL, LARGE = 2_000, 340_000


def mail(name: str) -> bytes:
    """The mail of that name; always the same octets."""
    dice = random.Random(name)
    size = LARGE if dice.random() < 0.1 else SMALL
    body = b"".join(b"%064x\r\n" % dice.getrandbits(256) for _ in range(size // 66))
    return b"Subject: " + name.encode() + b"\r\n\r\n" + body


class Ledger:
    """A file of lines `offered NAME DIGEST` and `promised NAME`, each on the disk before the next step."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("ab", buffering=0)

    def note(self, *words: str) -> None:
        self._file.write(" ".join(words).encode() + b"\n")
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()

    def read(self) -> tuple[dict[str, str], set[str]]:
        """Digests of all that was offered, by name; and the names that were promised."""
        lines = [line.split() for line in self.path.read_text(encoding="ascii").splitlines()]
        return (
            {words[1]: words[2] for words in lines if words[0] == "offered"},
            {words[1] for words in lines if words[0] == "promised"},
        )


@dataclass
class Sender:
    """Sends mail after mail until the server is gone; then repeats first what it was not promised."""

    number: int
    ledger: Ledger
    recipient: str
    sent: int = 0
    unsure: list[str] = field(default_factory=list)
    refused: int = 0  # replies other than 250 to a message

    def run(self, address: tuple[str, int], most: int) -> None:
        """Offer up to `most` new mails on one connection."""
        try:
            with Client(address, hello=False) as client:
                client.say("EHLO client.test")
                while self.unsure:
                    if not self._offer(client, self.unsure[0]):
                        return
                    self.unsure.pop(0)
                for _ in range(most):
                    self.sent += 1
                    name = f"mail-{self.number}-{self.sent}"
                    self.ledger.note("offered", name, sha256(mail(name)).hexdigest())
                    self.unsure.append(name)
                    if not self._offer(client, name):
                        return
                    self.unsure.remove(name)
        except OSError:  # the server is gone
            return

    def _offer(self, client: Client, name: str) -> bool:
        """Whether the mail was promised."""
        for line in ("MAIL FROM:<erika@outside.test>", f"RCPT TO:<{self.recipient}>", "DATA"):
            if not client.say(line):
                return False
        client.send(mail(name) + b".\r\n")
        reply = client.reply()
        if not reply.startswith("250"):
            self.refused += bool(reply)
            return False
        self.ledger.note("promised", name)
        return True


@dataclass(frozen=True)
class Balance:
    """What the ledgers say beside what the database holds."""

    offered: int
    promised: int
    stored: int
    lost: frozenset[str]  # promised, but missing or altered
    doubled: int  # rows of one mail beyond the first
    ghosts: frozenset[str]  # stored, but never offered


class Senders:
    """`count` senders to one recipient, with ledgers in `home`."""

    def __init__(self, home: Path, count: int, recipient: str) -> None:
        self.all = [Sender(number, Ledger(home / f"ledger-{number}"), recipient) for number in range(count)]

    def run(self, address: tuple[str, int], most: int) -> None:
        """All at once, until each has offered `most` or the server is gone."""
        threads = [threading.Thread(target=sender.run, args=(address, most), daemon=True) for sender in self.all]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
            assert not thread.is_alive(), "a sender hangs"

    def balance(self) -> Balance:
        """Compare all that was ever offered with all that is there, octet by octet."""
        offered: dict[str, str] = {}
        promised: set[str] = set()
        for sender in self.all:
            mine, kept = sender.ledger.read()
            offered |= mine
            promised |= kept
        rows = [(row.subject, sha256(content.read(row)).hexdigest()) for row in Message.objects.all()]
        stored = dict(rows)
        return Balance(
            offered=len(offered),
            promised=len(promised),
            stored=len(rows),
            lost=frozenset(name for name in promised if stored.get(name) != offered[name]),
            doubled=len(rows) - len(stored),
            ghosts=frozenset(stored) - frozenset(offered),
        )

    def close(self) -> None:
        for sender in self.all:
            sender.ledger.close()
