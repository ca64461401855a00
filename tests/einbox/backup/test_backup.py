"""Backup under load, restore into an empty installation; on both engines."""

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone

from einbox.backup import database, manifest
from einbox.backup.make import make
from einbox.backup.manifest import BackupError
from spool.models import Heartbeat, Message
from spool.queue import content
from tests.factories.spool import make_mailbox, make_message

pytestmark = pytest.mark.django_db(transaction=True)

SMALL = b"Subject: small\r\n\r\nhello\r\n"
LARGE = b"Subject: large\r\n\r\n" + b"0123456789abcdef" * 8192 + b"\r\n"


@pytest.fixture
def load() -> Iterator[list[int]]:
    """A thread that stores small and large mail until the test ends; the ids it has committed so far."""
    make_mailbox(address="mara@load.example")
    stored: list[int] = []
    stop, started = threading.Event(), threading.Event()

    def run() -> None:
        try:
            while not stop.is_set():
                stored.append(make_message(LARGE if len(stored) % 3 == 0 else SMALL).pk)
                started.set()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    started.wait(10)
    yield stored
    stop.set()
    thread.join()


def test_a_backup_under_load_holds_every_message_committed_before_it_with_its_content(
    tmp_path: Path, load: list[int]
) -> None:
    before = set(load)
    made = make(tmp_path / "copy", now=timezone.now())
    assert before
    assert made.counts["messages"] >= len(before)
    manifest.check(tmp_path / "copy", manifest.read(tmp_path / "copy"))
    image = database.dump(tmp_path)
    assert image.counts["messages"] >= made.counts["messages"]
    assert any(name.startswith("content/") for name in made.files)


def test_a_backup_holds_no_key(tmp_path: Path, settings) -> None:  # type: ignore[no-untyped-def]
    make_message(SMALL)
    make(tmp_path / "copy", now=timezone.now())
    everything = b"".join(path.read_bytes() for path in (tmp_path / "copy").rglob("*") if path.is_file())
    assert settings.SECRET_KEY.encode() not in everything
    for key in settings.FIELD_KEYS.values():
        assert key not in everything
    assert b"hello" not in everything


def test_a_target_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("x")
    with pytest.raises(BackupError, match="not empty"):
        make(tmp_path, now=timezone.now())
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_a_file_missing_from_the_storage_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    message = make_message(LARGE)
    name = Message.objects.get(pk=message.pk).content_file
    from spool.queue import files

    files.remove(name)
    with pytest.raises(BackupError, match="missing from the storage"):
        make(tmp_path / "copy", now=timezone.now())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["manifest", "database", "missing", "outside"])
def test_an_altered_backup_is_refused(tmp_path: Path, damage: str) -> None:
    make_message(LARGE)
    copy = tmp_path / "copy"
    made = make(copy, now=timezone.now())
    image = next(name for name in made.files if not name.startswith("content/"))
    if damage == "database":
        with (copy / image).open("r+b") as stream:
            stream.seek(100)
            stream.write(b"\xff\x00\xff")
    elif damage == "missing":
        next(path for path in (copy / "content").rglob("*") if path.is_file()).unlink()
    else:
        outer = json.loads((copy / manifest.NAME).read_text())
        outer["body"] = outer["body"].replace(image, "../" + image if damage == "outside" else image + "x")
        (copy / manifest.NAME).write_text(json.dumps(outer))
    with pytest.raises(BackupError):
        manifest.check(copy, manifest.read(copy))


def test_a_backup_of_other_keys_is_refused(tmp_path: Path, settings) -> None:  # type: ignore[no-untyped-def]
    make_message(SMALL)
    make(tmp_path / "copy", now=timezone.now())
    settings.FIELD_KEYS = {"00000001": b"k" * 32}
    with pytest.raises(BackupError, match="0badcafe"):
        manifest.read(tmp_path / "copy")


def restored(tmp_path: Path, copy: Path, url: str, *more: str) -> subprocess.CompletedProcess[str]:
    """Run `manage.py restore` in another installation that has the same keys."""
    import sys

    from tests.doubles.installation import ROOT

    kept = {name: value for name, value in os.environ.items() if not name.startswith("EINBOX_")}
    environment = kept | {
        "EINBOX_HOME": str(tmp_path / "second"),
        "EINBOX_SECRET_KEY": os.environ["EINBOX_SECRET_KEY"],
        "EINBOX_FIELD_KEYS": os.environ["EINBOX_FIELD_KEYS"],
    }
    if url:
        environment["EINBOX_DATABASE_URL"] = url
    return subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *(more or ("restore", str(copy)))],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def second_database() -> Iterator[str]:
    """The URL of an empty database of the same engine; "" is the embedded default of the second installation."""
    if connection.vendor == "sqlite":
        yield ""
        return
    name = f"{connection.settings_dict['NAME']}_restored"
    base = os.environ["TEST_DATABASE_URL"].rpartition("/")[0]
    quoted = connection.ops.quote_name(name)
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {quoted}")
        cursor.execute(f"CREATE DATABASE {quoted}")
    yield f"{base}/{name}"
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {quoted} WITH (FORCE)")


READ_ALL = (
    "from spool.models import Message; from spool.queue.content import read; import hashlib; "
    "[print(m.pk, hashlib.sha256(read(m)).hexdigest()) for m in Message.objects.order_by('pk')]"
)


@pytest.mark.untraced
def test_a_backup_under_load_is_restored_elsewhere_byte_for_byte(
    tmp_path: Path, load: list[int], second_database: str
) -> None:
    before = set(load)
    Heartbeat.objects.create(name="smtpd:here:1", service="smtpd", at=timezone.now())
    made = make(tmp_path / "copy", now=timezone.now())
    result = restored(tmp_path, tmp_path / "copy", second_database)
    assert result.returncode == 0, result.stderr
    listed = restored(tmp_path, tmp_path, second_database, "shell", "--no-imports", "-c", READ_ALL)
    assert listed.returncode == 0, listed.stderr
    import hashlib

    there = dict(line.split() for line in listed.stdout.splitlines())
    assert len(there) == made.counts["messages"]
    assert before <= {int(pk) for pk in there}
    for pk, digest in there.items():
        assert hashlib.sha256(content.read(Message.objects.get(pk=pk))).hexdigest() == digest
    ask = "from spool.models import Heartbeat; print(Heartbeat.objects.count())"
    signs = restored(tmp_path, tmp_path, second_database, "shell", "--no-imports", "-c", ask)
    assert signs.stdout.split() == ["0"]  # nothing runs there yet
    again = restored(tmp_path, tmp_path / "copy", second_database)
    assert again.returncode != 0
    assert "not empty" in again.stderr
    assert "Traceback" not in again.stderr


def test_a_restore_without_the_keys_is_refused(tmp_path: Path, second_database: str) -> None:
    make_message(SMALL)
    make(tmp_path / "copy", now=timezone.now())
    from tests.doubles.installation import Installation

    box = Installation(tmp_path / "stranger")  # makes keys of its own
    result = box.manage("restore", str(tmp_path / "copy"))
    assert result.returncode != 0
    assert "Traceback" not in result.stderr
    if connection.vendor == "sqlite":
        assert "needs the field keys" in result.stderr
        assert not (box.home / "einbox.sqlite3").exists()


def test_a_copy_is_independent_of_what_is_restored_from_it(tmp_path: Path) -> None:
    make_message(LARGE)
    copy = tmp_path / "copy"
    make(copy, now=timezone.now())
    shutil.copytree(copy, tmp_path / "moved")
    manifest.check(tmp_path / "moved", manifest.read(tmp_path / "moved"))
