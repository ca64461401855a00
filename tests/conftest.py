"""Shared fixtures and lanes; TEST_STRICT=1 turns every skip into a failure. tests/settings.py prepares the settings."""

import logging
import os
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import pytest
from coverage import Coverage
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from tests import planted
from tests.corpora import CORPORA

STRICT = os.environ.get("TEST_STRICT") == "1"
LANES = {
    "browser": "no Chromium",
    "postfix": "no Postfix",
    "services": "no PostgreSQL or no Redis",
    "corpora": "no folder of public test mail beside the checkout",
}
DATABASE_FIXTURES = {"db", "transactional_db", "live_server", "installation"}
OPTIONAL = {"corpora"}  # third-party data that is not part of the repository: the strict lane runs it where it is
LONGEST = (
    "tests/faults/test_kill.py",
    "tests/e2e/test_corpus.py",
    "tests/faults/test_drill.py::test_drill_with_postfix",
    "tests/einbox/simulation/test_demo_outage.py",
    "tests/faults/test_drill.py",
)
# A deadline is a stopwatch, and a busy machine breaks it: speed is asserted nowhere.
hypothesis_settings.register_profile("einbox", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("einbox")


def missing_lanes(terminalreporter: pytest.TerminalReporter) -> list[str]:
    skipped = {str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])}
    return [f"{lane} ({why})" for lane, why in LANES.items() if any(f"lane {lane}" in text for text in skipped)]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose lane this machine cannot run; in the strict lane that is a failure."""
    for lane, why in LANES.items():
        if item.get_closest_marker(lane) and not lane_available(lane):
            if STRICT and lane not in OPTIONAL:
                pytest.fail(f"lane {lane} is missing in the strict lane: {why}", pytrace=False)
            pytest.skip(f"lane {lane}: {why}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first, so that no runner is left alone with one at the end; those with a browser after all others.

    A test that reaches the configured services may not be called pure: the strict lane leaves pure tests out.
    """
    wrong = [item.nodeid for item in items if item.get_closest_marker("pure") and reaches_services(item)]
    if wrong:
        raise pytest.UsageError("marked pure, but reaches the database or the broker: " + ", ".join(wrong))
    items.sort(key=place)
    items[:] = paired(items, runners=int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))


def place(item: pytest.Item) -> tuple[bool, int, bool]:
    """Tests with a browser last: from the first one on its event loop owns the thread, and no other can run there."""
    named = next((number for number, name in enumerate(LONGEST) if item.nodeid.startswith(name)), len(LONGEST))
    return item.get_closest_marker("browser") is not None, named, item.get_closest_marker("slow") is None


def paired(items: list[pytest.Item], *, runners: int) -> list[pytest.Item]:
    """A runner begins with two tests: put a brief one behind each of the first long ones."""
    first = items[:runners]
    brief = [item for item in items[runners:] if not any(map(item.get_closest_marker, ("slow", "browser")))][:runners]
    taken = {*first, *brief}
    pairs = [item for pair in zip_longest(first, brief) for item in pair if item is not None]
    return pairs + [item for item in items if item not in taken]


def reaches_services(item: pytest.Item) -> bool:
    marks = any(item.get_closest_marker(name) for name in ("django_db", "services"))
    return marks or bool(DATABASE_FIXTURES & set(getattr(item, "fixturenames", ())))


def lane_available(lane: str) -> bool:
    if lane == "browser":
        return bool(chromium_path())
    if lane == "postfix":
        return Path("/usr/sbin/postfix").exists()
    if lane == "corpora":
        return CORPORA.is_dir()
    return bool(os.environ.get("TEST_DATABASE_URL") and os.environ.get("TEST_REDIS_URL"))


def chromium_path() -> str | None:
    """The machine's own Chromium or Chrome, nothing is downloaded; the one without windows costs a third."""
    import shutil

    names = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    missing = missing_lanes(terminalreporter)
    terminalreporter.write_line("lanes not run: " + ("; ".join(missing) if missing else "none"))


@pytest.fixture(scope="session", autouse=True)
def quickly_emptied_tables() -> Iterator[None]:
    """Let tests/emptying.py clear up after a `django_db(transaction=True)` test, in place of Django's flush."""
    from django.db import connections
    from django.test import TransactionTestCase

    from tests.emptying import empty

    def clear_up(case: TransactionTestCase) -> None:
        # The stubs leave out Django's private names; the hook that calls this is one itself.
        for name in case._databases_names(include_mirrors=False):  # type: ignore[attr-defined]
            empty(connections[name])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", clear_up)
        yield


@pytest.fixture(autouse=True)
def tracing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No coverage of tests marked `untraced`, nor of the processes they start: it doubles what they cost."""
    tracer = Coverage.current()
    if tracer is None or request.node.get_closest_marker("untraced") is None:
        yield
        return
    for name in ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START"):
        monkeypatch.delenv(name, raising=False)
    tracer.stop()
    yield
    tracer.start()


@pytest.fixture(autouse=True)
def trusted_storage() -> None:
    """A storage that failed in one test is asked again in the next, not half a minute later."""
    from spool.queue import files

    files.resume()


@pytest.fixture(scope="session", autouse=True)
def droppable_database() -> Iterator[None]:
    """Drop PostgreSQL's test database although a session of a process that a test killed may still be ending."""
    from django.db.backends.postgresql.creation import DatabaseCreation

    def drop(creation: DatabaseCreation, name: str, _verbosity: int) -> None:
        creation.connection.close_pool()
        with creation._nodb_cursor() as cursor:  # type: ignore[attr-defined]
            cursor.execute(f"DROP DATABASE {creation.connection.ops.quote_name(name)} WITH (FORCE)")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DatabaseCreation, "_destroy_test_db", drop)
        yield


@pytest.fixture(scope="session", autouse=True)
def collected_static_files() -> None:
    """Gather the static files once, as the first start does: pages name them by their hashed names."""
    from einbox.first_start import collect_static

    collect_static()


@pytest.fixture(scope="session", autouse=True)
def watched_logs() -> Iterator[None]:
    """Plant the secrets of the run, and look at its log lines for them."""
    planted.plant_constants()
    with pytest.MonkeyPatch.context() as patch:
        planted.observe_makers(patch)
        yield
    logging.getLogger().removeHandler(planted.watcher)


@pytest.fixture(autouse=True)
def no_secret_in_a_log(watched_logs: None) -> Iterator[None]:
    """Fail the test during which a secret came into a log.

    The watcher is put back each time: a Celery worker that starts in this process configures logging anew.
    """
    logging.getLogger().addHandler(planted.watcher)
    yield
    if leaks := planted.watcher.told():
        pytest.fail("secrets in logs: " + "; ".join(leaks), pytrace=False)
