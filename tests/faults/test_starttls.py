"""STARTTLS as testssl judges it: nothing above LOW but what a self-signed certificate brings with it (`make soak`)."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from spool.models import Mailbox
from spool.smtpd.tls import Certificate
from tests.doubles.smtpd import ServerInThread
from tests.spool.smtpd.test_tls import write_certificate

TESTSSL = shutil.which("testssl") or shutil.which("testssl.sh")
HARMLESS = {"OK", "INFO", "LOW"}
OF_THE_CERTIFICATE = {"cert_chain_of_trust", "cert_trust", "cert_revocation"}  # self-signed, for another name
MANY: dict[str, Any] = {"errors_soft": 900, "errors_hard": 1000, "commands": 1000, "sessions_per_client": 400}


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.skipif(not TESTSSL, reason="testssl is not installed")
def test_testssl_finds_nothing_above_low(anna: Mailbox, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    certificate = Certificate(*write_certificate(tmp_path, "localhost", days=89))
    with ServerInThread(certificate=certificate, **MANY) as server:
        command = [TESTSSL or "", "--starttls", "smtp", "--quiet", "--color", "0", "--warnings", "batch"]
        command += ["--jsonfile", str(report), f"127.0.0.1:{server.address[1]}"]
        subprocess.run(command, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=550)
    findings = {finding["id"]: finding for finding in json.loads(report.read_text(encoding="utf-8"))}
    assert {"TLS1", "TLS1_2", "heartbleed", "ROBOT", "LUCKY13"} <= findings.keys(), "it did not get to its end"
    worse = {name: found for name, found in findings.items() if found["severity"] not in HARMLESS}
    assert worse.keys() <= OF_THE_CERTIFICATE, worse
