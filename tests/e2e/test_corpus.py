"""Every mail of the corpora by real SMTP: stored as sent, listed, opened, downloaded byte for byte."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client as Browser
from django.utils import timezone

from spool.models import Mailbox, Message
from spool.queue import content, parsing
from tests.corpora import corpus_mails
from tests.doubles.smtpd import Client, ServerInThread
from tests.factories.accounts import log_in, make_user
from tests.factories.spool import make_domain, make_mailbox, make_route

REFUSED = re.compile(rb"\r(?!\n)|(?<!\r)\n|\x00")


def as_sent(raw: bytes) -> bytes:
    """What a sending server makes of a file with LF lines: CRLF, and a last line that ends."""
    mail = re.sub(rb"(?<!\r)\n", b"\r\n", raw)
    return mail if mail.endswith(b"\r\n") else mail + b"\r\n"


@pytest.fixture
def anna(transactional_db: None) -> Mailbox:
    make_domain("example.test", route=make_route(name="example.test", state="down"))
    return make_mailbox("anna@example.test", user=make_user(email="anna@example.test"))


@pytest.fixture
def smtp(anna: Mailbox) -> Iterator[Client]:
    with ServerInThread() as server, server.client() as client:
        yield client


@pytest.mark.corpora
@pytest.mark.slow
@pytest.mark.untraced
def test_every_mail_of_the_corpora_is_kept_shown_and_returned_as_sent(anna: Mailbox, smtp: Client) -> None:
    files = corpus_mails()
    sent, refused = send_all(smtp, files)
    while parsing.sweep(now=timezone.now(), limit=100):
        pass
    assert anna.user is not None
    browser = log_in(Browser(), anna.user)
    listed = listed_ids(browser)
    seen: set[int] = set()
    # A page around the mail is the same code on both engines, and slow: SQLite shows every tenth, PostgreSQL all.
    some = 1 if connection.vendor == "postgresql" else 10
    for number, message in enumerate(Message.objects.order_by("id")):
        page = f"/m/{message.public_id}/"
        assert message.public_id in listed, page
        assert number % some or browser.get(page).status_code == 200, page
        assert browser.get(f"{page}body").status_code == 200, page
        raw = b"".join(browser.get(f"{page}raw"))
        assert raw == content.read(message)
        assert raw in sent, f"{page} is not what was sent"
        seen.add(hash(raw))
    print(f"{len(files)} files: {len(sent)} different mails kept, read and downloaded, {refused} refused as 5.6.11")
    assert len(seen) == len(sent)
    assert len(files) >= 400


def send_all(smtp: Client, files: list[Path]) -> tuple[set[bytes], int]:
    """The mails that got 250, and how many were refused for a bare CR or NUL. Anything else fails."""
    sent: set[bytes] = set()
    refused = 0
    for path in files:
        mail = as_sent(path.read_bytes())
        assert [reply[:3] for reply in smtp.mail("anna@example.test")] == ["250"]
        reply = smtp.data(mail)
        if REFUSED.search(mail):
            assert reply.startswith("550 5.6.11"), f"{path}: {reply}"
            refused += 1
        else:
            assert reply.startswith("250"), f"{path}: {reply}"
            sent.add(mail)
    return sent, refused


def listed_ids(browser: Browser) -> set[str]:
    """Every message in the inbox, page after page."""
    found: set[str] = set()
    url: str | None = "/"
    while url:
        page = browser.get(url).content.decode()
        new = set(re.findall(r'href="/m/([0-9A-Z]{13})/"', page))
        if not new - found:
            break
        found |= new
        following = re.search(r'href="([^"]*[?&](?:before|after|page)=[^"]*)"', page)
        url = following[1].replace("&amp;", "&") if following else None
    return found
