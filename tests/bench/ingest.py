"""Reading and indexing accepted mail: how fast a backlog is worked off, and how long new mail waits to be found.

Prints one JSON row a case. Mail of 4 KB is stored through ingest, read by the product's own sweep with its killable
processes, encryption on, index on. `per_core` counts the processor time of the worker and its reading processes; on
PostgreSQL the server's own time is not in it.

    python -m tests.bench ingest [--backlog 20000] [--seconds 20] [--rounds 5] [--database postgres://…]
"""

import argparse
import json
import os
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from itertools import accumulate
from typing import Any

from tests.bench.processes import cpu_seconds
from tests.bench.product import SETTINGS

SIZE = 4096  # octets of a message
RATE = 200  # messages a second that are accepted while the wait is measured
ROUND = 2_000  # messages of one timed round


def prepare(home: str, database: str) -> None:
    """Settings as a production process would find them, and an empty database with one mailbox."""
    for name in [name for name in os.environ if name.startswith(("EINBOX_", "DJANGO_"))]:
        del os.environ[name]
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "einbox.settings",
        "EINBOX_HOME": home,
        **SETTINGS,
    }
    if database:
        os.environ["EINBOX_DATABASE_URL"] = database
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)


def vocabulary(size: int = 30_000) -> list[str]:
    made = random.Random(1)
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    return ["".join(made.choices(letters, k=made.randint(2, 11))) for _ in range(size)]


class Writer:
    """Makes mail of words as frequent as in a language (Zipf), and stores it for one mailbox."""

    def __init__(self) -> None:
        from tests.factories.spool import make_mailbox

        self.mailbox = make_mailbox()
        self.words = vocabulary()
        self.weights = list(accumulate(1 / rank for rank in range(1, len(self.words) + 1)))
        self.random = random.Random(2)
        self.number = 0

    def mail(self) -> bytes:
        self.number += 1
        head = (
            "Received: from a.test by b.test; Mon, 1 Jan 2024 10:00:00 +0000\r\n"
            "From: Erika Example <e@outside.test>\r\nTo: anna@example.test\r\n"
            f"Subject: Figures {self.number}\r\nMessage-ID: <{self.number}@outside.test>\r\n"
            "Date: Mon, 1 Jan 2024 10:00:00 +0000\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
        )
        lines: list[str] = []
        octets = len(head)
        while octets < SIZE - 40:
            line = " ".join(self.random.choices(self.words, cum_weights=self.weights, k=10))
            lines.append(line)
            octets += len(line) + 2
        return (head + "\r\n".join(lines) + "\r\n").encode()

    def store(self, count: int, *, together: int = 50) -> dict[int, float]:
        """Message ids with the moment of their commit."""
        from django.db import transaction
        from django.utils import timezone

        from spool.queue import ingest
        from spool.queue.ingest import Incoming, Recipient

        box = self.mailbox
        made: dict[int, float] = {}
        to = (Recipient(box.address, box.domain.route_id, mailbox_id=box.pk, visible=True),)
        for start in range(0, count, together):
            mails = [
                Incoming(raw=self.mail(), recipients=to, reverse_path="e@outside.test", peer="192.0.2.7")
                for _ in range(min(together, count - start))
            ]
            with transaction.atomic():
                stored = ingest.store(mails, now=timezone.now())
            at = time.monotonic()
            made.update((one.message_id, at) for one in stored)
        return made


def cpu() -> float:
    """Processor seconds of this process and of its children, live ones included."""
    from spool.queue import parsing

    return cpu_seconds({os.getpid(), *parsing.pool().pids()})


def sweep() -> int:
    from django.utils import timezone

    from spool.queue import parsing

    return parsing.sweep(now=timezone.now())


def drain() -> int:
    done = 0
    while found := sweep():
        done += found
    return done


def timed(count: int) -> tuple[float, float]:
    """(messages a second, messages a processor second) of working off `count` waiting messages."""
    began, used = time.monotonic(), cpu()
    done = drain()
    assert done == count, f"{done} of {count} read"
    return count / (time.monotonic() - began), count / (cpu() - used)


def rates(writer: Writer, rounds: int) -> dict[str, Any]:
    writer.store(200)
    drain()  # processes started, code warm
    walls, cores = [], []
    for _ in range(rounds):
        writer.store(ROUND)
        wall, core = timed(ROUND)
        walls.append(wall)
        cores.append(core)
    return {
        "case": "4k-read-indexed",
        "per_core": round(statistics.median(cores)),
        "wall": round(statistics.median(walls)),
        "spread": [[round(min(cores)), round(max(cores))], [round(min(walls)), round(max(walls))]],
        "rounds": rounds,
    }


def backlog(writer: Writer, count: int) -> dict[str, Any]:
    writer.store(count, together=200)
    wall, core = timed(count)
    return {"case": f"backlog-{count}", "per_core": round(core), "wall": round(wall), "seconds": round(count / wall, 1)}


def lag(writer: Writer, seconds: int) -> dict[str, Any]:
    """RATE messages a second are accepted by a thread while the worker sweeps every second, as its beat does."""
    from django.db import connection

    from spool.queue import parseresult, parsesweep

    accepted: dict[int, float] = {}
    found: dict[int, float] = {}
    over = threading.Event()
    real: Callable[..., int] = parseresult.store

    def store(batch: list[Any], **options: Any) -> int:
        done = real(batch, **options)
        found.update((one.message.pk, time.monotonic()) for one in batch)
        return done

    def feed() -> None:
        try:
            for tick in range(seconds * 10):
                due = began + tick / 10
                time.sleep(max(0.0, due - time.monotonic()))
                accepted.update(writer.store(RATE // 10, together=RATE // 10))
        finally:
            over.set()
            connection.close()

    parsesweep.store = store  # type: ignore[attr-defined]  # observed where it is called
    began = time.monotonic()
    feeder = threading.Thread(target=feed)
    feeder.start()
    while not over.is_set():
        sweep()
        over.wait(1 - (time.monotonic() - began) % 1)
    feeder.join()
    took = time.monotonic() - began
    drain()
    parsesweep.store = real  # type: ignore[attr-defined]
    waits = sorted(found[key] - at for key, at in accepted.items())
    return {
        "case": f"lag-at-{RATE}",
        "accepted_per_second": round(len(accepted) / took, 1),
        "median": round(statistics.median(waits), 2),
        "p95": round(waits[int(len(waits) * 0.95)], 2),
        "max": round(waits[-1], 2),
    }


def size(count: int) -> dict[str, Any]:
    """Octets a message takes in the index and in its own table; on SQLite without indexes and page overhead."""
    from django.db import connection

    if connection.vendor != "sqlite":
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_total_relation_size('spool_searchindex'), pg_total_relation_size('spool_message')"
            )
            index, rows = cursor.fetchone()
    else:
        with connection.cursor() as cursor:
            cursor.execute("SELECT sum(length(block)) FROM spool_searchindex_data")
            index = cursor.fetchone()[0]
            columns = " + ".join(f"length(c{number})" for number in range(6))
            cursor.execute(f"SELECT sum({columns}) FROM spool_searchindex_content")
            index += cursor.fetchone()[0]
            cursor.execute("SELECT sum(length(content)) FROM spool_message")
            rows = cursor.fetchone()[0]
    return {"case": "size", "index_per_message": round(index / count), "stored_per_message": round(rows / count)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backlog", type=int, default=20_000, help="messages; 0 leaves this case out")
    parser.add_argument("--seconds", type=int, default=20, help="of the lag case; 0 leaves it out")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--database", default="", help="an empty PostgreSQL database; its own CPU is not counted")
    parser.add_argument("--json", action="store_true", help="nothing but JSON (always so)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="einbox-bench-") as home:
        prepare(home, options.database)
        from spool.queue import parsing

        store = {"store": "postgresql" if options.database else "sqlite", "size": SIZE, "encryption": True}
        writer = Writer()
        cases: list[Callable[[], dict[str, Any]]] = []
        cases += [lambda: rates(writer, options.rounds)] if options.rounds else []
        cases += [lambda: lag(writer, options.seconds)] if options.seconds else []
        cases += [lambda: backlog(writer, options.backlog)] if options.backlog else []
        cases += [lambda: size(writer.number)]
        try:
            for case in cases:
                print(json.dumps(store | case()), flush=True)
        finally:
            parsing.stop()


if __name__ == "__main__":
    main()
