"""A file that somebody named says in a sentence why it cannot be read, whoever asks for it."""

from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from audit.reading import text_of
from einbox.env import Env, SettingsError

pytestmark = pytest.mark.pure

WRONG = (
    ("missing", "cannot be read (No such file or directory)."),
    ("folder", "cannot be read (Is a directory)."),
    ("endless", "has more than 64 MiB."),
    ("latin", "is not UTF-8 text (line 2); save it as UTF-8."),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    (tmp_path / "endless").symlink_to("/dev/zero")
    (tmp_path / "latin").write_bytes("ä\nü".encode() + b"\xff")
    return tmp_path


@pytest.mark.parametrize(("name", "words"), WRONG)
def test_settings_passwords_and_lists_are_refused_in_the_same_words(folder: Path, name: str, words: str) -> None:
    path = str(folder / name)
    with pytest.raises(SettingsError) as failed:
        Env({"EINBOX_SECRET_KEY_FILE": path}).text("EINBOX_SECRET_KEY")
    assert str(failed.value) == f"EINBOX_SECRET_KEY_FILE: {path} {words}"
    adding = ("domain", "add", "example.test", "--primary", "192.0.2.1:25", "--password-file", path)
    for command in (adding, ("user", "import", path), ("mailbox", "import", path)):
        with pytest.raises(CommandError) as refused:
            call_command(*command)
        assert str(refused.value) == f"{path} {words}"


def test_a_mark_at_the_beginning_is_no_text_and_line_ends_stay(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"\xef\xbb\xbfa\r\nb")
    assert text_of(path) == "a\r\nb"
    assert Env({"EINBOX_METRICS_TOKEN_FILE": str(path)}).text("EINBOX_METRICS_TOKEN") == "a\r\nb"
