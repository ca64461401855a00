"""A good client beside ten hostile ones: how long its mail waits for the 250, in turns with them and without.

Prints one JSON row a store: milliseconds from connecting to the 250, a connection for each mail, ten mails a second.
The turns alternate in one run. smtpd has the limits it has by default; the attackers are tests.bench.attackers.

    python -m tests.bench hostile [--store sqlite] [--seconds 60] [--turns 3] [--attacker flood]
"""

import argparse
import json
import smtplib
import statistics
import time
from collections import Counter
from collections.abc import Sequence

from tests.bench import product
from tests.bench.attackers import NAMES, SESSIONS, attacked
from tests.bench.mails import Mails
from tests.bench.processes import Peer
from tests.spool.smtp.certificates import make_certificate

EVERY = 0.1  # seconds between two mails
TARGET = 2.0  # times the p95 without attackers


class Good:
    """The good client; `refused` counts what did not end with a 250, by its reason."""

    def __init__(self, port: int) -> None:
        self.port, self.mails = port, Mails()
        self.refused: Counter[str] = Counter()

    def one(self) -> float:
        """Milliseconds."""
        mail = self.mails()
        began = time.monotonic()
        try:
            with smtplib.SMTP("127.0.0.1", self.port, "good.test", timeout=30) as session:
                session.sendmail("e@outside.test", ["b@example.test"], mail)
                return (time.monotonic() - began) * 1000
        except (OSError, smtplib.SMTPException) as error:
            self.refused[str(error)[:80]] += 1
            return (time.monotonic() - began) * 1000

    def turn(self, seconds: float) -> list[float]:
        took, begin = [], time.monotonic()
        for turn in range(int(seconds / EVERY)):
            time.sleep(max(0.0, begin + turn * EVERY - time.monotonic()))
            took.append(self.one())
        return took


def turns(server: Peer, seconds: float, count: int, names: Sequence[str]) -> dict[str, object]:
    good = Good(server.port)
    good.turn(1)
    idle: list[float] = []
    beside: list[float] = []
    connections: Counter[str] = Counter()
    memory = 0
    for _ in range(count):
        idle += good.turn(seconds / count)
        with attacked(server.port, names) as made:
            beside += good.turn(seconds / count)
            memory = max(memory, server.pss())
        connections += made
    quiet, noisy = p95(idle), p95(beside)
    return {
        "idle_ms": {"median": round(statistics.median(idle), 2), "p95": round(quiet, 2)},
        "hostile_ms": {"median": round(statistics.median(beside), 2), "p95": round(noisy, 2)},
        "ratio_p95": round(noisy / quiet, 2),
        "target_ratio": TARGET,
        "mails": len(idle) + len(beside),
        "refused": good.refused.total(),
        "reasons": dict(good.refused),
        "pss_mib": round(memory / 2**20),
        "hostile_connections": dict(connections),
    }


def p95(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.95)]


def measure(store_name: str, options: argparse.Namespace) -> dict[str, object]:
    with product.place(store_name) as (home, store):
        certificate, key = make_certificate(home)
        extra = {
            "EINBOX_SMTP_CERT": str(certificate),
            "EINBOX_SMTP_KEY": str(key),
            "EINBOX_SMTPD_SESSIONS_PER_CLIENT": str(SESSIONS),
            "EINBOX_LOG_LEVEL": "ERROR",
        }
        names = options.attacker or NAMES
        with product.einbox(home / "ours", store, None, **extra) as server:
            return {"case": "hostile", "store": store.name, **turns(server, options.seconds, options.turns, names)}


def main() -> None:
    stores = product.stores()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", choices=stores, action="append")
    parser.add_argument("--seconds", type=float, default=60, help="of each kind")
    parser.add_argument("--turns", type=int, default=3, help="of each kind, alternating")
    parser.add_argument("--attacker", choices=NAMES, action="append", help="default: all ten")
    parser.add_argument("--json", action="store_true", help="nothing but JSON (always so)")
    options = parser.parse_args()
    for store in options.store or stores:
        print(json.dumps(measure(store, options)), flush=True)


if __name__ == "__main__":
    main()
