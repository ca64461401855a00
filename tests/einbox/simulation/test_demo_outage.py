"""The demo's whole story on a real installation: an outage with mail, its end, and a canary on the same way home."""

import json
from pathlib import Path

import pytest

from tests.doubles.installation import Installation
from tests.waiting import wait_for

pytestmark = [pytest.mark.pure, pytest.mark.slow]

STATES = (
    "from spool.models import Delivery as D, Outage as O; import json; "
    "print(json.dumps([sorted(D.objects.values_list('state', flat=True)), "
    "D.objects.filter(visible_at=None).count(), O.objects.filter(closed_at=None).count(), "
    "[o.report for o in O.objects.exclude(report=None)]]))"
)


def ask(box: Installation) -> tuple[list[str], int, int, list[dict[str, int]]]:
    result = box.manage("shell", "--no-imports", "-c", STATES)
    assert result.returncode == 0, result.stderr
    states, hidden, outages, reports = json.loads(result.stdout)
    return states, hidden, outages, reports


def test_it_opens_in_an_outage_and_ends_with_an_empty_spool_and_a_living_canary(tmp_path: Path) -> None:
    box = Installation(tmp_path / "home", EINBOX_DEMO="1")
    with box:
        box.wait_until_up()
        wait_for(lambda: "8 demo messages have arrived" in box.output(), seconds=90, what=box.output()[-500:])
        states, hidden, outages, _reports = ask(box)
        assert set(states) == {"queued"}
        assert hidden == 0
        assert outages == 1
        box.manage("primary", "on")
        # Each question is a process, which takes from the others what they need.
        wait_for(lambda: set(ask(box)[0]) == {"delivered"}, seconds=90, every=1, what="the drain")
        wait_for(lambda: ask(box)[2] == 0, seconds=60, every=1, what="the outage to close")
        [report] = ask(box)[3]
        assert report["adds_up"]
        assert report["accepted"] == report["delivered"] == len(states)
        assert len(list((box.home / "primary" / "new").iterdir())) == 8
        canary = box.manage("doctor", "--send-canary", "--json")
        findings = {item["check"]: item for item in json.loads(canary.stdout)["findings"]}
        assert findings["canary kranich.example"]["state"] == "ok", findings
        assert findings["keys copy"]["state"] == "fail"
        assert canary.returncode == 1
        assert box.stop() == 0
        assert "Traceback" not in box.output()
