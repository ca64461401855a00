"""Files that change are read again; those that cannot be used are refused in one line, until they can."""

import os
from pathlib import Path

import pytest

from spool.renewals import Renewals

pytestmark = pytest.mark.pure


def test_a_refusal_is_said_once_and_files_that_are_mended_are_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file, missing = tmp_path / "file", tmp_path / "missing"
    file.write_text("old")
    renewals = Renewals(str(file), str(missing))
    read: list[str] = []

    def use() -> None:
        if file.read_text() == "half":
            raise ValueError("there is only half of it")
        read.append(file.read_text())

    def follow(*, force: bool = False) -> bool:
        return renewals.follow(use, refusals=(ValueError,), force=force)

    assert not follow()
    file.write_text("half")
    os.utime(file, (1, 1))
    assert [follow() for _ in range(3)] == [False] * 3
    assert len(caplog.messages) == 1
    assert "only half of it" in caplog.messages[0]
    file.write_text("new")
    os.utime(file, (1, 1))  # looks as before
    assert [follow() for _ in range(2)] == [True, False]
    missing.touch()
    assert [follow() for _ in range(2)] == [True, False]
    assert follow(force=True)
    assert read == ["new"] * 3
