"""`manage.py user`: acts of a named operator, machine-readable, secrets shown once."""

import getpass
import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from accounts.models import TOTPDevice, User
from audit.models import Event
from audit.tags import Tag
from spool.models import Mailbox
from tests.factories.spool import make_domain

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> Any:
    out = io.StringIO()
    call_command("user", *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


def test_a_new_person_gets_a_mailbox_and_a_link() -> None:
    make_domain(name="example.org")
    entry = run("add", "Tilda@example.org", "--name", "Tilda", "--role", "security")
    assert (entry["email"], entry["role"], entry["mailbox"]) == ("tilda@example.org", "security", "tilda@example.org")
    assert Mailbox.objects.get(address="tilda@example.org").user == User.objects.get()
    assert Client().get(entry["invite"])["Location"] == "/account/enrol/"
    event = Event.objects.get(tag=Tag.USER_CREATED.value)
    assert (event.actor_kind, event.actor_label) == ("operator", f"operator:{getpass.getuser()}")


def test_outside_the_domains_there_is_no_mailbox_but_a_note() -> None:
    entry = run("add", "tilda@elsewhere.example")
    assert entry["mailbox"] is None
    assert entry["note"] == "no mailbox: elsewhere.example is not a protected domain"
    call_command("user", "add", "otto@elsewhere.example", stdout=(out := io.StringIO()))
    assert "role=employee  note=no mailbox: elsewhere.example is not a protected domain  invite=" in out.getvalue()


def test_a_mailbox_that_waits_is_taken_over_and_one_in_use_is_not() -> None:
    domain = make_domain(name="example.org")
    Mailbox.objects.create(address="a@example.org", domain=domain)
    other = User.objects.create(email="other@example.org")
    Mailbox.objects.create(address="b@example.org", domain=domain, user=other)
    assert run("add", "a@example.org")["mailbox"] == "a@example.org"
    assert run("add", "b@example.org")["note"].endswith("or somebody else's")
    assert Mailbox.objects.get(address="b@example.org").user == other


def test_password_and_app_from_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("four quiet otters sail\n"))
    entry = run("add", "tilda@example.org", "--password-stdin", "--totp")
    assert entry["otpauth"].startswith("otpauth://totp/")
    assert "invite" not in entry
    assert "password" not in entry
    user = User.objects.get()
    assert user.check_password("four quiet otters sail")
    assert TOTPDevice.objects.get(user=user).confirmed
    assert "otters" not in str(list(Event.objects.values()))


def test_a_password_that_never_comes_makes_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(CommandError, match="ended before the password came"):
        run("add", "tilda@example.org", "--password-stdin")
    assert not User.objects.exists()


def test_reset_and_deactivate_need_a_reason() -> None:
    run("add", "tilda@example.org", "--totp")
    with pytest.raises(CommandError, match="reason"):
        run("reset-mfa", "tilda@example.org")
    entry = run("reset-mfa", "tilda@example.org", "--reason", "lost phone")
    assert Client().get(entry["invite"])["Location"] == "/account/enrol/"
    run("deactivate", "tilda@example.org", "--reason", "left")
    assert run("list")[0]["active"] is False
    assert Client().get(entry["invite"]).status_code == 410


def test_people_from_a_file(tmp_path: Path) -> None:
    make_domain(name="example.org")
    path = tmp_path / "people.csv"
    path.write_text("\ufeffemail,name,role\na@example.org,Änne,admin\n", encoding="utf-8")
    assert [entry["mailbox"] for entry in run("import", str(path))] == ["a@example.org"]
    assert User.objects.get().name == "Änne"
    path.write_bytes("\ufeffemail;name;role\r\n\r\nb@example.org;Bär;security\r\n".encode())  # a German spreadsheet
    assert [entry["role"] for entry in run("import", str(path))] == ["security"]
    path.write_bytes(b"email;role\r\n\r\nc@example.org;root\r\n")
    with pytest.raises(CommandError, match="Line 3: the role"):
        run("import", str(path))
    path.write_bytes(b"email\n\xff\n")
    with pytest.raises(CommandError, match="UTF-8"):
        run("import", str(path))


@pytest.mark.parametrize(
    "arguments", [("add", "nonsense"), ("deactivate", "nobody@example.org", "--reason", "x"), ("import", "/nowhere")]
)
def test_what_cannot_be_done_is_a_sentence(arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError, match=r"\.$"):
        run(*arguments)
