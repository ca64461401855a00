"""Protected domains: added, changed and removed with their events; what makes no sense is a sentence."""

import json
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.crypto import unseal
from audit.models import Event
from einbox.env import HostPort
from spool.enums import RecipientPolicy, WhileUp
from spool.models import Domain, Outage, Route
from spool.queue import domains, removal
from spool.queue.domains import DomainError, Host, Settings
from spool.queue.outage import observe
from spool.queue.schedule import Evidence

pytestmark = pytest.mark.django_db
NOW = timezone.now()
PRIMARY = Settings(hosts=(Host("mail.example.test", 25), Host("192.0.2.1", 2525)))


def test_a_domain_is_added_with_a_route_of_its_own() -> None:
    domain = domains.add("Bücher.TEST", PRIMARY, now=NOW)
    assert domain.name == "xn--bcher-kva.test"
    assert [str(host) for host in domain.route.hosts.all()] == ["mail.example.test:25", "192.0.2.1:2525"]
    assert Event.objects.get(tag="spool.domain.added").target_label == domain.name
    with pytest.raises(DomainError, match="protected already"):
        domains.add("bücher.test", PRIMARY, now=NOW)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("not a name", PRIMARY),
        ("example.test", Settings()),
        ("example.test", Settings(hosts=(Host("a.test"), Host("a.test")))),
        ("example.test", Settings(hosts=PRIMARY.hosts, recipients=RecipientPolicy.DROPBOX)),
        ("example.test", Settings(hosts=PRIMARY.hosts, dropbox="desk@elsewhere.test")),
        ("example.test", Settings(hosts=PRIMARY.hosts, smarthost="http://x.test")),
        ("example.test", Settings(hosts=PRIMARY.hosts, submission="smtp://user:secret@x.test:587")),
    ],
)
def test_what_makes_no_sense_is_refused_and_leaves_nothing(name: str, settings: Settings) -> None:
    with pytest.raises(DomainError):
        domains.add(name, settings, now=NOW)
    assert not Domain.objects.exists()
    assert not Route.objects.exists()
    assert not Event.objects.exists()


@pytest.mark.parametrize(
    "text", ["", ":25", "host:0", "host:65536", "host:x", "a b:25", "::1:25", "host/path", "u@host:25"]
)
def test_bad_primaries(text: str) -> None:
    with pytest.raises(DomainError):
        domains.parse_host(text)


@pytest.mark.parametrize("name", ["127.0.0.1", "::1", "localhost", "einbox.example.test", "EINBOX.example.test"])
def test_einbox_cannot_be_its_own_primary(name: str, settings: LazySettings) -> None:
    settings.SMTP, settings.SMTP_HOSTNAME = HostPort("0.0.0.0", 2525), "einbox.example.test"
    with pytest.raises(DomainError, match="einbox itself"):
        domains.add("example.test", Settings(hosts=(Host(name, 2525),)), now=NOW)
    domains.add("example.test", Settings(hosts=(Host(name, 2526),)), now=NOW)


def test_good_primaries() -> None:
    assert domains.parse_host("mail.example.test") == Host("mail.example.test", 25)
    assert domains.parse_host("[2001:db8::1]:2525") == Host("2001:db8::1", 2525)


def test_a_change_touches_only_what_is_named() -> None:
    domains.add("example.test", PRIMARY, now=NOW)
    wanted = Settings(recipients=RecipientPolicy.DROPBOX, dropbox="desk@example.test", while_up=WhileUp.RELAY)
    domain = domains.change("example.test", wanted, now=NOW)
    assert domain.dropbox is not None
    assert (domain.dropbox.address, domain.dropbox.kind) == ("desk@example.test", "shared")
    assert domain.route.hosts.count() == 2
    assert sorted(Event.objects.get(tag="spool.domain.changed").detail["fields"]) == [
        "dropbox",
        "recipients",
        "while_up",
    ]


def test_a_removed_domain_whose_route_had_an_outage_can_be_added_again() -> None:
    route = domains.add("again.test", PRIMARY, now=NOW).route
    Outage.objects.create(route=route, opened_at=NOW, closed_at=NOW)
    Route.objects.filter(pk=route.pk).update(state="down", confirmed_at=NOW, held=True)
    removal.remove("again.test", now=NOW)
    fresh = domains.add("again.test", Settings(hosts=(Host("mail2.test", 25),)), now=NOW).route
    assert (fresh.pk, fresh.state, fresh.held, fresh.confirmed_at) == (route.pk, "up", False, None)
    assert [str(host) for host in fresh.hosts.all()] == ["mail2.test:25"]


def test_a_primary_that_nobody_has_looked_at_is_not_called_up(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("domain", "add", "example.test", "--primary", "192.0.2.1:25")
    assert capsys.readouterr().out.endswith("state=not looked at yet\n")
    call_command("domain", "list", "--json")
    [shown] = json.loads(capsys.readouterr().out)
    assert (shown["state"], shown["confirmed_at"]) == ("up", None)
    observe(Route.objects.get(), Evidence(ok=True, host="192.0.2.1:25"), now=NOW)
    call_command("domain", "list")
    assert "state=up  confirmed_at=" in capsys.readouterr().out


def test_the_command_adds_shows_changes_and_removes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = tmp_path / "password"
    secret.write_text("swordfish\n")
    call_command("domain", "add", "example.test", "--primary", "192.0.2.1:25", "--submission", "smtps://u@192.0.2.1:465",
                 "--password-file", str(secret), "--json")  # fmt: skip
    [shown] = json.loads(capsys.readouterr().out)
    assert (shown["domain"], shown["primary"], shown["recipients"]) == ("example.test", ["192.0.2.1:25"], "reject")
    route = Route.objects.get()
    sealed = bytes(route.submission_password or b"")
    assert unseal(sealed, f"route-submission:{route.pk}") == b"swordfish"
    assert Event.objects.get(tag="spool.domain.added").actor_kind == "operator"
    call_command("domain", "set", "example.test", "--recipients", "accept")
    call_command("domain", "list")
    assert "recipients=accept" in capsys.readouterr().out
    call_command("domain", "remove", "example.test")
    assert not Domain.objects.exists()
    with pytest.raises(CommandError, match=f"not a protected domain any more: it was removed on {timezone.now():%Y-}"):
        call_command("domain", "remove", "example.test")
    with pytest.raises(CommandError, match="not a protected domain and never was one"):
        call_command("domain", "remove", "elsewhere.test")
