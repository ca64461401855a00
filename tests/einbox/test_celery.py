"""What a worker takes from the broker, and what it does not."""

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
from celery.contrib.testing.worker import start_worker
from kombu import Producer

from einbox.celery import app
from spool.models import Heartbeat
from tests.waiting import wait_for


class Bomb:
    """Makes a directory when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.django_db(transaction=True)
@pytest.mark.filterwarnings("ignore::celery.platforms.SecurityWarning")
def test_a_pickled_task_is_refused_and_never_opened(tmp_path: Path) -> None:
    crater = tmp_path / "crater"
    with app.connection_for_write() as connection:
        producer = Producer(connection)
        producer.publish(
            pickle.dumps(Bomb(crater)),
            routing_key="celery",
            content_type="application/x-python-serialize",
            content_encoding="binary",
            headers={"task": "einbox.heartbeat", "id": "1", "lang": "py", "argsrepr": "", "kwargsrepr": ""},
        )
    with start_worker(app, pool="solo", perform_ping_check=False, loglevel="CRITICAL"):
        app.send_task("einbox.heartbeat")  # stands behind the bomb in the queue
        wait_for(lambda: Heartbeat.objects.filter(service="worker").exists(), seconds=10)
    assert not crater.exists()
