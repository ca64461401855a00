"""A backup carries the search index: it lies in the database, and its key is among the field keys."""

import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from django.utils import timezone

from einbox.backup import database
from spool.queue import parsing
from tests.factories.spool import make_message


@pytest.mark.django_db(transaction=True)
def test_the_image_holds_the_search_index(tmp_path: Path) -> None:
    message = make_message()
    parsing.sweep(now=timezone.now())
    parsing.stop()
    image = tmp_path / database.dump(tmp_path).file
    if database.engine() == "sqlite":
        with closing(sqlite3.connect(image)) as copy:
            assert copy.execute("SELECT rowid FROM spool_searchindex").fetchall() == [(message.pk,)]
    else:
        said = subprocess.run(
            ["pg_restore", "--data-only", "--table=spool_searchindex", "--file=-", str(image)],
            capture_output=True,
            text=True,
            check=True,
        )
        assert str(message.pk) in said.stdout
