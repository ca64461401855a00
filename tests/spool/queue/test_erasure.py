"""What was planted in a mail, and the key that opened it, is in no table and no file after its purge (D1)."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.core.files.storage import default_storage
from django.db import connection
from django.utils import timezone

from spool.enums import DeliveryState
from spool.models import Mailbox, Message
from spool.queue import parsing
from spool.queue.purge import housekeeping
from tests.doubles.smtpd import ServerInThread
from tests.spool.smtpd.conftest import anna  # noqa: F401 - a fixture

PLANTED = "Zwetschgenkuchen-8261"


def mail(size: int) -> bytes:
    """Planted in the text, in an attachment and its name."""
    return (
        "From: Erika <erika@outside.test>\r\nSubject: harmless\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/mixed; boundary="b"\r\n\r\n'
        f"--b\r\nContent-Type: text/plain\r\n\r\nThis is {PLANTED}.\r\n"
        f'--b\r\nContent-Type: text/plain\r\nContent-Disposition: attachment; filename="{PLANTED}.txt"\r\n\r\n'
        f"{PLANTED}\r\n" + "0123456789\r\n" * (size // 12) + "--b--\r\n"
    ).encode()


def in_tables(needle: bytes) -> list[str]:
    """Tables with a row that holds `needle`, in a text or in a blob."""
    found = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            for row in cursor.fetchall():
                cells = [bytes(cell) if isinstance(cell, bytes | memoryview) else str(cell).encode() for cell in row]
                if any(needle in cell for cell in cells):
                    found.append(table)
                    break
    return found


def in_files(needle: bytes) -> list[str]:
    """Files of the database and of the content storage with `needle`; of a database server's files, none are ours."""
    places = [path for path in Path(default_storage.path("")).rglob("*") if path.is_file()]
    if connection.vendor == "sqlite":
        database = Path(str(connection.settings_dict["NAME"]))
        places += database.parent.glob(f"{database.name}*")
    return [path.name for path in places if needle in path.read_bytes()]


@pytest.mark.parametrize("size", [500, 150_000])
def test_a_planted_word_and_the_key_are_nowhere_after_the_purge(anna: Mailbox, size: int) -> None:  # noqa: F811
    with ServerInThread() as server, server.client() as client:
        assert client.transaction(mail(size), anna.address).startswith("250")
    message = Message.objects.get()
    assert PLANTED in str(parsing.load(message))  # read, and so extracted and kept
    key = bytes(message.content_key or b"")
    assert in_tables(key) == ["spool_message"]  # the control: the search sees what is there
    assert in_files(key) or connection.vendor != "sqlite"
    long_ago = timezone.now() - timedelta(hours=settings.SAFETY_COPY_HOURS + 1)
    Message.objects.update(accepted_at=long_ago)
    message.deliveries.update(state=DeliveryState.DELIVERED, finished_at=long_ago)
    housekeeping(now=timezone.now())
    for needle in (PLANTED.encode(), key):
        assert (in_tables(needle), in_files(needle)) == ([], [])
