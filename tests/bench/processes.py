"""What processes cost: CPU seconds and memory, alone or of a server's whole tree, from /proc. Starts nothing."""

import os
import socket
from dataclasses import dataclass, field
from pathlib import Path

from tests.waiting import wait_for

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Peer:
    """A running server: its name, its port and the roots of its process trees (a database of its own included)."""

    name: str
    port: int
    pids: list[int] = field(default_factory=list)

    def cpu(self) -> float:
        return cpu_seconds(self.tree())

    def pss(self) -> int:
        """Octets of memory, shared pages counted in parts."""
        return sum(map(pss_of, self.tree()))

    def tree(self) -> set[int]:
        return set().union(*map(descendants, self.pids))


def cpu_seconds(pids: set[int]) -> float:
    """User and system seconds so far, reaped children included; nothing for a process that is gone."""
    total = 0.0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += sum(map(int, fields[11:15])) / TICKS
    return total


def pss_of(pid: int) -> int:
    """Octets of proportional set size; 0 for a process that is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def pss_of_tree(pid: int) -> int:
    """The same of a process with all that came of it."""
    return sum(map(pss_of, descendants(pid)))


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


def wait_for_port(port: int) -> None:
    def listening() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            return False
        return True

    wait_for(listening, 30, what=f"a server on port {port}")
