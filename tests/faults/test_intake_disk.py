"""The disk is full to the last octet while mail comes in, then has room again (F7): of SQLite, and of large content."""

from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from django.db import connection
from pytest_django import Settings

from spool.models import ContentChunk, Mailbox, Message
from spool.queue import content
from tests.doubles.postgresql import default_database
from tests.doubles.small_disk import MOUNTED, FileLimit, SmallDisk
from tests.doubles.smtpd import Client, SmtpdProcess
from tests.faults.senders import Senders, Traffic, settle
from tests.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.untraced]

SENDERS = 6
LARGE = b"Subject: large\r\n\r\n" + b"0123456789\r\n" * 20_000


def keep_content_in(folder: Path, settings: Settings) -> None:
    settings.STORAGES = settings.STORAGES | {
        "default": settings.STORAGES["default"] | {"OPTIONS": {"location": str(folder)}}
    }


@pytest.mark.sqlite
@pytest.mark.parametrize("disk", [*MOUNTED, FileLimit], indirect=True)
def test_a_full_disk_is_a_4xx_and_costs_no_mail(
    anna: Mailbox, disk: SmallDisk | FileLimit, tmp_path: Path, settings: Settings
) -> None:
    """Database, write-ahead log and content share the disk, and so does the log where files are limited."""
    database = disk.path / "einbox.sqlite3"
    with connection.cursor() as cursor:
        cursor.execute("VACUUM INTO %s", [str(database)])
    keep_content_in(disk.path / "content", settings)
    senders = Senders(tmp_path, SENDERS, anna.address)
    with ExitStack() as stack:
        stack.enter_context(default_database(f"sqlite:///{database}"))
        stack.enter_context(closing(senders))
        small = {"EINBOX_HOME": str(disk.path), "EINBOX_MESSAGE_SIZE": str(2**19)}
        process = stack.enter_context(SmtpdProcess(tmp_path, **small))
        with Traffic(senders, process.address) as traffic:
            for _ in range(3):
                traffic.promises(SENDERS * 5)
                disk.fill(process.process.pid)
                traffic.refuses(SENDERS * 5)
                if isinstance(disk, SmallDisk):  # what is still free is looked at twice a second
                    wait_for(lambda: senders.refusals["452 4.3.1"], what="a refusal before any content")
                disk.make_room(process.process.pid)
            traffic.promises(SENDERS * 5)
        settle(senders, process.address)
        assert process.process.poll() is None
        assert set(senders.refusals) <= {"451 4.3.0", "452 4.3.1"}


WAYS = [*MOUNTED, *([FileLimit] if connection.vendor == "postgresql" else [])]  # SQLite's files would be limited, too


@pytest.mark.parametrize("disk", WAYS, indirect=True)
def test_large_mail_without_room_in_the_storage_waits_in_the_database(
    anna: Mailbox, disk: SmallDisk | FileLimit, tmp_path: Path, settings: Settings
) -> None:
    keep_content_in(disk.path / "content", settings)
    with SmtpdProcess(tmp_path) as process, Client(process.address) as client:
        for step in (lambda _pid: None, disk.fill):
            step(process.process.pid)
            for _ in range(3):
                assert client.transaction(LARGE + b"%d\r\n" % Message.objects.count(), anna.address).startswith("250")
        disk.make_room(process.process.pid)
        assert process.process.poll() is None
    files = [path for path in (disk.path / "content").rglob("*") if path.is_file()]
    assert len(files) == Message.objects.exclude(content_file="").count() == 3  # no half ones
    assert ContentChunk.objects.values("message").distinct().count() == 3
    assert content.move_chunks() == 3
    kept = {content.read(message) for message in Message.objects.exclude(content_file="")}
    assert kept == {LARGE + b"%d\r\n" % number for number in range(6)}
