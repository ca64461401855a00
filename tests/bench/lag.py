"""How long new mail waits from its 250 until it can be read and found, while mail keeps coming.

Prints one JSON row a store: seconds. smtpd and the worker with its clock run as in production; mail of 4 KB comes at a
steady rate over kept sessions. Text and index row are stored in one transaction with the state, so the state tells of
all three; it is looked at every LOOK_SECONDS, which the figures include.

    python -m tests.bench lag [--store sqlite] [--rate 200] [--seconds 60]
"""

import argparse
import json
import os
import signal
import smtplib
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.bench import product
from tests.bench.mails import SIZE, Mails
from tests.bench.processes import Peer

SESSIONS = 10
LOOK_SECONDS = 0.05
PATIENCE = 60  # seconds for what is still unread when the last mail was accepted
TARGET = 2.0  # seconds, p95


@contextmanager
def worker(environment: dict[str, str]) -> Iterator[Peer]:
    process = subprocess.Popen(
        [sys.executable, "manage.py", "worker"], cwd=product.ROOT, env=environment, stdout=sys.stderr
    )
    try:
        yield Peer("worker", 0, [process.pid])
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(product.STOP_SECONDS)


class Sender(threading.Thread):
    """One kept session that sends `mails`, one every `pause` seconds; `accepted` holds the moment of each 250."""

    def __init__(self, port: int, mails: dict[int, bytes], begin: float, pause: float) -> None:
        super().__init__()
        self.port, self.mails, self.begin, self.pause = port, mails, begin, pause
        self.accepted: dict[str, float] = {}

    def run(self) -> None:
        with smtplib.SMTP("127.0.0.1", self.port, timeout=30) as session:
            session.ehlo("bench.test")
            for turn, (number, mail) in enumerate(self.mails.items()):
                time.sleep(max(0.0, self.begin + turn * self.pause - time.monotonic()))
                session.mail("e@outside.test")
                session.rcpt("b@example.test")
                code, said = session.data(mail)
                if code != 250:
                    raise RuntimeError(f"not accepted: {code} {said!r}")
                self.accepted[f"{number}@outside.test"] = time.monotonic()


def senders(port: int, make: Mails, rate: int, seconds: int) -> list[Sender]:
    shares: list[dict[int, bytes]] = [{} for _ in range(SESSIONS)]
    for _ in range(rate * seconds):
        mail = make()
        shares[make.number % SESSIONS][make.number] = mail
    begin, pause = time.monotonic() + 0.5, SESSIONS / rate
    return [Sender(port, share, begin + n * pause / SESSIONS, pause) for n, share in enumerate(shares)]


class Watch:
    """When messages stopped waiting, by their Message-ID."""

    def __init__(self) -> None:
        self.waiting: set[str] = set()
        self.found: dict[str, float] = {}

    def look(self) -> int:
        from spool.models import Message

        rows = Message.objects.filter(parse_state="pending").values_list("message_id", flat=True)
        now = set(rows)
        at = time.monotonic()
        self.found |= dict.fromkeys(self.waiting - now, at)
        self.waiting = now
        return len(now)


def findable(word: str) -> int:
    """How many messages the index finds for `word`."""
    from spool.mime.terms import question
    from spool.models import Message
    from spool.queue import searchindex

    return Message.objects.filter(pk__in=searchindex.matching(question(f"{word} "))).count()


def waits(port: int, make: Mails, rate: int, seconds: int) -> tuple[list[float], float]:
    """(seconds each message waited, messages accepted a second)."""
    running = senders(port, make, rate, seconds)
    watch = Watch()
    began = time.monotonic()
    for sender in running:
        sender.start()
    while any(sender.is_alive() for sender in running):
        watch.look()
        time.sleep(LOOK_SECONDS)
    took = time.monotonic() - began
    until = time.monotonic() + PATIENCE
    while watch.look() and time.monotonic() < until:
        time.sleep(LOOK_SECONDS)
    accepted = {name: at for sender in running for name, at in sender.accepted.items()}
    if watch.waiting or findable("Figures") < len(accepted):
        raise RuntimeError("some mail was not read, or is not found")
    # Read between two looks: it waited less than one.
    values = [watch.found.get(name, at + LOOK_SECONDS) - at for name, at in accepted.items()]
    return sorted(max(0.0, one) for one in values), len(accepted) / took


def measure(store_name: str, rate: int, seconds: int) -> dict[str, object]:
    with product.place(store_name) as (home, store), product.einbox(home / "ours", store) as server:
        environment = product.environment(home / "ours", store, server.port)
        os.environ |= environment | {"DJANGO_SETTINGS_MODULE": "einbox.settings"}
        import django

        django.setup()
        with worker(environment) as reader:
            make = Mails()
            waits(server.port, make, SESSIONS, 1)  # until the worker is there: its start is no lag
            used = reader.cpu()
            values, accepted = waits(server.port, make, rate, seconds)
            used = reader.cpu() - used
        return {
            "case": f"lag-at-{rate}",
            "store": store.name,
            "size": SIZE,
            "messages": len(values),
            "accepted_per_second": round(accepted, 1),
            "median": round(statistics.median(values), 2),
            "p95": round(values[int(len(values) * 0.95)], 2),
            "max": round(values[-1], 2),
            "target_p95": TARGET,
            "worker_cpu_ms": round(1000 * used / len(values), 2),
        }


def main() -> None:
    stores = product.stores()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", choices=stores, default="sqlite")
    parser.add_argument("--rate", type=int, default=200, help="messages accepted a second")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--json", action="store_true", help="nothing but JSON (always so)")
    options = parser.parse_args()
    print(json.dumps(measure(options.store, options.rate, options.seconds)), flush=True)


if __name__ == "__main__":
    main()
