"""A file name is data: none of a hundred hostile ones reaches a path or a header line (threat model C22)."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client

from accounts.models import User
from tests.factories.spool import make_message
from tests.spool.webmail.conftest import House

PREFIXES = (
    "../",
    "../../../../",
    "..\\..\\",
    "/",
    "C:\\",
    "\\\\host\\share\\",
    "%2e%2e%2f",
    "....//",
    "~/",
    "./x/../../",
)
NAMES = (
    "etc/passwd",
    "authorized_keys",
    "boot.ini",
    "CON",
    "a;b=c.txt",
    "q'uote.txt",
    "ends with dot.",
    ".bashrc",
    "über.txt",
    "a" * 400 + ".pdf",
)
HOSTILE = [prefix + name for prefix in PREFIXES for name in NAMES]
FILE_NAME = re.compile(r"""^attachment; filename(?:="(?P<plain>[^"]*)"|\*=utf-8''(?P<encoded>[^;]*))$""")


def letter() -> bytes:
    """One message with a hundred files."""
    quoted = [name.replace("\\", "\\\\") for name in HOSTILE]
    part = "--b\nContent-Type: text/plain\nContent-Disposition: attachment; filename"
    parts = "".join(f'{part}="{name}"\n\nx\n' for name in quoted)
    head = "From: e@outside.test\nTo: anna@example.test\nSubject: Files\nMIME-Version: 1.0\n"
    return (head + f"Content-Type: multipart/mixed; boundary=b\n\n{parts}--b--\n").replace("\n", "\r\n").encode()


@pytest.mark.untraced
def test_a_hundred_hostile_file_names_are_inert(house: House, as_user: Callable[[User], Client]) -> None:
    message = make_message(letter(), mailbox=house.annas)
    before = everything_in(settings.HOME)
    client = as_user(house.anna)
    page = client.get(f"/m/{message.public_id}/")
    assert page.status_code == 200
    links = sorted(set(re.findall(rf"/m/{message.public_id}/part/(\d+)", page.content.decode())), key=int)
    assert len(links) == len(HOSTILE) == 100
    for index in links:
        response = client.get(f"/m/{message.public_id}/part/{index}")
        disposition = response.headers["Content-Disposition"]
        match = FILE_NAME.match(disposition)
        assert match, disposition
        name = match["plain"] or match["encoded"]
        assert not re.search(r"[/\\\x00-\x1f]|%2f|%5c|%00", name, re.IGNORECASE), disposition
    assert everything_in(settings.HOME) == before


def everything_in(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*") if "sqlite3" not in path.name}
