"""What doctor says, and that each check can fail."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from django.test import override_settings
from django.utils import timezone

from accounts.enums import Role
from accounts.provision import create_user, enrol_totp
from audit.record import record
from audit.tags import Tag
from einbox.doctor.examination import examine
from einbox.env import HostPort
from einbox.finding import FAIL, OK, WARN
from spool.models import Delivery, Domain, Heartbeat
from spool.queue import domains, mailboxes
from tests.doubles.installation import free_port
from tests.doubles.primary import Primary
from tests.factories.spool import make_delivery, make_domain, make_mailbox, make_message, make_route
from tests.spool.smtp.certificates import make_certificate, server_context

pytestmark = pytest.mark.django_db


def states() -> dict[str, str]:
    return {finding.check: finding.state for finding in examine(now=timezone.now())}


def test_an_empty_installation_would_fail() -> None:
    found = states()
    assert found["domains"] == found["admins"] == found["keys copy"] == FAIL
    assert found["process smtpd"] == found["process watch"] == FAIL
    assert found["drill"] == found["backup"] == WARN


def said() -> dict[str, str]:
    return {finding.check: finding.sentence for finding in examine(now=timezone.now())}


def test_it_says_when_a_service_was_last_seen() -> None:
    Heartbeat.objects.create(name="watch:a:1", service="watch", at=timezone.now() - timedelta(seconds=700))
    assert (
        said()["process watch"]
        == "watch gave its last sign of life 700 s ago: it does not run, or does not do its work."
    )
    assert said()["process smtpd"] == "smtpd does not answer; is `manage.py up` running?"


def test_a_broker_that_is_part_of_the_worker_answers_nobody() -> None:
    with override_settings(BROKER_URL="memory://"):
        assert said()["process broker"] == "The broker is part of the worker (memory://): there is none to ask."
    with override_settings(BROKER_URL=f"redis://127.0.0.1:{free_port()}/0"):
        assert said()["process broker"].startswith("broker does not answer")


@contextmanager
def serving(said: bytes) -> Iterator[HostPort]:
    """A web server that answers every request with `said`, unless its Host is none."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.headers["Host"]
            self.send_response(200 if name.isascii() and (":" not in name or name.startswith("[")) else 400)
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_words: object) -> None:
            """Nobody reads it."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield HostPort("127.0.0.1", server.server_port)
        finally:
            server.shutdown()


@pytest.mark.parametrize("host", ["localhost", "::1", "пример.example"])
def test_the_pages_are_asked(host: str) -> None:
    with override_settings(PUBLIC_HOST=host, WEB=HostPort("127.0.0.1", free_port())):
        assert said()["process web"].startswith("Nothing answers")
    for words, sentence in ((b"ok\n", "The pages answer"), (b"<h1>It works</h1>", "is not einbox")):
        with serving(words) as address, override_settings(PUBLIC_HOST=host, WEB=address):
            assert sentence in said()["process web"]


def test_a_host_that_no_request_can_name_is_no_traceback() -> None:
    with serving(b"ok") as address, override_settings(PUBLIC_HOST="x" * 64 + "ü.example", WEB=address):
        assert said()["process web"].startswith("Nothing answers")


def test_people_without_a_factor_are_counted_and_an_admin_is_needed() -> None:
    create_user(email="one@company.example")
    admin = create_user(email="admin@company.example", role=Role.ADMIN)
    assert states()["admins"] == FAIL
    enrol_totp(admin)
    found = states()
    assert "admins" not in found
    assert found["people"] == WARN


def test_a_shared_mailbox_that_nobody_reads_is_named() -> None:
    make_domain("company.example")
    shared = mailboxes.add("info@company.example", now=timezone.now(), shared=True)
    assert states()["shared mailbox"] == WARN
    mailboxes.add_member(shared, create_user(email="one@company.example"), now=timezone.now())
    assert "shared mailbox" not in states()


def test_a_primary_that_does_not_answer_fails() -> None:
    make_domain("dead.example", route=make_route(name="dead.example", port=free_port()))
    assert states()["primary dead.example"] == FAIL


def test_a_primary_is_asked_as_the_watch_asks_it(tmp_path: Path) -> None:
    """One whose certificate the policy does not accept greets well, and yet no mail ever goes there."""
    with Primary(tls=server_context(make_certificate(tmp_path))) as primary:
        route = make_route(name="home.example", port=primary.port, tls="opportunistic")
        make_domain("home.example", route=route)
        assert states()["primary home.example"] == OK
        route.tls = "required"
        route.save()
        [said] = [finding for finding in examine(now=timezone.now()) if finding.check == "primary home.example"]
    assert said.state == FAIL
    assert "certificate must be valid for 127.0.0.1" in said.sentence


@pytest.mark.parametrize(("password", "state"), [("right", OK), ("wrong", FAIL)])
def test_the_way_out_is_tried_before_the_day(password: str, state: str) -> None:
    with Primary(credentials=("einbox", "right")) as relay:
        url = f"smtp://einbox@127.0.0.1:{relay.port}"
        hosts = (domains.parse_host(f"127.0.0.1:{relay.port}"),)
        wanted = domains.Settings(hosts=hosts, smarthost=url, smarthost_password=password)
        domains.add("home.example", wanted, now=timezone.now())
        assert states()["smarthost home.example"] == state
    assert "submission home.example" not in states()


def test_a_clock_that_went_back_fails() -> None:
    record(Tag.KEYS_SHOWN, at=timezone.now() + timedelta(hours=1))
    assert states()["clock"] == FAIL


def test_old_mail_while_the_server_is_up_is_said() -> None:
    message = make_message(mailbox=make_mailbox("mara@slow.example"))
    assert states()["queue"] == OK
    Delivery.objects.filter(message=message).update(created_at=timezone.now() - timedelta(hours=5))
    assert states()["queue"] == WARN
    assert Domain.objects.get(name="slow.example")


@pytest.mark.parametrize(("days", "state"), [(-1, FAIL), (5, WARN), (60, OK)])
def test_certificates_are_looked_at(tmp_path: Path, settings, days: int, state: str) -> None:  # type: ignore[no-untyped-def]
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "einbox.example")])
    now = timezone.now()
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + timedelta(days=days))
        .sign(key, SHA256())
    )
    (tmp_path / "cert.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    settings.SMTP_CERT = str(tmp_path / "cert.pem")
    assert states()["tls smtp"] == state


def test_a_certificate_that_is_none_fails(tmp_path: Path, settings) -> None:  # type: ignore[no-untyped-def]
    settings.TLS_CERT = str(tmp_path / "absent.pem")
    assert states()["tls web"] == FAIL
    assert said()["tls web"].endswith("absent.pem cannot be read (No such file or directory).")
    (tmp_path / "absent.pem").write_text("soon")
    assert said()["tls web"].endswith("absent.pem holds no certificate in PEM form.")


def test_demo_accounts_are_named() -> None:
    create_user(email="demo@company.example", demo=True)
    assert states()["demo"] == WARN


def test_mail_that_expires_soon_is_named() -> None:
    assert "expiry" not in states()
    make_delivery(warned=2, warned_at=timezone.now())
    assert states()["expiry"] == WARN
