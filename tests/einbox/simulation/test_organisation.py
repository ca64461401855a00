"""The demo organisation: made once, only where nothing real is, and never reachable from another machine."""

import base64
import io
import smtplib
import stat
from itertools import product
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings
from django.utils import timezone
from django_otp.oath import totp

from accounts.models import User
from einbox.env import HostPort, SettingsError
from einbox.simulation import guide, organisation, post, switch
from spool.models import Domain, Mailbox, Route
from spool.queue.outage import observe
from spool.queue.schedule import Evidence
from tests.doubles.installation import Installation, free_port
from tests.waiting import wait_for


@pytest.fixture
def home(tmp_path: Path, settings) -> Path:  # type: ignore[no-untyped-def]
    settings.HOME = tmp_path
    return tmp_path


@pytest.mark.django_db
def test_five_people_in_three_roles_with_mailboxes_and_log_ins(home: Path) -> None:
    assert organisation.ensure(now=timezone.now())
    assert User.objects.filter(is_demo=True).count() == 5
    assert set(User.objects.values_list("role", flat=True)) == {"employee", "security", "admin"}
    assert Mailbox.objects.filter(kind="personal", user__isnull=False).count() == 5
    assert Mailbox.objects.get(address=organisation.SHARED).members.count() == 2
    assert stat.S_IMODE((home / "demo.txt").stat().st_mode) == 0o600
    for email, _role, password, _secret in organisation.log_ins():
        assert User.objects.get(email=email).check_password(password)
    assert not organisation.ensure(now=timezone.now()), "a second start makes nothing"


@pytest.mark.django_db
def test_the_guide_shows_the_code_of_this_moment(home: Path) -> None:
    organisation.ensure(now=timezone.now())
    secret = organisation.log_ins()[0][3]
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    assert guide.code_for(secret) in {f"{totp(key, drift=drift):06d}" for drift in (-1, 0)}
    assert all(person.email in guide.text() for person in organisation.PEOPLE)


@pytest.mark.django_db
def test_a_primary_that_is_on_names_the_outage_that_a_person_opened(home: Path) -> None:
    organisation.ensure(now=timezone.now())

    def said() -> str:
        call_command("primary", "on", stdout=(out := io.StringIO()))
        return out.getvalue()

    observe(Route.objects.get(), Evidence(ok=False, host="127.0.0.1:2526"), now=timezone.now())
    assert "outage" not in said(), "what probes found ends by itself"
    call_command("outage", "open", post.DOMAIN, "--reason", "fire", stdout=io.StringIO())
    assert f"declared by a person. It ends by `outage close {post.DOMAIN}` only" in said()
    call_command("outage", "close", post.DOMAIN, "--reason", "out", stdout=io.StringIO())
    assert "outage" not in said()


@pytest.mark.django_db
def test_with_the_primary_on_it_is_said_how_to_begin_again(home: Path) -> None:
    organisation.ensure(now=timezone.now())
    assert "To begin again" not in guide.text()
    switch.turn(home, on=True)
    assert 'primary off", then make manage ARGS="demo post"' in guide.text()
    with pytest.raises(CommandError, match=r"primary is on.*`primary off`"):
        call_command("demo", "post")


@pytest.mark.django_db
def test_demo_mail_that_nobody_takes_ends_in_a_sentence(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    organisation.ensure(now=timezone.now())
    nobody = override_settings(SMTP=HostPort("127.0.0.1", free_port()))
    with nobody, pytest.raises(CommandError, match=r"was not taken .*refused.*while it runs"):  # at once
        call_command("demo", "post")
    monkeypatch.setattr("einbox.simulation.post.GIVE_UP_SECONDS", 0.0)
    monkeypatch.setattr("einbox.management.commands.demo.OUTAGE_SECONDS", 0.0)
    with pytest.raises(CommandError, match=r"was not taken .*within 0 s.*primary off"):
        call_command("demo", "post", "--starting")


@pytest.mark.django_db
def test_a_database_in_use_gets_no_demo(home: Path) -> None:
    User.objects.create(email="real@company.example")
    with pytest.raises(SettingsError, match="new database"):
        organisation.ensure(now=timezone.now())
    assert not Domain.objects.exists()
    assert not (home / "demo.txt").exists()


REACHABLE = [
    {"EINBOX_SMTP": "0.0.0.0:{port}"},
    {"EINBOX_SMTP": "[::]:{port}"},
    {"EINBOX_PUBLIC_URL": "http://mail.company.example"},
    {"EINBOX_TRUSTED_PROXIES": "127.0.0.0/8"},
    {
        "EINBOX_WEB": "0.0.0.0:{port}",
        "EINBOX_PUBLIC_URL": "https://mail.company.example",
        "EINBOX_TRUSTED_PROXIES": "10.0.0.0/8",
    },
]


@pytest.mark.pure
@pytest.mark.parametrize("change", REACHABLE)
def test_a_demo_on_a_reachable_address_is_refused(tmp_path: Path, change: dict[str, str]) -> None:
    change = {name: value.format(port=free_port()) for name, value in change.items()}
    box = Installation(tmp_path / "home", EINBOX_DEMO="1")
    box.environment |= change
    result = box.manage("up")
    assert result.returncode != 0
    assert "only listens on this machine" in result.stderr
    assert not (box.home / "demo.txt").exists()


@pytest.mark.pure
def test_a_demo_home_does_not_start_on_a_reachable_address(tmp_path: Path) -> None:
    box = Installation(tmp_path / "home", EINBOX_DEMO="1")
    with box:
        box.wait_until_up()
        assert box.stop() == 0
    del box.environment["EINBOX_DEMO"]
    for command, change in [*product(["up"], REACHABLE), *product(["web", "smtpd"], REACHABLE[:1])]:
        reachable = {name: value.format(port=free_port()) for name, value in change.items()}
        other = Installation(box.home)
        other.environment |= reachable
        result = other.manage(command)
        assert result.returncode != 0, (command, change)
        assert "only listens on this machine" in result.stderr, (command, change, result.stderr)
    (box.home / "demo.txt").unlink()  # the accounts are still there
    other = Installation(box.home)
    other.environment["EINBOX_SMTP"] = f"0.0.0.0:{free_port()}"
    assert "only listens on this machine" in other.manage("up").stderr


@pytest.mark.pure
def test_the_simulated_primary_follows_its_switch(tmp_path: Path) -> None:
    box = Installation(tmp_path / "home", EINBOX_DEMO="1")
    with box:
        box.wait_until_up()
        address = ("127.0.0.1", box.smtp_port + 1)
        assert "off" in box.manage("primary", "status").stdout
        assert "off" in box.manage("primary").stdout

        def delivered() -> bool:
            try:
                with smtplib.SMTP(*address, timeout=5) as client:
                    client.sendmail("a@b.example", "mara.lindqvist@kranich.example", b"Subject: kept\r\n\r\nhello\r\n")
            except OSError:
                return False
            return True

        assert not delivered()
        box.manage("primary", "on")
        wait_for(delivered, seconds=5)
        kept = [path.read_bytes() for path in (box.home / "primary" / "new").iterdir()]
        assert any(mail.endswith(b"Subject: kept\r\n\r\nhello\r\n") for mail in kept)
        box.manage("primary", "off")
        wait_for(lambda: not delivered(), seconds=5)


def test_demo_letters_are_plausible_mail() -> None:
    letters = list(post.letters(timezone.now()))
    assert len(letters) == 8
    for letter in letters:
        assert bytes(letter)
        assert letter["From"].addresses[0].domain.rpartition(".")[2] in {"example", "invalid"}
