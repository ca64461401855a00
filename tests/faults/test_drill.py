"""The main job, end to end: a whole emergency as real processes on real SMTP, and the ledger that balances it."""

import json
import signal
import subprocess
import sys
from typing import Any

import pytest

from einbox.drill.mail import SUBJECTS
from tests.faults.installation import ROOT, Installation
from tests.waiting import wait_for

pytestmark = pytest.mark.slow


def test_drill_balances(installation: Installation) -> None:
    code, ledger, said = installation.drill("--messages", "150", "--keep")
    assert code == 0, (ledger.get("problems"), said)
    assert (ledger["lost"], ledger["duplicated"], ledger["problems"]) == (0, 0, [])
    rest = ("delivered", "held", "removed", "bounced", "expired", "merged")
    assert ledger["accepted"] == sum(ledger[name] for name in rest)
    assert ledger["accepted"] >= 150
    assert not planted_in(installation, "\n".join(said_by_all(installation)))


def said_by_all(installation: Installation) -> list[str]:
    """What every process of the drill wrote to its log."""
    logs = list(installation.home.glob("drill-*/*.log"))
    assert any("smtpd listens" in path.read_text() for path in logs)
    return [path.read_text() for path in logs]


def planted_in(installation: Installation, text: str) -> list[str]:
    """Mail content, subjects and keys that a whole emergency must not have logged (threat model C48)."""
    keys = [path.read_text().strip() for path in (installation.home / "keys").glob("*")]
    keys += [value for name, value in installation.extra.items() if "KEY" in name]
    words = [*SUBJECTS, "a dot line follows", "this reached me", *keys]
    return [word for word in words if word in text]


def test_bad_options_are_refused_with_a_sentence(installation: Installation) -> None:
    code, _, said = installation.drill("--messages", "0")
    assert code == 1
    assert "must be from 1" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_drill_that_is_stopped_leaves_nothing_open(installation: Installation, number: signal.Signals) -> None:
    process = installation.start("drill", "--messages", "2000", "--pace", "50")
    assert process.stdout is not None
    for line in process.stdout:
        if "primary killed" in line:
            break
    wait_for(lambda: len(asked(installation, "queue", "list")) > 10, seconds=60, what="mail to wait")
    process.send_signal(number)
    process.send_signal(number)  # by somebody who cannot wait
    _out, error = process.communicate(timeout=60)
    assert (process.returncode, error.count("\n"), "was stopped" in error) == (130, 1, True), error
    assert asked(installation, "queue", "list") == asked(installation, "outage", "list") == []
    assert {person["active"] for person in asked(installation, "user", "list", "--drills")} == {False}
    assert asked(installation, "user", "list") == asked(installation, "domain", "list") == []
    assert not list(installation.home.glob("drill-*"))


def asked(installation: Installation, *command: str) -> list[dict[str, Any]]:
    """What a command prints as JSON."""
    rows: list[dict[str, Any]] = json.loads(installation.start(*command, "--json").communicate(timeout=60)[0])
    return rows


@pytest.mark.untraced
def test_a_250_before_the_commit_is_found_out(installation: Installation) -> None:
    """The rig is not blind: with the switch that answers too early, killing smtpd must show as loss."""
    installation.failpoints.write_text("smtpd.reply_before_commit=on,smtpd.after_write=kill:3")
    code, ledger, said = installation.drill("--messages", "40", "--sessions", "4")
    assert code == 1, said
    assert ledger["lost"] > 0


@pytest.mark.untraced
@pytest.mark.postfix
def test_drill_with_postfix_as_the_primary(installation: Installation) -> None:
    """200 messages into a real Postfix; its mailbox files are counted."""
    environment = installation.environment
    installation.home.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.postfix_drill", "--messages", "200"],
        env=environment,
        cwd=ROOT,
        text=True,
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "lost 0" in done.stdout


@pytest.mark.untraced
@pytest.mark.services
def test_without_redis_everything_but_the_drain_works(installation: Installation) -> None:
    """Detection, capture, log-in, reading and writing need only the database (rule 4)."""
    from einbox.drill.stage import free_ports

    (port,) = free_ports(1)
    installation.extra["EINBOX_BROKER_URL"] = f"redis://127.0.0.1:{port}/0"
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.redis_drill", str(port)],
        env=installation.environment,
        cwd=ROOT,
        text=True,
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "'lost': 0" in done.stdout
