"""Reading and indexing accepted mail: how fast a backlog is worked off, at what cost, and what it takes on disk.

Prints one JSON row a case. Mail of 4 KB is stored through ingest, read by the product's own sweep with its killable
processes, encryption on, index on. `per_core` counts the processor time of the worker, of its reading processes and,
on PostgreSQL, of the whole server, a private one. `pss_mib` is the memory of the worker and its reading processes in
each quarter of a backlog. How long new mail waits is measured by tests.bench.lag.

    python -m tests.bench ingest [--store sqlite] [--rounds 5] [--backlog 20000]
"""

import argparse
import json
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.bench import product
from tests.bench.mails import SIZE, Mails
from tests.bench.processes import Peer

ROUND = 2_000  # messages of one timed round
LOOK_SECONDS = 1.0  # between two looks at the memory


def prepare(home: Path, store: product.Store) -> None:
    """Settings as a production process would find them, and an empty database."""
    for name in [name for name in os.environ if name.startswith(("EINBOX_", "DJANGO_"))]:
        del os.environ[name]
    os.environ |= {"DJANGO_SETTINGS_MODULE": "einbox.settings", "EINBOX_HOME": str(home), **product.SETTINGS}
    if store.url:
        os.environ["EINBOX_DATABASE_URL"] = store.url
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)


class Writer:
    """Stores mail for one mailbox."""

    def __init__(self, *, alternative: bool) -> None:
        from tests.factories.spool import make_mailbox

        self.mailbox = make_mailbox()
        self.mail = Mails(alternative=alternative)

    def store(self, count: int, *, together: int = 50) -> None:
        from django.db import transaction
        from django.utils import timezone

        from spool.queue import ingest
        from spool.queue.ingest import Incoming, Recipient

        box = self.mailbox
        to = (Recipient(box.address, box.domain.route_id, mailbox_id=box.pk, visible=True),)
        for start in range(0, count, together):
            mails = [
                Incoming(raw=self.mail(), recipients=to, reverse_path="e@outside.test", peer="192.0.2.7")
                for _ in range(min(together, count - start))
            ]
            with transaction.atomic():
                ingest.store(mails, now=timezone.now())


def drain() -> int:
    from django.utils import timezone

    from spool.queue import parsing

    done = 0
    while found := parsing.sweep(now=timezone.now()):
        done += found
    return done


def timed(count: int, tree: Peer) -> tuple[float, float]:
    """(messages a second, messages a processor second) of working off `count` waiting messages."""
    began, used = time.monotonic(), tree.cpu()
    done = drain()
    assert done == count, f"{done} of {count} read"
    return count / (time.monotonic() - began), count / (tree.cpu() - used)


def rates(writer: Writer, tree: Peer, rounds: int) -> dict[str, Any]:
    writer.store(200)
    drain()  # processes started, code warm
    walls, cores = [], []
    for _ in range(rounds):
        writer.store(ROUND)
        wall, core = timed(ROUND, tree)
        walls.append(wall)
        cores.append(core)
    return {
        "case": "4k-read-indexed",
        "per_core": round(statistics.median(cores)),
        "wall": round(statistics.median(walls)),
        "spread": [[round(min(cores)), round(max(cores))], [round(min(walls)), round(max(walls))]],
        "rounds": rounds,
    }


@contextmanager
def memory(tree: Peer) -> Iterator[list[int]]:
    """MiB of the tree's memory, every LOOK_SECONDS while the block runs."""
    seen: list[int] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(LOOK_SECONDS):
            seen.append(tree.pss() >> 20)

    watch = threading.Thread(target=look)
    watch.start()
    try:
        yield seen
    finally:
        over.set()
        watch.join()


def quarters(values: list[int]) -> list[int]:
    """The largest value of each quarter."""
    step = max(1, len(values) // 4)
    return [max(values[start : start + step]) for start in range(0, step * 4, step) if values[start:]]


def backlog(writer: Writer, tree: Peer, count: int) -> dict[str, Any]:
    writer.store(count, together=200)
    with memory(Peer("worker", 0, [os.getpid()])) as seen:
        wall, core = timed(count, tree)
    return {
        "case": f"backlog-{count}",
        "per_core": round(core),
        "wall": round(wall),
        "seconds": round(count / wall, 1),
        "pss_mib": quarters(seen),
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


def measure(options: argparse.Namespace, home: Path, store: product.Store) -> None:
    prepare(home / "ours", store)
    from spool.queue import parsing

    writer = Writer(alternative=options.alternative)
    tree = Peer("worker", 0, [os.getpid(), *store.pids])
    cases: list[Callable[[], dict[str, Any]]] = []
    cases += [lambda: rates(writer, tree, options.rounds)] if options.rounds else []
    cases += [lambda: backlog(writer, tree, options.backlog)] if options.backlog else []
    cases += [lambda: size(writer.mail.number)]
    try:
        for case in cases:
            print(json.dumps({"store": store.name, "size": SIZE, "encryption": True} | case()), flush=True)
    finally:
        parsing.stop()


def main() -> None:
    stores = product.stores()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", choices=stores, default="sqlite")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--backlog", type=int, default=20_000, help="messages; 0 leaves this case out")
    parser.add_argument("--alternative", action="store_true", help="plain text and HTML, each with own words")
    parser.add_argument("--json", action="store_true", help="nothing but JSON (always so)")
    options = parser.parse_args()
    with product.place(options.store) as (home, store):
        (home / "ours").mkdir()
        measure(options, home, store)


if __name__ == "__main__":
    main()
