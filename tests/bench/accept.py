"""Accepting mail, einbox against Postfix with everything on hold: alternating rounds of smtp-source on loopback.

Prints one JSON row a case (docs: "Bench rows"). Only ratios of one run mean something. Ours is the product as it
runs: `manage.py smtpd` with recipient checks and encryption on; ingestion paused, for no worker runs.

    python -m tests.bench.accept [--case 4k-50-kept] [--rounds 5] [--database postgres://…]
"""

import argparse
import json
import os
import pwd
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.doubles.installation import free_port
from tests.waiting import wait_for

ROOT = Path(__file__).resolve().parents[2]
SOURCE = "/usr/sbin/smtp-source"
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Case:
    """`size` in octets; `kept`: sessions carry many messages."""

    name: str
    size: int
    sessions: int
    messages: int
    kept: bool = True
    recipients: int = 1


CASES = [
    Case("4k-50-kept", 4096, 50, 5000),
    Case("4k-50-perconn", 4096, 50, 2000, kept=False),
    Case("40k-50-kept", 40_960, 50, 2000),
    Case("1m-10-kept", 1_048_576, 10, 200),
    Case("4k-50rcpt", 4096, 20, 300, recipients=50),
]


def cpu_seconds(pids: set[int]) -> float:
    """User and system time of live processes with their reaped children."""
    total = 0.0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += sum(map(int, fields[11:15])) / TICKS
    return total


def descendants(pid: int) -> set[int]:
    found, waiting = {pid}, [pid]
    while waiting:
        parent = waiting.pop()
        for path in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                children = {int(child) for child in path.read_text().split()} - found
            except OSError:
                continue
            found |= children
            waiting += children
    return found


@dataclass
class Peer:
    """A running server: its port, its processes, and how to empty it."""

    port: int
    pid: int

    def cpu(self) -> float:
        return cpu_seconds(descendants(self.pid))


def run_source(case: Case, port: int) -> float:
    """Messages per second. Raises CalledProcessError if a mail is refused."""
    options = ["-s", str(case.sessions), "-m", str(case.messages), "-l", str(case.size)]
    options += ["-d"] if case.kept else []
    options += ["-r", str(case.recipients)] if case.recipients > 1 else []
    options += ["-f", "a@outside.test", "-t", "b@example.test", f"127.0.0.1:{port}"]
    began = time.monotonic()
    subprocess.run([SOURCE, *options], check=True, stdout=subprocess.DEVNULL)
    return case.messages / (time.monotonic() - began)


@contextmanager
def ours(home: Path, database: str) -> Iterator[Peer]:
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("EINBOX_", "DJANGO_"))} | {
        "EINBOX_HOME": str(home),
        "EINBOX_SMTP": f"127.0.0.1:{port}",
        "EINBOX_SMTPD_SESSIONS_PER_CLIENT": "1000",
        "EINBOX_LOG_LEVEL": "WARNING",
        "EINBOX_SECRET_KEY": "bench-only-" + "k" * 40,
        "EINBOX_FIELD_KEYS": "0badcafe:" + "A" * 43 + "=",
    }
    if database:
        environment["EINBOX_DATABASE_URL"] = database
    people = home / "people.csv"
    # smtp-source numbers its recipients: 1b@…, 2b@…
    people.write_text("address\n" + "".join(f"{n}b@example.test\n" for n in ["", *range(51)]))
    for command in ("migrate -v0", "domain add example.test --primary 127.0.0.1:9", f"mailbox import {people}"):
        subprocess.run([sys.executable, "manage.py", *command.split()], cwd=ROOT, env=environment, check=True,
                       stdout=subprocess.DEVNULL)  # fmt: skip
    process = subprocess.Popen([sys.executable, "manage.py", "smtpd"], cwd=ROOT, env=environment)
    try:
        wait_for_port(port)
        yield Peer(port, process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


@contextmanager
def postfix(home: Path) -> Iterator[Peer]:
    """A private Postfix: all mail on hold, no lookups, no limits, no log. Generous to it."""
    etc, queue, data, port = home / "etc", home / "queue", home / "data", free_port()
    for folder in (etc, queue, data):
        folder.mkdir(parents=True)
    home.chmod(0o755)
    owner = pwd.getpwnam("postfix")
    os.chown(data, owner.pw_uid, owner.pw_gid)
    shutil.copy("/etc/postfix/master.cf", etc / "master.cf")
    master = (etc / "master.cf").read_text().splitlines()
    lines = [f"127.0.0.1:{port} inet n - n - 300 smtpd" if line.startswith("smtp ") and "inet" in line else line
             for line in master]  # fmt: skip
    (etc / "master.cf").write_text("\n".join(lines) + "\n")
    (etc / "main.cf").write_text(
        f"queue_directory = {queue}\ndata_directory = {data}\ncommand_directory = /usr/sbin\n"
        "daemon_directory = /usr/lib/postfix/sbin\nmail_owner = postfix\nsetgid_group = postdrop\n"
        "compatibility_level = 3.6\nmyhostname = pf.test\nmydestination =\nmynetworks = 127.0.0.0/8\n"
        "relay_domains = example.test\nrelay_recipient_maps =\nalias_maps =\nlocal_recipient_maps =\n"
        "smtpd_recipient_restrictions = permit_mynetworks\nsmtpd_client_restrictions = static:HOLD\n"
        "smtpd_client_connection_count_limit = 0\nsmtpd_client_connection_rate_limit = 0\n"
        "smtpd_client_event_limit_exceptions = 127.0.0.0/8\nsmtpd_peername_lookup = no\n"
        "in_flow_delay = 0\ndefault_process_limit = 300\nmax_use = 10000\nmessage_size_limit = 52428800\n"
        "smtpd_tls_security_level = none\ninet_interfaces = 127.0.0.1\ninet_protocols = ipv4\n"
        f"maillog_file = {home}/log\nmaillog_file_prefixes = {home}\nsyslog_name = bench\n"
    )
    subprocess.run(["/usr/sbin/postfix", "-c", str(etc), "start"], check=True, stderr=subprocess.DEVNULL)
    try:
        wait_for_port(port)
        yield Peer(port, int((queue / "pid/master.pid").read_text()))
    finally:
        subprocess.run(["/usr/sbin/postfix", "-c", str(etc), "stop"], check=False, stderr=subprocess.DEVNULL)


def wait_for_port(port: int) -> None:
    def listening() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            return False
        return True

    wait_for(listening, 30, what=f"a server on port {port}")


def measure(case: Case, mine: Peer, theirs: Peer, rounds: int) -> dict[str, object]:
    """Alternate A B A B; medians, spread, ratios."""
    rates: dict[int, list[float]] = {mine.port: [], theirs.port: []}
    costs: dict[int, list[float]] = {mine.port: [], theirs.port: []}
    for _ in range(rounds):
        for peer in (mine, theirs):
            before = peer.cpu()
            rates[peer.port].append(run_source(case, peer.port))
            costs[peer.port].append(peer.cpu() - before)
    our, their = statistics.median(rates[mine.port]), statistics.median(rates[theirs.port])
    our_cpu, their_cpu = statistics.median(costs[mine.port]), statistics.median(costs[theirs.port])
    return {
        "case": case.name,
        "peer": "postfix-hold",
        "ours": round(our, 1),
        "theirs": round(their, 1),
        "spread": [[round(min(rates[port])), round(max(rates[port]))] for port in (mine.port, theirs.port)],
        "ratio": round(our / their, 2),
        "cpu_ratio": round(our_cpu / their_cpu, 3) if their_cpu else None,
        "cpu_ms": [round(1000 * our_cpu / case.messages, 3), round(1000 * their_cpu / case.messages, 3)],
        "rounds": rounds,
        "encryption": True,
        "ingestion": "paused",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", choices=[case.name for case in CASES], action="append")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--database", default="", help="an empty PostgreSQL database; its own CPU is not counted")
    parser.add_argument("--json", action="store_true", help="nothing but JSON (always so)")
    options = parser.parse_args()
    if not Path(SOURCE).exists():
        sys.exit("tests.bench.accept needs smtp-source, which comes with Postfix.")
    with tempfile.TemporaryDirectory(prefix="einbox-bench-") as folder:
        home = Path(folder)
        home.chmod(0o755)
        (home / "ours").mkdir()
        with ours(home / "ours", options.database) as mine, postfix(home / "postfix") as theirs:
            for case in CASES:
                if not options.case or case.name in options.case:
                    row = measure(case, mine, theirs, options.rounds)
                    store = "postgresql" if options.database else "sqlite"
                    print(json.dumps({"store": store, **row}), flush=True)


if __name__ == "__main__":
    main()
