"""PostgreSQL stops, hangs, is full of connections or cannot sync while mail comes in (F5, F8); a server of our own.

smtpd runs as it is started; nothing is asked but its port, its process and the database.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from django.db import connection
from pytest_django import DjangoDbBlocker

from spool.models import Mailbox, Message
from spool.queue import content, files
from tests.bench.processes import descendants, pss_of
from tests.doubles.postgresql import PostgresServer
from tests.doubles.small_disk import MOUNTED, FileLimit, SmallDisk
from tests.doubles.smtpd import Client, SmtpdProcess
from tests.doubles.syncs import Syncs
from tests.factories.spool import make_domain, make_mailbox, make_raw, make_route
from tests.faults.senders import Senders, Traffic, settle
from tests.waiting import wait_for

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.untraced]

SENDERS = 6
HANGS = 11  # seconds
SMALL, MANY = 60_000, 200  # octets, senders: in the row
LARGE, FEW = 300_000, 10  # in a file
PER_SENDER = 4 * 2**20  # octets of memory


@pytest.fixture(scope="module")
def idle() -> PostgresServer:
    return PostgresServer()


@pytest.fixture(scope="module")
def syncs(idle: PostgresServer) -> Syncs:
    return Syncs(idle.home)


@pytest.fixture(scope="module")
def server(idle: PostgresServer, syncs: Syncs) -> Iterator[PostgresServer]:
    """Its syncs are counted and may fail."""
    idle.environment |= syncs.environment
    with idle as running:
        yield running


@pytest.fixture
def database(server: PostgresServer, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    with django_db_blocker.unblock(), server.migrated() as name:
        yield name


@pytest.fixture
def anna(database: str) -> Mailbox:
    return make_anna()


def make_anna() -> Mailbox:
    """anna@example.test, whose primary is down, in the private server."""
    make_domain("example.test", route=make_route(name="example.test", state="down"))
    return make_mailbox("anna@example.test")


def memory(process: SmtpdProcess) -> int:
    return sum(map(pss_of, descendants(process.process.pid)))


def test_a_server_that_stops_at_once_and_returns_costs_no_mail(
    server: PostgresServer, anna: Mailbox, tmp_path: Path
) -> None:
    senders = Senders(tmp_path, SENDERS, anna.address)
    with closing(senders), SmtpdProcess(tmp_path) as process:
        with Traffic(senders, process.address) as traffic:
            for _ in range(2):
                traffic.promises(SENDERS * 3)
                server.stop()
                traffic.refuses(SENDERS * 2)
                server.start()
            traffic.promises(SENDERS * 3)
        settle(senders, process.address)
        assert process.process.poll() is None
        assert set(senders.refusals) == {"451 4.3.0"}


def test_too_many_connections_cost_no_mail(
    server: PostgresServer, database: str, anna: Mailbox, tmp_path: Path
) -> None:
    senders = Senders(tmp_path, SENDERS, anna.address)
    with closing(senders), SmtpdProcess(tmp_path) as process:
        with Traffic(senders, process.address) as traffic:
            for _ in range(2):
                traffic.promises(SENDERS * 5)
                server.limit(database, 0)
                traffic.refuses(SENDERS * 3)
                server.limit(database, -1)
            traffic.promises(SENDERS * 5)
        settle(senders, process.address)
        assert process.process.poll() is None
        assert set(senders.refusals) == {"451 4.3.0"}


def test_a_server_that_hangs_is_a_451_and_costs_no_mail(server: PostgresServer, anna: Mailbox, tmp_path: Path) -> None:
    senders = Senders(tmp_path, SENDERS, anna.address)
    with closing(senders), SmtpdProcess(tmp_path) as process:
        with Traffic(senders, process.address) as traffic:
            traffic.promises(SENDERS * 5)
            before, over = memory(process), time.monotonic() + HANGS
            server.pause()
            try:
                traffic.refuses(SENDERS)
                wait_for(lambda: time.monotonic() > over, HANGS)
                most = memory(process)
            finally:
                server.resume()
            traffic.promises(SENDERS * 5)
        settle(senders, process.address)
        assert process.process.poll() is None
        assert set(senders.refusals) == {"451 4.3.0"}
    print(f"{(most - before) / 2**20:.1f} MiB more")
    assert most - before < SENDERS * PER_SENDER


@pytest.mark.parametrize("disk", [*MOUNTED, FileLimit], indirect=True)
def test_a_full_disk_of_the_server_costs_no_mail(
    server: PostgresServer, django_db_blocker: DjangoDbBlocker, disk: SmallDisk | FileLimit, tmp_path: Path
) -> None:
    place = disk.path / "tables"
    place.mkdir()
    with ExitStack() as stack:
        stack.enter_context(django_db_blocker.unblock())
        stack.enter_context(server.migrated(place))
        senders = stack.enter_context(closing(Senders(tmp_path, SENDERS, make_anna().address)))
        process = stack.enter_context(SmtpdProcess(tmp_path))
        with Traffic(senders, process.address) as traffic:
            traffic.promises(SENDERS * 5)
            disk.fill(server.process.pid)
            traffic.refuses(SENDERS * 3)
            if isinstance(disk, FileLimit):  # its log cannot be written, either: it gives up until somebody comes
                server.stop()
                server.start()
            disk.make_room(server.process.pid)
            traffic.promises(SENDERS * 5)
        settle(senders, process.address)
        assert process.process.poll() is None
        assert set(senders.refusals) == {"451 4.3.0"}


@pytest.mark.soak
def test_mail_for_a_server_that_hangs_is_not_kept(server: PostgresServer, anna: Mailbox, tmp_path: Path) -> None:
    """Whoever heard 451 has the mail, so it need not stay until the server is back: not in memory, not as a file."""

    def all_send(answer: str) -> None:
        for number, client in enumerate(clients):
            client.mail(anna.address)
            assert client.say("DATA").startswith("354")
            size = LARGE if number < FEW else SMALL
            client.send(b"Subject: mail\r\n\r\n" + (b"y" * 62 + b"\r\n") * (size // 64) + b".\r\n")
        for client in clients:
            assert client.reply().startswith(answer)

    with SmtpdProcess(tmp_path, EINBOX_SMTPD_SESSIONS_PER_CLIENT=str(MANY)) as process, ExitStack() as stack:
        clients = [stack.enter_context(Client(process.address)) for _ in range(MANY)]
        for _ in range(3):  # each lane has its connection
            all_send("250")
        before = len(list(files.older_than(0)))
        server.pause()
        stack.callback(server.resume)
        taken, lying = [], []
        for _ in range(5):
            all_send("451 4.3.0")
            taken.append(memory(process) / 2**20)
            lying.append(len(list(files.older_than(0))) - before)
    print([f"{mebioctets:.0f} MiB" for mebioctets in taken], lying)
    assert taken[-1] < taken[1] + SMALL * MANY / 2**20
    assert max(lying) <= 2 * FEW


def test_a_server_that_promises_too_early_is_found_out(server: PostgresServer, anna: Mailbox, tmp_path: Path) -> None:
    """The control: with the answer before the commit the same ledgers must report a loss."""
    senders = Senders(tmp_path, SENDERS, anna.address)
    early = SmtpdProcess(tmp_path, EINBOX_FAILPOINTS="smtpd.reply_before_commit=on")
    with closing(senders):
        with early as process, Traffic(senders, process.address) as traffic:
            traffic.promises(SENDERS)
            server.stop()
            traffic.promises(SENDERS * 3)
        server.start()
        assert senders.balance().lost


def test_every_250_has_its_sync_and_a_failed_sync_is_a_451(
    server: PostgresServer, syncs: Syncs, anna: Mailbox, tmp_path: Path
) -> None:
    raws = [make_raw() for _ in range(5)]
    with SmtpdProcess(tmp_path) as process, Client(process.address) as client:
        before = syncs.count
        for _ in range(20):
            assert client.transaction(make_raw(), anna.address).startswith("250 2.0.0")
        assert syncs.count - before >= 20
        syncs.fail(on=True)  # PostgreSQL believes no file any more and begins anew from its log
        assert {client.transaction(raw, anna.address)[:9] for raw in raws} == {"451 4.3.0"}
        syncs.fail(on=False)
        server.stop()
        server.start()
        assert {client.transaction(raw, anna.address)[:9] for raw in raws} == {"250 2.0.0"}
        assert process.process.poll() is None
    kept = [content.read(message) for message in Message.objects.all()]
    assert len(kept) == 20 + 5
    assert set(raws) <= set(kept)


def test_the_count_of_syncs_sees_commits_without_one(syncs: Syncs, anna: Mailbox) -> None:
    """The control: commits that need not be on the disk cost fewer syncs than there are commits."""
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = off")
        before = syncs.count
        for _ in range(20):
            Mailbox.objects.filter(pk=anna.pk).update(name="Anna")
    assert syncs.count - before < 20
