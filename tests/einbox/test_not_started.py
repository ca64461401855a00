"""Commands on an installation that never started: one sentence and exit code 1, and the first start still works."""

import json
from pathlib import Path

import pytest

from tests.doubles.installation import Installation

pytestmark = pytest.mark.pure
COMMANDS = (
    ("domain", "list"),
    ("queue", "list"),
    ("audit", "verify"),
    ("backup", "{home}-copy"),
    ("web",),
    ("smtpd",),
    ("watch",),
    ("worker",),
    ("beat",),
)


@pytest.fixture
def box(tmp_path: Path) -> Installation:
    return Installation(tmp_path / "home")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_it_is_said_in_a_sentence(box: Installation, command: tuple[str, ...]) -> None:
    ended = box.manage(*(word.format(home=box.home) for word in command))
    assert ended.returncode == 1
    assert "einbox has not been started here yet" in ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr
    assert f"the database {box.home / 'einbox.sqlite3'} is empty" in ended.stderr


@pytest.mark.parametrize("service", ["smtpd", "worker"])
def test_a_service_does_not_start_on_an_older_database(box: Installation, service: str) -> None:
    assert box.manage("migrate", "audit", "0001").returncode == 0
    ended = box.manage(service)
    assert ended.returncode == 1
    assert "run `manage.py migrate`" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_doctor_says_it_too_and_the_database_can_still_be_made(box: Installation) -> None:
    ended = box.manage("doctor", "--json")
    assert ended.returncode == 1
    [finding] = json.loads(ended.stdout)["findings"]
    assert (finding["check"], finding["state"]) == ("database", "fail")
    assert "has not been started here yet" in finding["sentence"]
    assert box.manage("migrate").returncode == 0
    assert box.manage("domain", "list").returncode == 0


def test_a_database_of_an_older_version_is_said(box: Installation) -> None:
    assert box.manage("migrate", "audit", "0001").returncode == 0
    ended = box.manage("domain", "list")
    assert ended.returncode == 1
    assert "older version of einbox" in ended.stderr


def test_a_database_that_is_away_is_said(tmp_path: Path) -> None:
    box = Installation(
        tmp_path / "home",
        EINBOX_DATABASE_URL="postgres://nobody:s3cretword@127.0.0.1:1/none",
        EINBOX_SECRET_KEY="tests-only-" + "k" * 40,
        EINBOX_FIELD_KEYS="0badcafe:YSBmaWVsZCBrZXkgZm9yIHRoZSB0ZXN0cywgMzIgb2M=",
    )
    ended = box.manage("domain", "list")
    assert ended.returncode == 1
    assert "The database cannot be used" in ended.stderr
    assert "s3cretword" not in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr


def test_pages_without_their_static_files_do_not_start(box: Installation) -> None:
    assert box.manage("migrate").returncode == 0
    ended = box.manage("web")
    assert ended.returncode == 1
    assert "run `manage.py collectstatic --noinput`" in ended.stderr
    assert "Traceback" not in ended.stderr
