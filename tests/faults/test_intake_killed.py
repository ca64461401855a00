"""smtpd or its writer is killed at each of six failpoints while several senders send; their ledgers must balance (F1).

SOAK_KILLS says how often at each point (`make soak`: 200); the test suite does it five times.
"""

import os
import random
import time
from contextlib import closing
from pathlib import Path

import pytest

from spool.models import Delivery, Mailbox, MergedAcceptance, Message
from tests.doubles.smtpd import SmtpdProcess, killed_at
from tests.doubles.smtpd_forks import SmtpdForks
from tests.faults.senders import Senders

pytestmark = [pytest.mark.slow, pytest.mark.untraced]

POINTS = ("after_mail", "mid_data", "after_dot", "after_write", "after_commit", "after_reply")
KILLS = int(os.environ.get("SOAK_KILLS") or (200 if os.environ.get("SOAK") == "1" else 5))
SENDERS = 5
MOST = 40  # mails of each sender for one life of the server


def _sent_until_it_ends(senders: Senders, forks: SmtpdForks, port: int) -> int | None:
    """Send, and again to whoever was put off, as senders do; the exit status of smtpd, None if it outlives 30 s."""
    deadline = time.monotonic() + 30
    status = None
    while status is None and time.monotonic() < deadline:
        senders.run(("127.0.0.1", port), MOST)
        status = forks.ended(1)
    return status


@pytest.mark.parametrize("point", POINTS)
def test_no_kill_of_smtpd_loses_promised_mail(anna: Mailbox, tmp_path: Path, point: str) -> None:
    dice, began = random.Random(point), time.monotonic()
    senders = Senders(tmp_path, SENDERS, anna.address)
    environment = SmtpdProcess(tmp_path).environment
    with closing(senders), SmtpdForks(environment, tmp_path) as forks:
        for kill in range(KILLS):
            port = forks.start(f"smtpd.{point}=kill:{dice.randint(1, 8)}")
            status = _sent_until_it_ends(senders, forks, port)
            assert status == killed_at(point), f"kill {kill} did not happen; refused: {dict(senders.refusals)}"
        after_kills = senders.balance()
        port = forks.start("")
        senders.run(("127.0.0.1", port), 1)
        home = senders.balance()
    merged = MergedAcceptance.objects.count()
    took = time.monotonic() - began
    print(f"{point}: {KILLS} kills, {home.promised} promised, {merged} merged, lost {len(home.lost)}, {took:.0f} s")
    assert (after_kills.doubled, *after_kills.lost, *after_kills.ghosts) == (0,)
    assert after_kills.stored - after_kills.promised <= SENDERS  # at most what each was sending when it died
    assert (home.doubled, *home.lost) == (0,)
    assert home.promised == home.offered == home.stored == Message.objects.count()
    assert Delivery.objects.filter(visible_at__isnull=False).count() == home.offered


def test_a_server_that_promises_too_early_is_found_out(anna: Mailbox, tmp_path: Path) -> None:
    """The control: with the answer before the commit the same ledgers must report a loss."""
    senders = Senders(tmp_path, SENDERS, anna.address)
    environment = SmtpdProcess(tmp_path).environment
    with closing(senders), SmtpdForks(environment, tmp_path) as forks:
        for nth in range(1, 4):
            port = forks.start(f"smtpd.reply_before_commit=on,smtpd.after_write=kill:{nth}")
            senders.run(("127.0.0.1", port), MOST * 5)
            assert forks.ended(30) == killed_at("after_write")
    assert senders.balance().lost
