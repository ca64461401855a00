"""`domain dkim` from the first key to the last, against a name server on loopback; and what doctor says of it."""

import json
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from einbox.dns.message import Kind
from einbox.doctor import examination, ways
from einbox.finding import FAIL, OK, WARN
from einbox.management.commands import domain as command
from spool.models import DkimKey, Domain, Route
from tests.doubles.nameserver import NameServer
from tests.factories.spool import make_domain

pytestmark = pytest.mark.django_db
NOW = timezone.now()


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    """The system's name server; its table starts empty."""
    with NameServer({}) as server:
        for module in (command, ways):
            monkeypatch.setattr(module, "system_servers", lambda: (server.address,))
        yield server


@pytest.fixture(autouse=True)
def firm(db: None) -> Domain:
    return make_domain("firm.de")


def dkim(*words: str) -> list[dict[str, Any]]:
    out = StringIO()
    call_command("domain", "dkim", "firm.de", *words, "--json", stdout=out)
    return list(json.loads(out.getvalue()))


def publish(zone: NameServer, rows: list[dict[str, Any]]) -> None:
    zone.table.update({row["name"]: [(Kind.TXT, row["value"], 300)] for row in rows if row["value"]})


def said() -> list[tuple[str, str]]:
    found = examination.examine(now=NOW)
    return [(each.state, each.sentence) for each in found if each.check == "dkim firm.de"]


def test_the_first_call_makes_keys_and_the_next_ones_show_them(capsys: pytest.CaptureFixture[str]) -> None:
    made = dkim()
    assert [(row["algorithm"], row["state"]) for row in made] == [("ed25519-sha256", "waits"), ("rsa-sha256", "waits")]
    assert dkim() == made
    capsys.readouterr()
    call_command("domain", "dkim", "firm.de")
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:] == [row["record"] for row in made]
    with pytest.raises(CommandError, match="--rotate"):
        dkim("--selector", "mine")
    with pytest.raises(CommandError, match="not a protected domain"):
        call_command("domain", "dkim", "elsewhere.de")
    assert DkimKey.objects.count() == 2


def test_a_key_signs_once_its_record_is_found(zone: NameServer) -> None:
    with pytest.raises(CommandError, match="no key to look for"):
        dkim("--check")
    made = dkim()
    with pytest.raises(SystemExit) as ended:
        dkim("--check")
    assert ended.value.code == 1
    publish(zone, made[:1])
    with pytest.raises(SystemExit):
        dkim("--check")
    assert {row["selector"]: row["state"] for row in dkim()} == {
        made[0]["selector"]: "signs",
        made[1]["selector"]: "waits",
    }
    publish(zone, made)
    assert {row["state"] for row in dkim("--check")} == {"signs"}
    call_command("domain", "list", stdout=(out := StringIO()))
    assert "dkim=signs" in out.getvalue()


def test_a_fresh_pair_replaces_the_old_one_without_a_gap(zone: NameServer) -> None:
    publish(zone, dkim())
    dkim("--check")
    fresh = [row for row in dkim("--rotate", "--selector", "next") if row["state"] == "waits"]
    assert {row["selector"] for row in fresh} == {"next-rsa", "next-ed25519"}
    publish(zone, fresh)
    after = dkim("--check")
    assert [row["state"] for row in after] == ["signs", "signs", "retired", "retired"]
    assert [bool(row["record"]) for row in after] == [True, True, False, False]


def test_the_operators_word_is_enough_and_stopping_needs_a_reason() -> None:
    with pytest.raises(CommandError, match="no key that waits"):
        dkim("--published")
    dkim()
    assert {row["state"] for row in dkim("--published")} == {"signs"}
    with pytest.raises(CommandError, match="reason"):
        dkim("--stop")
    assert {row["state"] for row in dkim("--stop", "--reason", "lost")} == {"retired"}
    assert {row["state"] for row in dkim()} == {"retired"}  # looking makes no new ones


def test_no_private_key_is_ever_printed(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("domain", "dkim", "firm.de")
    call_command("domain", "dkim", "firm.de", "--json")
    shown = capsys.readouterr().out
    assert "PRIVATE" not in shown
    for key in DkimKey.objects.all():
        assert bytes(key.sealed or b"").hex() not in shown
        assert "sealed" not in shown


def test_doctor_says_what_is_missing(zone: NameServer) -> None:
    assert said() == []
    Route.objects.update(smarthost_url="smtp://relay.firm.de:587")
    [(state, sentence)] = said()
    assert (state, "unsigned" in sentence) == (WARN, True)
    made = dkim()
    assert [(state, "publish it, then" in sentence) for state, sentence in said()] == [(WARN, True)] * 2
    publish(zone, made)
    assert [(state, "it signs after" in sentence) for state, sentence in said()] == [(WARN, True)] * 2
    dkim("--check")
    assert [state for state, _sentence in said()] == [OK, OK]
    zone.table.clear()
    assert [(state, "not believed" in sentence) for state, sentence in said()] == [(FAIL, True)] * 2
    dkim("--stop", "--reason", "test")
    assert [state for state, _sentence in said()] == [WARN]


def test_doctor_does_not_ask_for_names_of_tests(zone: NameServer) -> None:
    make_domain("firm.test")
    call_command("domain", "dkim", "firm.test", stdout=StringIO())
    found = [each for each in examination.examine(now=NOW) if each.check == "dkim firm.test"]
    assert [each.state for each in found] == [WARN, WARN]
    assert zone.asked == {"udp": 0, "tcp": 0}
