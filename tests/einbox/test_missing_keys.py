"""A database without its keys: nothing is made in their place, nothing starts, and the missing key is named."""

import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from django.test import override_settings
from django.utils import timezone

from accounts import crypto
from einbox import rotation, sealed
from einbox.doctor.examination import examine
from einbox.finding import FAIL, OK, Finding
from einbox.first_start import missing_keys
from einbox.keys import new_field_key, parse_field_keys
from tests.doubles.installation import Installation
from tests.factories.spool import make_message

SERVICES = ("up", "smtpd")


def sealed_under(key: str, home: Path) -> str:
    """Puts a route's password, sealed under another key than is there, into the database; its id."""
    key_id = key.partition(":")[0]
    with closing(sqlite3.connect(home / "einbox.sqlite3")) as database, database:
        columns = database.execute("PRAGMA table_info(spool_route)").fetchall()
        values: dict[str, object] = {
            name: 0 if "int" in kind or kind in {"bool", "real"} else "" for _, name, kind, need, *_ in columns if need
        }
        values |= {"name": "r", "state": "up", "tls": "none", "id": 1}
        values["smarthost_password"] = b"\x01" + bytes.fromhex(key_id) + b"n" * 40
        names = ", ".join(values)
        marks = ", ".join("?" * len(values))
        database.execute("PRAGMA ignore_check_constraints=ON")
        database.execute(f"INSERT INTO spool_route ({names}) VALUES ({marks})", list(values.values()))
    return key_id


@pytest.fixture
def box(tmp_path: Path) -> Installation:
    box = Installation(tmp_path / "home")
    assert box.manage("migrate").returncode == 0
    return box


@pytest.mark.pure
@pytest.mark.parametrize("command", ["up", "doctor"])
def test_no_key_is_made_for_a_database_that_another_one_sealed(box: Installation, command: str) -> None:
    keys = box.home / "keys"
    key_id = sealed_under((keys / "field_keys").read_text(), box.home)
    keys.rename(box.home.with_name("keys-away"))
    ended = box.manage(command)
    assert ended.returncode == 1
    assert f"under the field key {key_id}, which is not here" in ended.stderr
    assert "EINBOX_FIELD_KEYS" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not keys.exists()
    box.home.with_name("keys-away").rename(keys)
    assert box.manage("domain", "list").returncode == 0


@pytest.mark.pure
@pytest.mark.parametrize("service", SERVICES)
def test_nothing_starts_with_other_keys(box: Installation, service: str) -> None:
    key_id = sealed_under(new_field_key(), box.home)
    ended = box.manage(service)
    assert ended.returncode == 1
    assert f"under the field key {key_id}, which is not here" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.pure
def test_a_first_start_cut_between_database_and_keys_heals(box: Installation) -> None:
    for path in (box.home / "keys").iterdir():
        path.unlink()
    assert box.manage("domain", "list").returncode == 0
    assert {path.name for path in (box.home / "keys").iterdir()} == {"secret_key", "field_keys"}


@pytest.mark.pure
def test_a_database_that_cannot_be_asked_gets_no_new_keys(tmp_path: Path) -> None:
    box = Installation(tmp_path / "home")
    box.home.mkdir()
    (box.home / "einbox.sqlite3").write_bytes(b"no database" * 100)
    ended = box.manage("up")
    assert ended.returncode == 1
    assert "cannot be asked whether it needs some" in ended.stderr
    assert not (box.home / "keys").exists()


@pytest.mark.pure
def test_a_new_an_empty_and_a_half_made_database_need_no_key(tmp_path: Path) -> None:
    database = tmp_path / "a b?#%.sqlite3"
    assert sealed.sqlite_needs(database) == set()
    database.touch()
    assert sealed.sqlite_needs(database) == set()
    with closing(sqlite3.connect(database)) as made, made:
        made.execute("CREATE TABLE spool_message (id INTEGER PRIMARY KEY)")
    assert sealed.sqlite_needs(database) == set()
    with closing(sqlite3.connect(database)) as made, made:
        made.execute("CREATE TABLE spool_draft (id INTEGER PRIMARY KEY, sealed BLOB)")
        made.execute("INSERT INTO spool_draft VALUES (1, x'010badcafe00')")
    assert sealed.sqlite_needs(database) == {"0badcafe"}


def test_no_sealed_column_is_forgotten() -> None:
    assert set(sealed.COLUMNS) == {(model._meta.db_table, field) for model, field, _context in rotation.SEALED}


def found() -> Finding:
    return next(finding for finding in examine(now=timezone.now()) if finding.check == "keys sealed")


@pytest.mark.django_db
def test_doctor_opens_what_is_sealed_and_names_the_missing_key() -> None:
    make_message()
    assert (found().state, missing_keys()) == (OK, set())
    [mine] = parse_field_keys(os.environ["EINBOX_FIELD_KEYS"])
    try:
        with override_settings(FIELD_KEYS=parse_field_keys(new_field_key())):
            crypto._ring.cache_clear()
            assert found().state == FAIL
            assert mine in found().sentence
            assert missing_keys() == {mine}
        with override_settings(FIELD_KEYS={mine: b"k" * 32}):  # the same id, another key
            crypto._ring.cache_clear()
            assert found().state == FAIL
            assert "another key of the same id" in found().sentence
    finally:
        crypto._ring.cache_clear()


@pytest.mark.pure
@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"EINBOX_DATABASE_URL": "postgres://einbox:x@127.0.0.1:1/einbox", "EINBOX_SECRET_KEY": "k" * 40},
        {"EINBOX_FIELD_KEYS": "half", "EINBOX_NOT_A_SETTING": "1"},
    ],
    ids=["none", "no field key", "wrong"],
)
def test_keys_and_the_version_are_printed_without_settings(tmp_path: Path, environment: dict[str, str]) -> None:
    box = Installation(tmp_path / "home", **environment)
    assert len(parse_field_keys(box.manage("keys", "new").stdout)) == 1
    assert re.fullmatch(r"[\w-]{64}\n", box.manage("keys", "secret").stdout)
    assert re.fullmatch(r"einbox \d+\.\d+\.\d+\S* \(Django 5\.2\S*\)\n", box.manage("--version").stdout)
    assert not box.home.exists()
