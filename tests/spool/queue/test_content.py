"""The three homes of content, its erasure, and files that nobody owns."""

import errno
import os
import sys
import threading
from pathlib import Path

import pytest
from django.utils import timezone

from spool.models import ContentChunk, Message
from spool.queue import content, files
from tests.factories.spool import make_message, make_raw
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db

SMALL = b"Subject: small\r\n\r\nsmall planted text\r\n"
LARGE = b"Subject: large\r\n\r\n" + b"planted text " * 60_000


@pytest.fixture(autouse=True)
def _storage(settings: object, tmp_path: Path) -> None:
    settings.STORAGES = {  # type: ignore[attr-defined]
        **settings.STORAGES,  # type: ignore[attr-defined]
        "default": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": str(tmp_path / "content")},
        },
    }
    files.resume()


def break_storage(tmp_path: Path) -> None:
    (tmp_path / "content").parent.mkdir(exist_ok=True)
    (tmp_path / "content").write_text("a file where the directory should be")


def test_small_content_lies_in_the_row_large_content_in_a_file() -> None:
    small, large = make_message(SMALL), make_message(LARGE)
    assert small.content is not None
    assert small.content_file == ""
    assert large.content is None
    stored = files.read(large.content_file)
    assert b"planted" not in stored
    assert (content.read(small), content.read(large)) == (SMALL, LARGE)
    path = files.root() / large.content_file
    assert path.stat().st_mode & 0o077 == 0


def test_a_file_lies_in_a_directory_whose_name_is_synced_whoever_made_it(monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []

    def sync(handle: int) -> None:
        synced.append(Path(f"/proc/self/fd/{handle}").readlink())
        really_sync(handle)

    really_sync = os.fsync
    monkeypatch.setattr(os, "fsync", sync)
    root = files.root()
    files.write("AA/first", [b"x"])
    assert {root.parent, root, root / "AA"} <= set(synced)
    synced.clear()
    (root / "AB").mkdir()  # another process has made it, and has yet to sync its name
    files.write("AB/first", [b"x"])
    assert {root, root / "AB"} <= set(synced)
    assert root.parent not in synced
    synced.clear()
    files.write("AB/second", [b"x"])
    assert root not in synced
    files.remove("AB/first")
    files.remove("AB/second")
    (root / "AB").rmdir()
    files.write("AB/third", [b"x"])
    assert files.read("AB/third") == b"x"
    assert root in synced


def test_advice_that_a_file_system_does_not_take_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object) -> None:
        raise OSError(errno.ENOSYS, "no advice")

    monkeypatch.setattr(os, "posix_fadvise", refuse, raising=False)
    message = make_message(LARGE)
    assert message.content_file
    assert content.read(message) == LARGE


def test_content_goes_into_the_database_when_the_storage_fails_and_moves_later(tmp_path: Path) -> None:
    break_storage(tmp_path)
    message = make_message(LARGE)
    assert message.content_file == ""
    assert ContentChunk.objects.filter(message=message).count() == -(-len(LARGE) // content.CHUNK)
    assert content.read(message) == LARGE
    assert content.move_chunks() == 0

    (tmp_path / "content").unlink()
    files.resume()
    assert content.move_chunks() == 1
    assert content.read(message) == LARGE  # this instance still believes in chunks
    message.refresh_from_db()
    assert message.content_file
    assert not ContentChunk.objects.exists()
    assert content.read(message) == LARGE


def test_a_storage_that_hangs_does_not_hold_up_intake(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr(files, "TIMEOUT", 0.1)
    monkeypatch.setattr(files, "write_now", lambda _name, _pieces: released.wait(10))
    try:
        message = make_message(LARGE)
    finally:
        released.set()
    assert content.read(message) == LARGE
    assert ContentChunk.objects.filter(message=message).exists()


def test_a_storage_that_hangs_for_long_holds_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked again and again; what it was given is let go, but for the few writes that hang."""
    released, data, given = threading.Event(), LARGE + b"!", 3 * files.WRITERS
    monkeypatch.setattr(files, "TIMEOUT", 0.01)
    monkeypatch.setattr(files, "write_now", lambda _name, _pieces: released.wait(10))
    before = sys.getrefcount(data)
    try:
        for _ in range(given):
            files.resume()
            with pytest.raises(files.StorageError):
                files.write("zz/hangs", [data])
        held = sys.getrefcount(data) - before
    finally:
        released.set()
    assert held <= 3 * files.WRITERS
    monkeypatch.undo()

    def taken() -> bool:
        files.resume()
        return bool(make_message(make_raw() + LARGE).content_file)  # each another mail: the same would be merged

    wait_for(taken)  # and is used again when it works


def test_erased_content_is_gone_in_every_home(tmp_path: Path, django_capture_on_commit_callbacks: object) -> None:
    messages = [make_message(SMALL), make_message(LARGE)]
    break_later = tmp_path / "content"
    break_later.rename(tmp_path / "aside")
    break_storage(tmp_path)
    messages.append(make_message(LARGE + b"in chunks\r\n"))
    break_later.unlink()
    (tmp_path / "aside").rename(break_later)
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
        assert content.erase(messages, now=timezone.now()) == 3
    for message in Message.objects.all():
        assert (message.content, message.content_file, message.content_key) == (None, "", None)
        with pytest.raises(content.ContentGone):
            content.read(message)
    assert not ContentChunk.objects.exists()
    assert list(files.older_than(-10)) == []
    assert content.erase(messages, now=timezone.now()) == 0


def test_missing_and_altered_content_is_named_damaged() -> None:
    missing, altered = make_message(LARGE), make_message(SMALL)
    files.remove(missing.content_file)
    Message.objects.filter(pk=altered.pk).update(content=b"\x01" + bytes(40))
    for message in Message.objects.all():
        with pytest.raises(content.ContentDamaged):
            content.read(message)


def test_only_files_that_nobody_owns_are_collected() -> None:
    message = make_message(LARGE)
    files.write("zz/orphan", [b"left by a crash"])
    files.write("zz/orphan2.part", [b"half written"])
    assert content.collect_orphans() == 0  # too young: its row may still be on its way
    assert content.collect_orphans(older_than=-10) == 2
    assert list(files.older_than(-10)) == [message.content_file]
