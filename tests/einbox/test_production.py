"""The production shape as one tree: PostgreSQL, Redis, a beat of its own; and Redis as nothing but a doorbell."""

import json
import os
import re
import smtplib
import socket
import threading
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from einbox.keys import new_field_key
from tests.doubles.installation import Installation, free_port
from tests.waiting import wait_for

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.untraced]

PRIVATE = ("kranich", "lindqvist", "secret-subject", "secret-body", "stranger")


@pytest.fixture
def database() -> Iterator[str]:
    """The URL of an empty PostgreSQL database of its own."""
    url = os.environ["TEST_DATABASE_URL"]
    name = f"einbox_production_{os.getpid()}"
    with psycopg.connect(url.replace("postgres://", "postgresql://"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name}")
        connection.execute(f"CREATE DATABASE {name}")
        yield f"{url.rpartition('/')[0]}/{name}"
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


class Listener(threading.Thread):
    """Reads every command that the broker gets (Redis MONITOR) until `end`."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        parts = urlsplit(url)
        self.socket = socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 6379))
        self.socket.sendall(b"MONITOR\r\n")
        self.seen = bytearray()

    def run(self) -> None:
        while data := self.socket.recv(65536):
            self.seen += data

    def end(self) -> str:
        self.socket.shutdown(socket.SHUT_RDWR)
        self.join(10)
        self.socket.close()
        return self.seen.decode("utf-8", "replace")


def production(home: Path, database: str, broker: str) -> Installation:
    return Installation(
        home,
        EINBOX_DEMO="1",
        EINBOX_DATABASE_URL=database,
        EINBOX_BROKER_URL=broker,
        EINBOX_SECRET_KEY="k" * 50,
        EINBOX_FIELD_KEYS=new_field_key(),
    )


def checks(box: Installation) -> dict[str, str]:
    _status, body = box.fetch("/readyz")
    try:
        return dict(json.loads(body)["checks"])
    except ValueError:
        return {}


def send(box: Installation, number: int) -> bool:
    try:
        with smtplib.SMTP("127.0.0.1", box.smtp_port, timeout=10) as client:
            text = f"Subject: secret-subject {number}\r\n\r\nsecret-body\r\n".encode()
            client.sendmail("stranger@outside.example", "mara.lindqvist@kranich.example", text)
    except (OSError, smtplib.SMTPException):
        return False
    return True


def test_the_broker_never_sees_an_address_a_subject_or_a_body(tmp_path: Path, database: str) -> None:
    broker = os.environ["TEST_REDIS_URL"]
    listener = Listener(broker)
    listener.start()
    box = production(tmp_path / "home", database, broker)
    with box:
        box.wait_until_up()
        assert {"web", "smtpd", "worker", "beat", "watch"} <= set(box.pids())
        wait_for(lambda: set(checks(box).values()) == {"ok"}, seconds=180, what=f"{checks(box)} {box.output()[-800:]}")
        for number in range(20):
            wait_for(lambda n=number: send(box, n), seconds=30)  # type: ignore[misc]
        parsed = "from spool.models import Message as M; print(M.objects.exclude(parse_state='parsed').count())"
        wait_for(lambda: box.manage("shell", "--no-imports", "-c", parsed).stdout.strip() == "0", seconds=120, every=1)
        assert box.stop() == 0
    commands = listener.end()
    assert "ingest_sweep" in commands, "the listener saw the doorbell"
    bodies = [
        b64decode(body).decode() for body in re.findall(r'\\"body\\": \\"([a-za-z0-9+/=]+)', commands, re.IGNORECASE)
    ]
    assert bodies
    assert not [word for word in PRIVATE if word in (commands + " ".join(bodies)).lower()]


def test_without_redis_the_installation_starts_takes_mail_and_says_that_it_is_degraded(
    tmp_path: Path, database: str
) -> None:
    box = production(tmp_path / "home", database, f"redis://127.0.0.1:{free_port()}/0")
    with box:
        box.wait_until_up()
        wait_for(lambda: send(box, 1), seconds=60, what=box.output()[-800:])
        wait_for(lambda: checks(box).get("smtpd") == checks(box).get("watch") == "ok", seconds=60)
        status, _body = box.fetch("/readyz")
        assert status == 200
        assert checks(box)["broker"] == "degraded"
        assert box.stop() == 0
