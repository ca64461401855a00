"""The address grammar and who is who."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spool.queue.addresses import KNOWN, Address, AddressError, Directory, Kind, normalise, parse_address
from tests.factories.spool import make_domain, make_mailbox


@pytest.mark.pure
@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("anna@example.test", Address("anna", "example.test")),
        ("Anna.B@EXAMPLE.Test", Address("Anna.B", "example.test")),
        ('"anna"@example.test', Address("anna", "example.test")),
        ('"an na"@example.test', Address('"an na"', "example.test")),
        ("grüße@bücher.test", Address("grüße", "xn--bcher-kva.test")),
        ("a+tag@example.test", Address("a+tag", "example.test")),
        ("x" * 64 + "@example.test", Address("x" * 64, "example.test")),
    ],
)
def test_addresses_read(text: str, address: Address) -> None:
    assert parse_address(text) == address


@pytest.mark.pure
@pytest.mark.parametrize(
    "text",
    [
        "", "anna", "@example.test", "anna@", "anna@@example.test", "anna@example..test", "anna@-x.test", ".a@x.test",
        "a..b@x.test", "a b@x.test", "a@x.test ", "a@[127.0.0.1]", "<a@x.test>", "@y.test:a@x.test", "a\x00@x.test",
        "a\n@x.test", "a@x\r\n.test", "x" * 65 + "@x.test", "a@" + "x" * 64 + ".test", "a@" + "x." * 130 + "test",
        '"a"b"@x.test', '""@x.test', "a\u202eb@x.test",
        "a@\u061cb.test", "a\xadb@x.test", "a\U000e0041@x.test", "a(comment)@x.test", "a,b@x.test", "a:b@x.test",
    ],
)  # fmt: skip
def test_what_is_not_an_address_is_refused(text: str) -> None:
    with pytest.raises(AddressError):
        parse_address(text)


@pytest.mark.pure
@given(st.text())
def test_any_text_gives_an_address_or_an_address_error(text: str) -> None:
    try:
        form = normalise(text)
    except AddressError:
        return
    assert normalise(form) == form


@pytest.mark.django_db
def test_resolving_knows_mailboxes_aliases_subaddresses_and_strangers() -> None:
    mailbox = make_mailbox("anna@example.test")
    mailbox.aliases.create(address="chef@example.test")
    make_mailbox("gone@example.test", is_active=False)
    directory = Directory.load()

    for path in (
        "anna@example.test",
        "ANNA@Example.Test",
        "chef@example.test",
        "anna+list@example.test",
        '"anna"@example.test',
    ):
        resolved = directory.resolve(path)
        assert (resolved.kind, resolved.mailbox_id) == (Kind.MAILBOX, mailbox.pk), path
        assert resolved.route_id == mailbox.domain.route_id
    assert directory.resolve("nobody@example.test").kind is Kind.UNKNOWN
    assert directory.resolve("gone@example.test").kind is Kind.UNKNOWN
    assert directory.resolve("anna@elsewhere.test").kind is Kind.FOREIGN


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path", ["a%elsewhere.test@example.test", "elsewhere.test!a@example.test", '"a@elsewhere.test"@example.test']
)
def test_a_second_address_in_the_local_part_is_foreign(path: str) -> None:
    make_domain("example.test")
    assert Directory.load().resolve(path).kind is Kind.FOREIGN


@pytest.mark.django_db
def test_the_local_part_keeps_its_case_on_the_way_home() -> None:
    make_mailbox("anna@example.test")
    assert Directory.load().resolve("Anna@EXAMPLE.test").forward_path == "Anna@example.test"


@pytest.mark.django_db
def test_what_a_directory_remembers_is_right_bounded_and_ends_with_it() -> None:
    mailbox = make_mailbox("anna@example.test")
    before = Directory.load()
    for number in range(KNOWN + 100):  # subaddresses that somebody makes up
        path = f"anna+{number}@example.test"
        assert before.resolve(path).forward_path == path
        assert before.resolve(path).mailbox_id == mailbox.pk
        assert before.resolve(f"nobody{number}@example.test").kind is Kind.UNKNOWN
    assert 0 < len(before._known) <= KNOWN
    mailbox.is_active = False
    mailbox.save()
    assert Directory.load().resolve("anna+1@example.test").kind is Kind.UNKNOWN


@pytest.mark.django_db
def test_postmaster_goes_to_the_dropbox_if_nobody_holds_the_address() -> None:
    domain = make_domain("example.test")
    assert Directory.load().resolve("postmaster@example.test").kind is Kind.UNKNOWN
    domain.dropbox = make_mailbox("desk@example.test", shared=True)
    domain.save()
    resolved = Directory.load().resolve("Postmaster@example.test")
    assert (resolved.mailbox_id, resolved.postmaster) == (domain.dropbox.pk, True)
