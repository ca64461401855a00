"""What intake at full speed costs its neighbours: the waits of another process that writes one row at a time.

Prints one JSON row a store: milliseconds of each write's transaction while smtp-source keeps 50 sessions busy.

    python -m tests.bench foreign [--store sqlite] [--messages 10000]
"""

import argparse
import json
import statistics
import subprocess
import sys
import threading
from collections.abc import Callable

from tests.bench import product
from tests.bench.accept import Case, run_source

# One row, one transaction, as a page's would be; 10 ms between two, so that the writer itself is no load.
WRITER = """
import select, sys, time
import django
django.setup()
from django.db import transaction
from django.utils import timezone
from spool.models import Heartbeat
Heartbeat.objects.update_or_create(name="bench", defaults={"service": "bench", "at": timezone.now()})
print("ready", flush=True)
sys.stdin.readline()
while not select.select([sys.stdin], [], [], 0.01)[0]:
    began = time.perf_counter()
    with transaction.atomic():
        Heartbeat.objects.update_or_create(name="bench", defaults={"service": "bench", "at": timezone.now()})
    print((time.perf_counter() - began) * 1000, flush=True)
"""
TARGET = 20  # ms, p95


def waits(environment: dict[str, str], *, load: Callable[[], float]) -> tuple[list[float], float]:
    """(sorted milliseconds of the foreign writes during `load`, what `load` returned)."""
    settings = environment | {"DJANGO_SETTINGS_MODULE": "einbox.settings"}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", WRITER], cwd=product.ROOT, env=settings, stdin=pipe, stdout=pipe, text=True
    ) as writer:
        if writer.stdin is None or writer.stdout is None or writer.stdout.readline() != "ready\n":
            raise RuntimeError("the writer did not start")
        lines: list[str] = []
        reader = threading.Thread(target=lambda: lines.extend(writer.stdout or ()))
        writer.stdin.write("go\n")
        writer.stdin.flush()
        reader.start()
        rate = load()
        writer.stdin.close()  # the end of its input ends it
        reader.join(30)
    return sorted(map(float, lines)), rate


def measure(store_name: str, messages: int) -> dict[str, object]:
    case = Case("4k-50-kept", 4096, 50, messages)
    with product.place(store_name) as (home, store), product.einbox(home / "ours", store) as server:
        environment = product.environment(home / "ours", store, server.port)
        took, rate = waits(environment, load=lambda: run_source(case, server.port))
    return {
        "case": "foreign-write",
        "store": store_name,
        "writes": len(took),
        "median_ms": round(statistics.median(took), 2),
        "p95_ms": round(took[int(len(took) * 0.95)], 2),
        "max_ms": round(took[-1], 2),
        "target_p95_ms": TARGET,
        "accepted_per_second": round(rate, 1),
    }


def main() -> None:
    stores = product.stores()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", choices=stores, action="append")
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--json", action="store_true", help="nothing but JSON (always so)")
    options = parser.parse_args()
    for store in options.store or stores:
        print(json.dumps(measure(store, options.messages)), flush=True)


if __name__ == "__main__":
    main()
