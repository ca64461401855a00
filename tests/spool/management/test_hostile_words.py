"""What operators type, import or are shown never steers a terminal, and garbage gets a sentence."""

import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.provision import ProvisionError, create_user
from audit.escape import UNSAFE
from spool.enums import OutageKind
from spool.queue import mailboxes, outage
from spool.queue.mailboxes import MailboxError
from tests.doubles.installation import ROOT
from tests.factories.spool import make_domain

pytestmark = pytest.mark.django_db
NOW = timezone.now()
EVIL = "\x1b]0;title\x07\u202e"


@pytest.mark.parametrize("name", ["a\x1b[2J", "a\nb", "a\u202eb", "a\x00", "a\ud800"])
def test_names_that_steer_are_refused(name: str) -> None:
    make_domain("example.test")
    with pytest.raises(ProvisionError):
        create_user(email="anna@example.test", name=name)
    with pytest.raises(MailboxError):
        mailboxes.add("anna@example.test", name=name, now=NOW)
    with pytest.raises(ProvisionError):
        create_user(email="anna@\u202eexample.test")


def test_a_reason_typed_on_a_page_is_listed_harmlessly() -> None:
    route = make_domain("example.test").route
    outage.open_outage(route, kind=OutageKind.DECLARED, reason=EVIL, now=NOW)
    out = StringIO()
    call_command("outage", "list", stdout=out)
    assert "\\u001b" in out.getvalue()
    assert not UNSAFE.search(out.getvalue().replace("\n", ""))


@pytest.mark.parametrize("command", ["user", "mailbox"])
@pytest.mark.parametrize(
    "content", [f"email,address,role,name\n{EVIL},{EVIL},{EVIL},{EVIL}\n", f"{EVIL}\n", "email\n" + "a" * 200_000]
)
def test_a_bad_file_is_a_sentence_without_control_characters(tmp_path: Path, command: str, content: str) -> None:
    path = tmp_path / "people.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(CommandError) as failed:
        call_command(command, "import", str(path))
    assert not UNSAFE.search(str(failed.value))


@pytest.mark.parametrize("words", [("list", "--limit", "-1"), ("list", "--limit", "9" * 30)])
def test_a_limit_that_is_none_is_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        call_command("queue", *words)


@pytest.mark.parametrize("host", ["a@[127.0.0.1]", "[", "a\u2100b:25"])
def test_a_primary_that_is_no_host_is_refused(host: str) -> None:
    with pytest.raises(CommandError, match="host:port"):
        call_command("domain", "add", "example.test", "--primary", host)


@pytest.mark.parametrize("word", [b"a\xff", b"\x1b[2J", b"a\nb"])
def test_arguments_that_no_list_can_show_are_refused_at_the_door(word: bytes) -> None:
    command: list[str | bytes] = [sys.executable, "manage.py", "user", "deactivate", word, "--reason", "x"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "cannot be shown" in done.stderr
    assert "Traceback" not in done.stderr
