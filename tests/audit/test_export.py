"""Exports: JSON Lines check offline, CEF and RFC 5424 parse whatever strangers wrote, and the export is recorded."""

import re
import subprocess
import sys
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.utils import timezone

from audit.chain import GENESIS, Sealed
from audit.escape import UNSAFE
from audit.formats import FORMATS, cef, rfc5424
from audit.models import Event
from audit.record import Target, record
from audit.sealing import seal
from audit.tags import Tag
from tests.audit.events import events

HOSTILE = 'a|b=c\\d"e]f\r\ng\x1b[31m\u2028h\u202ei\x00\x85j " ] sev="x'
SCRIPT = Path(settings.BASE_DIR) / "audit" / "verifier.py"
RFC5424 = re.compile(
    r"<(?P<pri>\d{1,3})>1 (?P<at>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z) - einbox - (?P<msgid>[!-~]{1,32}) "
    r'\[event@32473(?P<data>(?: [!#-<>-\\^-~]{1,32}="(?:[^"\\\]]|\\["\\\]])*")+)\] \ufeff(?P<message>.*)'
)
CEF = re.compile(r"CEF:0\|(?P<header>(?:(?:[^|\\]|\\[|\\])*\|){5})(?P<severity>\d+)\|(?P<extension>.*)")


def hostile_row() -> Sealed:
    texts = ("actor_label", "target_kind", "target_id", "target_label", "user_agent", "request_id", "session")
    event = {"id": "1", "at": "2026-11-23T14:02:00.000000Z", "tag": "mail.message.read", "severity": "warning"}
    event |= {"outcome": HOSTILE, "ip": "203.0.113.7", "actor_id": "7", "actor_kind": "user"}
    detail = {"detail": {"mailbox": HOSTILE}}
    return Sealed(1, GENESIS, "f" * 64, event | dict.fromkeys(texts, HOSTILE) | detail)


def export(*arguments: str) -> list[str]:
    out = StringIO()
    call_command("audit", "export", *arguments, stdout=out)
    return out.getvalue().splitlines()


def run_verifier(path: Path) -> subprocess.CompletedProcess[str]:
    # -I -S: no einbox, no site packages, nothing but the standard library
    command = [sys.executable, "-I", "-S", str(SCRIPT), str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def people(db: None) -> list[Event]:
    made = []
    for number in range(20):
        target = Target("message", f"01J{number}", HOSTILE)
        made.append(record(Tag.MESSAGE_READ, target=target, detail={"mailbox": f"Füße {number} 🙂"}))
        assert seal(now=timezone.now()) == 1  # one by one: keys of one millisecond have no order
    return made


@pytest.mark.usefixtures("people")
def test_an_export_checks_offline_with_nothing_but_python(tmp_path: Path) -> None:
    lines = export("--format", "jsonl")
    assert len(lines) == 20
    whole, part = tmp_path / "whole.jsonl", tmp_path / "part.jsonl"
    whole.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    part.write_text("".join(f"{line}\n" for line in lines[5:]), encoding="utf-8")
    assert run_verifier(whole).stdout.startswith("OK: 20 events, seq 1 to 20, last hash ")
    assert run_verifier(part).stdout.startswith("OK: 15 events, seq 6 to 20, last hash ")


@pytest.mark.usefixtures("people")
def test_a_changed_export_fails_offline_and_is_named(tmp_path: Path) -> None:
    lines = export()
    lines[6] = lines[6].replace(" 6 ", " 7 ")
    changed = tmp_path / "changed.jsonl"
    changed.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    result = run_verifier(changed)
    assert result.returncode == 1
    assert result.stdout.startswith("FAILED at seq 7:")
    assert run_verifier(tmp_path / "absent").returncode == 2


def test_since_starts_at_the_first_later_event_and_leaves_no_gap(people: list[Event]) -> None:
    export()
    late = record(Tag.LOGOUT, at=people[0].at - timedelta(hours=1))  # committed late, so later in the chain
    lines = export("--since", people[15].at.isoformat())
    assert len(lines) == 7  # events 16 to 20, the first export, and the late one
    assert str(late.pk) in lines[-1] + lines[-2]
    assert export("--since", "2100-01-01") == []


@pytest.mark.pure
@pytest.mark.parametrize("since", ["yesterday", "2026-13-01", ""])
def test_a_wrong_time_is_refused_with_what_is_expected(since: str) -> None:
    with pytest.raises(CommandError, match="ISO 8601"):
        call_command("audit", "export", "--since", since)


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize("form", list(FORMATS))
def test_an_export_is_one_line_an_event_and_an_event_itself(form: str) -> None:
    before = timezone.now()
    lines = export("--format", form)
    assert len(lines) == 20
    assert not [line for line in lines if UNSAFE.search(line)]
    (event,) = events(Tag.AUDIT_EXPORTED)
    assert event.actor_label.startswith("operator:")
    assert event.detail == {"count": 20, "format": form}
    assert event.at >= before


@pytest.mark.pure
def test_rfc_5424_lines_parse_and_hold_hostile_values() -> None:
    line = rfc5424(hostile_row())
    found = RFC5424.fullmatch(line)
    assert found
    assert found["pri"] == str(13 * 8 + 4)
    assert datetime.fromisoformat(found["at"]).year == 2026
    pairs = re.findall(r' ([!#-<>-\\^-~]+)="((?:[^"\\\]]|\\.)*)"', found["data"])
    data = {name: re.sub(r'\\(["\\\]])', r"\1", value) for name, value in pairs}
    assert data["target_label"] == UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", HOSTILE)
    assert set(data) >= {"id", "actor_label", "ip", "detail", "seq", "hash", "outcome"}
    assert not UNSAFE.search(line)


@pytest.mark.pure
def test_cef_lines_parse_and_hold_hostile_values() -> None:
    line = cef(hostile_row())
    found = CEF.fullmatch(line)
    assert found
    assert found["severity"] == "7"
    assert re.split(r"(?<!\\)\|", found["header"])[:4] == ["einbox", "einbox", "1", "mail.message.read"]
    names = re.findall(r"(?:^| )([A-Za-z0-9]+)(?<!\\)=", found["extension"])
    assert names == [
        *("rt", "externalId", "outcome", "suid", "suser", "src", "requestClientApplication"),
        *("cs1Label", "cs1", "cs2Label", "cs2", "cs3Label", "cs3", "cn1Label", "cn1"),
    ]
    assert not UNSAFE.search(line)
