"""Ten hostile SMTP clients, each at a loopback address of its own. Loopback only; they end with the block.

A process of its own at the lowest priority, each client on a line of LINE: elsewhere they would have neither the
server's processor nor the speed of its memory, only its time.
"""

import json
import os
import random
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SESSIONS = 50  # of one client; the server's limit
BLOCK = b"x" * 2**16
LINE = 100 * 10**6 / 8  # octets a second: 100 Mbit/s each, together the gigabit of a good uplink
LARGE = 5 * 2**20  # octets
RECIPIENT = b"b@example.test"
BEGIN = b"EHLO attacker.test\r\n"
ENVELOPE = b"MAIL FROM:<a@outside.test>\r\nRCPT TO:<" + RECIPIENT + b">\r\n"
# ip(7): the port is chosen with the connection. Else 50,000 connections take every port from the good client, too.
IP_BIND_ADDRESS_NO_PORT = 24
PAUSE = 0.2  # seconds between two slow steps, and before a client that was sent away comes again

over = threading.Event()
done: Counter[str] = Counter()  # what each attacker did, by its name


def connect(port: int, number: int) -> socket.socket:
    made = socket.socket()
    try:
        made.settimeout(5)
        made.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        made.bind((f"127.0.1.{number}", 0))
        made.connect(("127.0.0.1", port))
        made.recv(4096)
    except OSError:
        made.close()
        raise
    return made


def push(made: socket.socket, octets: bytes) -> None:
    """Send as fast as the line is."""
    for start in range(0, len(octets), len(BLOCK)):
        block = octets[start : start + len(BLOCK)]
        made.sendall(block)
        over.wait(len(block) / LINE)


def say(made: socket.socket, octets: bytes) -> bytes:
    made.sendall(octets)
    return made.recv(2**16)


def start_data(made: socket.socket) -> None:
    say(made, BEGIN)
    made.sendall(ENVELOPE)
    made.recv(4096)
    say(made, b"DATA\r\n")


# --- one connection after another: each says what it does to a fresh one ---------------------------------------
def flood(made: socket.socket) -> None:
    """Commands without a line end."""
    while not over.is_set():
        push(made, BLOCK)


def flood_data(made: socket.socket) -> None:
    """A message without a line end."""
    start_data(made)
    flood(made)


def garbage(made: socket.socket) -> None:
    """Pipelined lines of any octets."""
    dice = random.Random(1)
    lines = b"".join(dice.randbytes(dice.randint(1, 60)).replace(b"\n", b"") + b"\r\n" for _ in range(500))
    while not over.is_set():
        push(made, lines)


def harvest(made: socket.socket) -> None:
    """Names, as many as may be asked for."""
    say(made, BEGIN)
    say(made, b"MAIL FROM:<a@outside.test>\r\n")
    while not over.is_set():
        names = (b"RCPT TO:<name%d@example.test>\r\n" % random.getrandbits(40) for _ in range(100))
        if not say(made, b"".join(names)):
            return


def half_data(made: socket.socket) -> None:
    """Half a message, then gone."""
    start_data(made)
    push(made, b"0123456789\r\n" * 10_000)


def large(made: socket.socket) -> None:
    """Mail of 5 MiB that the server has to keep."""
    start_data(made)
    push(made, (b"y" * 62 + b"\r\n") * (LARGE // 64))
    say(made, b".\r\n")


def hello_only(made: socket.socket) -> None:
    """Connect, say EHLO, leave."""
    say(made, BEGIN)


# --- many connections that hold their places ---------------------------------------------------------------------
def trickle(made: socket.socket) -> None:
    made.sendall(b"x")


def hang(_made: socket.socket) -> None:
    """Nothing at all."""


def stall_tls(made: socket.socket) -> None:
    say(made, BEGIN)
    say(made, b"STARTTLS\r\n")
    made.sendall(b"\x16\x03\x01\x02\x00\x01")  # the beginning of a ClientHello


def again(name: str, port: int, number: int, act: Callable[[socket.socket], None]) -> None:
    while not over.is_set():
        try:
            with connect(port, number) as made:
                done[name] += 1
                act(made)
        except OSError:
            over.wait(PAUSE)


def hold(
    name: str, port: int, number: int, first: Callable[[socket.socket], None], then: Callable[[socket.socket], None]
) -> None:
    held: list[socket.socket] = []
    while not over.wait(PAUSE):
        with suppress(OSError):
            while len(held) < SESSIONS and not over.is_set():
                made = connect(port, number)
                held.append(made)
                done[name] += 1
                first(made)
        kept = []
        for made in held:
            try:
                then(made)
                kept.append(made)
            except OSError:
                made.close()
        held = kept


ONE_BY_ONE = {act.__name__: act for act in (flood, flood_data, garbage, harvest, half_data, large, hello_only)}
HELD = {"slow_data": (start_data, trickle), "hang": (hang, hang), "stall_tls": (stall_tls, hang)}
NAMES = [*ONE_BY_ONE, *HELD]


def attacker(name: str, port: int) -> Callable[[], None]:
    number = 10 + NAMES.index(name)
    if name in HELD:
        return partial(hold, name, port, number, *HELD[name])
    return partial(again, name, port, number, ONE_BY_ONE[name])


def attack(port: int, names: Sequence[str]) -> None:
    """Until standard input ends; then says what was done."""
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))  # whatever the measurement was given
    os.nice(19)
    for name in names:
        threading.Thread(target=attacker(name, port), daemon=True).start()
    sys.stdin.read()
    over.set()
    print(json.dumps(done), flush=True)
    os._exit(0)


@contextmanager
def attacked(port: int, names: Sequence[str]) -> Iterator[Counter[str]]:
    """These attackers at work; after the block, how many connections each made."""
    command = [sys.executable, "-c", f"from tests.bench.attackers import attack; attack({port}, {[*names]})"]
    pipe = subprocess.PIPE
    made: Counter[str] = Counter()
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield made
        finally:
            said, _ = process.communicate(timeout=30)
            made.update(json.loads(said))
