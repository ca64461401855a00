"""An installation of its own for each fault test: embedded, or with a PostgreSQL database and a Redis of its own."""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from einbox.drill.stage import free_ports
from einbox.keys import new_field_key
from tests.doubles.redis import RedisServer
from tests.doubles.small_disk import FileLimit, SmallDisk
from tests.faults.installation import Installation
from tests.spool.smtpd.conftest import anna  # noqa: F401 - a fixture, for every test of this folder


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the faults that only SQLite can have where the database is another one, and what only soaks."""
    away = {"sqlite"} if os.environ.get("TEST_DATABASE_URL") else set()
    away |= set() if os.environ.get("SOAK") == "1" else {"soak"}
    left_out = [item for item in items if any(item.get_closest_marker(mark) for mark in away)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture
def installation() -> Iterator[Installation]:
    """Its directory goes when the test has passed or failed; a failed drill says what its logs held."""
    home = Path(tempfile.mkdtemp(prefix="einbox-fault-"))
    database = os.environ.get("TEST_DATABASE_URL", "")
    try:
        if database:
            redis = RedisServer(free_ports(1)[0], home)
            redis.start()
            try:
                with fresh_database(database) as url:
                    yield Installation(home, production(url, redis.url), redis=redis)
            finally:
                redis.stop()
        else:
            yield Installation(home)
    finally:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def disk(request: pytest.FixtureRequest) -> Iterator[SmallDisk | FileLimit]:
    """Of the kind that the test's parameter names."""
    with request.param() as one:
        yield one


def production(database_url: str, broker_url: str) -> dict[str, str]:
    return {
        "EINBOX_DATABASE_URL": database_url,
        "EINBOX_BROKER_URL": broker_url,
        "EINBOX_SECRET_KEY": secrets.token_urlsafe(48),
        "EINBOX_FIELD_KEYS": new_field_key(),
    }


@contextmanager
def fresh_database(url: str) -> Iterator[str]:
    """The URL of a database beside the one of `url`, dropped at the end."""
    name = f"einbox_fault_{secrets.token_hex(4)}"
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}"')
        try:
            yield urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
        finally:
            server.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
