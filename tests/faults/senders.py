"""Several senders at once, each with a ledger of what it offered and what it was promised, synced line by line.

The checker reads the ledgers from the disk and the rows from the database, after the fault; it trusts neither the
server nor this process's memory.
"""

import os
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from types import TracebackType

from spool.models import Message
from spool.queue import content
from tests.doubles.smtpd import Client
from tests.waiting import wait_for

# Octets: one lies in its row; the other in a file, and is more than one read, so that there is a middle of DATA.
SMALL, LARGE = 2_000, 340_000
PATIENCE = 12  # seconds; the promise is 10, to which test_durability holds a server with one sender


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
    promised: int = 0
    refusals: Counter[str] = field(default_factory=Counter)  # replies but 2xx and 3xx, by their codes
    slowest: float = 0.0  # seconds from the end of a mail to its reply, or to the end of patience

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
            if self._refused(client.say(line)):
                return False
        client.send(mail(name) + b".\r\n")
        began = time.monotonic()
        try:
            reply = client.reply()
        finally:
            self.slowest = max(self.slowest, time.monotonic() - began)
        if self._refused(reply):
            return False
        self.ledger.note("promised", name)
        self.promised += 1
        return True

    def _refused(self, reply: str) -> bool:
        """Whether it says no; empty: the server is gone."""
        if reply and reply[0] not in "23":
            self.refusals[reply[:9]] += 1
        return reply[:1] not in ("2", "3")


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

    @property
    def promised(self) -> int:
        return sum(sender.promised for sender in self.all)

    @property
    def refusals(self) -> Counter[str]:
        return sum((sender.refusals for sender in self.all), Counter[str]())

    @property
    def slowest(self) -> float:
        return max(sender.slowest for sender in self.all)

    def close(self) -> None:
        for sender in self.all:
            sender.ledger.close()


class Traffic:
    """`senders` that come again and again, whatever they hear, until the block ends."""

    def __init__(self, senders: Senders, address: tuple[str, int]) -> None:
        self.senders = senders
        self._address = address
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(one,), daemon=True) for one in senders.all]

    def _send(self, sender: Sender) -> None:
        while not self._over.wait(0.02):
            sender.run(self._address, 5)

    def __enter__(self) -> "Traffic":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a sender hangs"

    def promises(self, more: int, seconds: float = 10) -> None:
        """Wait until so many mails more have had their 250."""
        wanted = self.senders.promised + more
        wait_for(lambda: self.senders.promised >= wanted, seconds, what=f"{more} mails more with a 250")

    def refuses(self, more: int, seconds: float = 12) -> None:
        """Wait until so many mails more were refused."""
        wanted = self.senders.refusals.total() + more
        wait_for(lambda: self.senders.refusals.total() >= wanted, seconds, what=f"{more} refusals more")


def settle(senders: Senders, address: tuple[str, int]) -> None:
    """What was refused is offered once more; then each mail is there once, octet by octet, and nobody waited long."""
    senders.run(address, 0)
    home = senders.balance()
    print(f"{home.promised} promised, refused {dict(senders.refusals)}, slowest {senders.slowest:.1f} s")
    assert (home.doubled, home.lost | home.ghosts) == (0, frozenset())
    assert home.promised == home.offered == home.stored
    assert senders.slowest < PATIENCE
