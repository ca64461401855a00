"""What commands print for people to read, and for programs."""

import json
from io import StringIO

import pytest
from django.core.management import call_command

from tests.factories.spool import make_domain, make_mailbox

pytestmark = pytest.mark.django_db


def listed(*words: str) -> str:
    out = StringIO()
    call_command("mailbox", "list", *words, stdout=out)
    return out.getvalue()


def test_people_read_words_and_programs_read_json() -> None:
    make_domain("example.test")
    mailbox = make_mailbox("desk@example.test")
    for alias in ("a@example.test", "b@example.test"):
        call_command("mailbox", "alias", mailbox.address, alias, stdout=StringIO())
    assert "aliases=a@example.test, b@example.test  active=yes\n" in listed()
    [row] = json.loads(listed("--json"))
    assert (row["aliases"], row["active"]) == (["a@example.test", "b@example.test"], True)
