"""Accepting mail durably, einbox against other servers: alternating rounds of smtp-source on loopback.

Prints one JSON row a case, store and peer. Only ratios of one run mean something; `cpu_ratio` compares the CPU time
per message of the whole process trees, a PostgreSQL of ours included.

    python -m tests.bench accept [--case 4k-50-kept] [--store sqlite] [--peer postfix-hold] [--rounds 5]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench import peers, product, slowdisk
from tests.bench.processes import Peer

SOURCE = "/usr/sbin/smtp-source"
SOURCE_SECONDS = 120


@dataclass(frozen=True)
class Case:
    """`size` in octets; `kept`: sessions carry many messages; `slow`: on the disk of tests.bench.slowdisk."""

    name: str
    size: int
    sessions: int
    messages: int
    kept: bool = True
    recipients: int = 1
    slow: bool = False
    memory: bool = False


CASES = [
    Case("4k-50-kept", 4096, 50, 5000),
    Case("4k-50-perconn", 4096, 50, 2000, kept=False),
    Case("40k-50-kept", 40_960, 50, 2000),
    Case("1m-10-kept", 1_048_576, 10, 400),
    Case("4k-50rcpt", 4096, 20, 300, recipients=50),
    Case("4k-200-kept", 4096, 200, 5000, memory=True),
    Case("slow-10", 4096, 10, 1000, slow=True),
    Case("slow-50", 4096, 50, 2500, slow=True),
    Case("slow-200", 4096, 200, 5000, slow=True),
]


def run_source(case: Case, port: int) -> float:
    """Messages per second. Raises CalledProcessError if a mail is refused, or if it takes too long."""
    options = ["-s", str(case.sessions), "-m", str(case.messages), "-l", str(case.size)]
    options += ["-d"] if case.kept else []
    options += ["-r", str(case.recipients)] if case.recipients > 1 else []
    options += ["-f", "a@outside.test", "-t", "b@example.test", f"127.0.0.1:{port}"]
    began = time.monotonic()
    # timeout(1): Python looks only every 50 ms whether a process with a time limit has ended, here up to 5 % of a run.
    subprocess.run(["timeout", str(SOURCE_SECONDS), SOURCE, *options], check=True, stdout=subprocess.DEVNULL)
    return case.messages / (time.monotonic() - began)


class Watch(threading.Thread):
    """The largest memory of a peer while it works, looked at every 50 ms."""

    def __init__(self, peer: Peer) -> None:
        super().__init__(daemon=True)
        self.peer, self.largest, self._ended = peer, 0, threading.Event()

    def run(self) -> None:
        while not self._ended.wait(0.05):
            self.largest = max(self.largest, self.peer.pss())

    def end(self) -> int:
        self._ended.set()
        self.join()
        return self.largest


def one_round(case: Case, peer: Peer) -> tuple[float, float, int]:
    """(messages a second, CPU ms a message, largest memory in octets if the case asks for it)."""
    watch = Watch(peer) if case.memory else None
    if watch:
        watch.start()
    before = peer.cpu()
    rate = run_source(case, peer.port)
    cost = 1000 * (peer.cpu() - before) / case.messages
    return rate, cost, watch.end() if watch else 0


def measure(case: Case, mine: Peer, theirs: Peer, rounds: int) -> dict[str, object]:
    """Alternate A B A B; medians, spread, ratios."""
    results: dict[str, list[tuple[float, float, int]]] = {"ours": [], "theirs": []}
    for _ in range(rounds):
        results["ours"].append(one_round(case, mine))
        results["theirs"].append(one_round(case, theirs))
    rates = {side: [rate for rate, _cost, _memory in rows] for side, rows in results.items()}
    costs = {side: statistics.median(cost for _rate, cost, _memory in rows) for side, rows in results.items()}
    ours, other = (statistics.median(rates[side]) for side in ("ours", "theirs"))
    row = {
        "peer": theirs.name,
        "ours": round(ours, 1),
        "theirs": round(other, 1),
        "spread": {side: [round(min(values)), round(max(values))] for side, values in rates.items()},
        "ratio": round(ours / other, 2),
        "cpu_ratio": round(costs["ours"] / costs["theirs"], 3) if costs["theirs"] else None,
        "cpu_ms": {side: round(cost, 3) for side, cost in costs.items()},
        "rounds": rounds,
        "encryption": True,
        "ingestion": "paused",
    }
    if case.memory:
        memory = {side: statistics.median(octets for _rate, _cost, octets in rows) for side, rows in results.items()}
        row["pss_mib"] = {side: round(octets / 2**20) for side, octets in memory.items()}
        row["pss_ratio"] = round(memory["ours"] / memory["theirs"], 2)
    return row


@contextmanager
def servers(home: Path, store_name: str, peer: str, preload: Path | None) -> Iterator[tuple[Peer, Peer]]:
    with ExitStack() as stack:
        store = stack.enter_context(product.stored(store_name, preload))
        mine = stack.enter_context(product.einbox(home / "ours", store, preload))
        yield mine, stack.enter_context(peers.available()[peer](home / peer, preload))


def rows(options: argparse.Namespace) -> Iterator[dict[str, object]]:
    cases = [case for case in CASES if not options.case or case.name in options.case]
    for slow in sorted({case.slow for case in cases}):
        for store in options.store:
            for peer in options.peer:
                yield from _rows_of([case for case in cases if case.slow is slow], store, peer, options.rounds)


def _rows_of(cases: list[Case], store: str, peer: str, rounds: int) -> Iterator[dict[str, object]]:
    with tempfile.TemporaryDirectory(prefix="einbox-bench-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        home.chmod(0o755)
        preload = slowdisk.build(home) if cases[0].slow else None
        if cases[0].slow and preload is None:
            print("slow-*: no C compiler, not measured", file=sys.stderr)
            return
        with servers(home, store, peer, preload) as (mine, theirs):
            for case in cases:
                yield {"case": case.name, "store": store, **measure(case, mine, theirs, rounds)}


def main() -> None:
    found = list(peers.available())
    stores = product.stores()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", choices=[case.name for case in CASES], action="append")
    parser.add_argument("--store", choices=stores, action="append")
    parser.add_argument("--peer", choices=found, action="append", help="default: postfix-hold")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="nothing but JSON (always so)")
    options = parser.parse_args()
    if not Path(SOURCE).exists() or "postfix-hold" not in found:
        sys.exit("tests.bench accept needs smtp-source and Postfix.")
    options.store = options.store or stores
    options.peer = options.peer or ["postfix-hold"]
    os.environ["LC_ALL"] = "C.UTF-8"
    for row in rows(options):
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
