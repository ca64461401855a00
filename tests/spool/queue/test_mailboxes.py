"""Mailboxes, aliases, members and their import."""

import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.models.user import User
from audit.models import Event
from spool.models import Domain, Mailbox, MailboxAlias
from spool.queue import mailboxes
from spool.queue.addresses import Directory, Kind
from spool.queue.mailboxes import MailboxError
from tests.factories.spool import make_domain, make_message

NOW = timezone.now()


@pytest.fixture(autouse=True)
def _domain(db: None) -> None:
    make_domain("example.test")


def test_an_address_is_a_mailbox_or_an_alias_never_both() -> None:
    anna = mailboxes.add("Anna@Example.test", now=NOW)
    assert anna.address == "anna@example.test"
    mailboxes.add_alias(anna, "chef@example.test", now=NOW)
    assert mailboxes.get("CHEF@example.test") == anna
    for taken in ("chef@example.test", "anna@example.test"):
        with pytest.raises(MailboxError, match="exists already"):
            mailboxes.add(taken, now=NOW)
        with pytest.raises(MailboxError, match="exists already"):
            mailboxes.add_alias(anna, taken, now=NOW)
    mailboxes.remove_alias(anna, "chef@example.test", now=NOW)
    with pytest.raises(MailboxError):
        mailboxes.remove_alias(anna, "chef@example.test", now=NOW)
    assert Event.objects.filter(tag="spool.mailbox.changed").count() == 2


@pytest.mark.parametrize(
    "address", ["anna", "anna@elsewhere.test", "a%b@example.test", "a!b@example.test", '"a b"@example.test']
)
def test_addresses_no_sender_could_reach_are_refused(address: str) -> None:
    with pytest.raises(MailboxError):
        mailboxes.add(address, now=NOW)


def test_members_belong_to_shared_mailboxes() -> None:
    user = User.objects.create(email="ben@example.test")
    desk = mailboxes.add("desk@example.test", shared=True, now=NOW)
    mailboxes.add_member(desk, user, now=NOW)
    mailboxes.add_member(desk, user, now=NOW)
    assert desk.members.count() == 1
    mailboxes.remove_member(desk, user, now=NOW)
    assert desk.members.count() == 0
    with pytest.raises(MailboxError):
        mailboxes.add_member(mailboxes.add("anna@example.test", now=NOW), user, now=NOW)
    with pytest.raises(MailboxError):
        mailboxes.add("x@example.test", shared=True, user=user, now=NOW)


def test_an_import_is_all_or_nothing(tmp_path: Path) -> None:
    User.objects.create(email="ben@example.test")
    good = ["address,name,kind,aliases,members", "anna@example.test,Anna,,chef@example.test;boss@example.test,",
            "desk@example.test,Desk,shared,,ben@example.test"]  # fmt: skip
    done = mailboxes.import_csv(good, now=NOW)
    assert done.created == ("anna@example.test", "desk@example.test")
    assert mailboxes.import_csv(good, now=NOW).skipped == done.created
    assert MailboxAlias.objects.count() == 2
    for bad in (
        "nobody@elsewhere.test,,,,",
        "new@example.test,,group,,",
        "new@example.test,,shared,,ghost@example.test",
    ):
        with pytest.raises(MailboxError, match="Line 3"):
            mailboxes.import_csv([good[0], "first@example.test,,,,", bad], now=NOW)
    with pytest.raises(MailboxError, match="columns"):
        mailboxes.import_csv(["email", "x@example.test"], now=NOW)
    assert Mailbox.objects.count() == 2


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("mailbox", "add", "desk@example.test", "--shared", "--name", "Desk")
    call_command("mailbox", "alias", "desk@example.test", "help@example.test")
    User.objects.create(email="ben@example.test")
    call_command("mailbox", "member", "desk@example.test", "ben@example.test")
    people = tmp_path / "people.csv"
    people.write_text("address\nanna@example.test\n")
    call_command("mailbox", "import", str(people))
    people.write_text('address;aliases\r\neve@example.test;"e@example.test;ev@example.test"\r\n')
    call_command("mailbox", "import", str(people))
    assert mailboxes.get("ev@example.test").address == "eve@example.test"
    call_command("mailbox", "remove", "eve@example.test", "--reason", "x")
    people.write_text("address\n\nno address\n")
    with pytest.raises(CommandError, match="Line 3: no address is not an address"):
        call_command("mailbox", "import", str(people))
    capsys.readouterr()
    call_command("mailbox", "list", "--json")
    anna, desk = json.loads(capsys.readouterr().out)
    assert anna["address"] == "anna@example.test"
    assert (desk["aliases"], desk["members"]) == (["help@example.test"], ["ben@example.test"])
    with pytest.raises(CommandError):
        call_command("mailbox", "member", "anna@example.test", "ben@example.test")


def test_a_mailbox_with_history_is_set_aside_and_can_come_back() -> None:
    anna = mailboxes.add("anna@example.test", now=NOW)
    mailboxes.add_alias(anna, "chef@example.test", now=NOW)
    message = make_message(mailbox=anna)
    with pytest.raises(MailboxError, match="wait here"):
        mailboxes.remove(anna, reason="left", now=NOW)
    message.deliveries.update(state="delivered", finished_at=NOW)
    assert not mailboxes.remove(anna, reason="left", now=NOW)
    for address in ("anna@example.test", "chef@example.test"):
        assert Directory.load().resolve(address).kind is Kind.UNKNOWN
    with pytest.raises(MailboxError, match="removed already"):
        mailboxes.remove(anna, reason="twice", now=NOW)
    with pytest.raises(MailboxError, match="exists already"):
        mailboxes.add("anna@example.test", now=NOW)
    mailboxes.restore(anna, reason="back", now=NOW)
    assert Directory.load().resolve("chef@example.test").kind is Kind.MAILBOX
    reasons = Event.objects.filter(tag__in=["spool.mailbox.removed", "spool.mailbox.restored"]).order_by("id")
    assert [event.detail["reason"] for event in reasons] == ["left", "back"]


def test_a_mailbox_that_nothing_names_goes_and_a_dropbox_stays() -> None:
    mailboxes.add("new@example.test", now=NOW)
    call_command("mailbox", "remove", "new@example.test", "--reason", "a mistake")
    assert not Mailbox.objects.exists()
    box = mailboxes.add("lost@example.test", shared=True, now=NOW)
    Domain.objects.update(dropbox=box, recipient_policy="dropbox")
    with pytest.raises(CommandError, match="unknown recipients"):
        call_command("mailbox", "remove", "lost@example.test", "--reason", "x")
    with pytest.raises(CommandError, match="A reason is needed"):
        call_command("mailbox", "remove", "lost@example.test", "--reason", " ")
    with pytest.raises(CommandError, match="is not removed"):
        call_command("mailbox", "restore", "lost@example.test", "--reason", "x")


def test_a_catch_all_receives_what_nothing_else_of_its_domain_receives() -> None:
    box = mailboxes.add("info@example.test", now=NOW)
    anna = mailboxes.add("anna@example.test", now=NOW)
    mailboxes.add_alias(anna, "chef@example.test", now=NOW)
    call_command("mailbox", "alias", "@Example.test", "info@example.test", stdout=StringIO())
    assert Event.objects.get(tag="spool.mailbox.changed", detail__value="@example.test").target_id == box.address
    directory = Directory.load()
    for path in ("anna@example.test", "chef@example.test", "anna+x@example.test"):
        assert directory.resolve(path).mailbox_id == anna.pk, path
    for path in ("any@example.test", "Any+x@example.test", "+x@example.test", "postmaster@example.test"):
        assert (directory.resolve(path).kind, directory.resolve(path).mailbox_id) == (Kind.MAILBOX, box.pk), path
        assert directory.resolve(path).forward_path == path
    for path in ("a%b@example.test", '"a@b"@example.test', "b!a@example.test", "any@sub.example.test"):
        assert directory.resolve(path).kind is Kind.FOREIGN, path


def test_a_catch_all_is_listed_checked_and_removed() -> None:
    box = mailboxes.add("info@example.test", now=NOW)
    make_domain("xn--bcher-kva.test")
    for bad in ("@elsewhere.test", "@", "@-.test", "@a@example.test", "x@", "@example.test.", "@[127.0.0.1]"):
        with pytest.raises(MailboxError):
            mailboxes.add_alias(box, bad, now=NOW)
    for mailbox_is_no_catch_all in ("@example.test", "@"):
        with pytest.raises(MailboxError):
            mailboxes.add(mailbox_is_no_catch_all, now=NOW)
    mailboxes.add_alias(box, "@example.test", now=NOW)
    mailboxes.add_alias(box, "@bücher.test", now=NOW)
    with pytest.raises(MailboxError, match="exists already"):
        mailboxes.add_alias(mailboxes.add("anna@example.test", now=NOW), "@EXAMPLE.test", now=NOW)
    out = StringIO()
    call_command("mailbox", "list", "--json", stdout=out)
    assert json.loads(out.getvalue())[1]["aliases"] == ["@example.test", "@xn--bcher-kva.test"]
    call_command("mailbox", "alias", "@bücher.test", "info@example.test", "--remove", stdout=StringIO())
    call_command("mailbox", "alias", "info@example.test", "@example.test", "--remove", stdout=StringIO())
    assert Directory.load().resolve("any@example.test").kind is Kind.UNKNOWN
    assert Event.objects.filter(tag="spool.mailbox.changed", detail__change="alias removed").count() == 2
