"""A commit means synced, whatever the database was set to (rule 1)."""

import os
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.db import connection, connections

from einbox.database import weak_settings
from einbox.doctor import examination
from tests.doubles.installation import Installation

pytestmark = pytest.mark.django_db


@pytest.mark.services
@pytest.mark.parametrize(("given", "used"), [("off", "on"), ("on", "on"), ("remote_apply", "remote_apply")])
def test_every_connection_commits_synchronously(given: str, used: str) -> None:
    other = connections.create_connection("default")
    other.settings_dict = other.settings_dict | {
        "OPTIONS": other.settings_dict["OPTIONS"] | {"options": f"-c synchronous_commit={given}"}
    }
    try:
        with other.cursor() as cursor:
            cursor.execute("SHOW synchronous_commit")
            assert cursor.fetchone() == (used,)
            cursor.execute("BEGIN")
            cursor.execute("ROLLBACK")
            cursor.execute("SHOW synchronous_commit")
            assert cursor.fetchone() == (used,)
    finally:
        other.close()


@pytest.mark.services
def test_the_kernel_gives_up_a_server_that_vanished() -> None:
    with connection.cursor(), socket.socket(fileno=os.dup(connection.connection.fileno())) as wire:
        if wire.family == socket.AF_UNIX:
            return
        seconds = wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
        seconds += wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) * wire.getsockopt(
            socket.IPPROTO_TCP, socket.TCP_KEEPCNT
        )
        assert wire.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert seconds <= 15
        assert 0 < wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) <= 15_000


def test_doctor_fails_where_a_commit_is_not_on_the_disk() -> None:
    """The server of a test may run without fsync: then that is what must be said."""
    weak = [finding for finding in examination.examine(now=datetime.now(UTC)) if finding.check == "durability"]
    assert [finding.state for finding in weak] == ["fail" if list(weak_settings(connection)) else "ok"]
    name = "synchronous" if connection.vendor == "sqlite" else "synchronous_commit"
    weaken, mend = ("PRAGMA synchronous = 1", "PRAGMA synchronous = 2") if connection.vendor == "sqlite" else (
        "SET synchronous_commit = off", "SET synchronous_commit = on"
    )  # fmt: skip
    other = connections.create_connection("default")
    try:
        with other.cursor() as cursor:
            cursor.execute(weaken)
            assert name in list(weak_settings(other))
            cursor.execute(mend)
            assert name not in list(weak_settings(other))
    finally:
        other.close()


@pytest.mark.services
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("command", ["smtpd", "doctor"])
def test_an_empty_database_of_postgresql_is_named_without_its_password(tmp_path: Path, command: str) -> None:
    there = connection.settings_dict
    name = f"{there['NAME']}_empty"
    with connection.cursor() as cursor:
        cursor.execute(f'DROP DATABASE IF EXISTS "{name}"')
        cursor.execute(f'CREATE DATABASE "{name}"')
    address = f"{there['HOST']}:{there['PORT'] or 5432}"
    box = Installation(
        tmp_path / "home",
        EINBOX_DATABASE_URL=f"postgres://{there['USER']}:s3cretword@{address}/{name}",
        EINBOX_SECRET_KEY="tests-only-" + "k" * 40,
        EINBOX_FIELD_KEYS="0badcafe:YSBmaWVsZCBrZXkgZm9yIHRoZSB0ZXN0cywgMzIgb2M=",
    )
    try:
        ended = box.manage(command)
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f'DROP DATABASE "{name}"')
    assert ended.returncode == 1
    said = ended.stdout + ended.stderr
    assert f"the database {name} on {there['HOST']}" in said
    assert "s3cretword" not in said
    assert "Traceback" not in said
