"""DKIM keys: they wait, sign, are replaced and erased; only what our people send past their own server is signed."""

from typing import Any

import pytest
from django.utils import timezone

from accounts.crypto import DecryptionError, unseal
from accounts.models import User
from audit.models import Event
from spool.enums import DeliveryState, Direction, RouteState
from spool.models import Delivery, DkimKey, Domain, Mailbox, Message, Route
from spool.queue import content, drafts, removal, signing
from spool.queue.drafts import Fields
from spool.queue.drain import Drain
from spool.queue.ingest import Recipient
from spool.queue.signing import SigningError
from spool.queue.submit import submit
from tests.doubles.dkim import verify
from tests.doubles.primary import Primary
from tests.factories.accounts import make_user
from tests.factories.spool import make_domain, make_mailbox, make_message, make_raw, make_route

NOW = timezone.now()


@pytest.fixture
def domain(transactional_db: None) -> Domain:
    return make_domain("example.test", route=make_route(name="example.test", state="down"))


@pytest.fixture
def user(domain: Domain) -> User:
    user = make_user(email="tilda@example.test", name="Tilda Kranich")
    make_mailbox("tilda@example.test", domain=domain, user=user)
    return user


def records() -> dict[str, str]:
    return {signing.record_name(key): signing.record_value(key) for key in DkimKey.objects.select_related("domain")}


def states(domain: Domain) -> dict[str, str]:
    return {key.selector: signing.state(key) for key in signing.keys_of(domain)}


def signing_pair(domain: Domain, selector: str = "") -> list[DkimKey]:
    made = signing.make(domain, now=NOW, selector=selector)
    return signing.confirm(domain, made, seen="word", now=NOW)


def send(user: User, route: Route, relay: Primary, **fields: Any) -> Message:
    """A message to outside, drained to `relay` as smarthost (or as primary, where the route is open)."""
    mailbox = Mailbox.objects.get(user=user)
    typed = Fields(to="ottilie@outside.example", subject="Grüße", body="Hello,\n\n  how are you?\n", **fields)
    sent = submit(user, drafts.begin(user, mailbox, typed, now=NOW).draft.public_id, now=NOW)
    Route.objects.filter(pk=route.pk).update(smarthost_url=f"smtp://127.0.0.1:{relay.port}")
    Drain(route, Direction.OUTBOUND).run()
    return sent.message


def test_what_leaves_by_the_smarthost_is_signed_by_both_keys(user: User, domain: Domain) -> None:
    pair = signing_pair(domain)
    with Primary() as smarthost:
        message = send(user, domain.route, smarthost)
        [kept] = smarthost.kept
    assert verify(kept.octets, records().get) == {key.selector: "pass" for key in pair}
    assert kept.octets.endswith(content.read(message))
    assert kept.octets.startswith(b"Received: ")
    assert b"d=example.test;" in kept.octets


def test_a_key_that_waits_for_its_record_signs_nothing(user: User, domain: Domain) -> None:
    signing.make(domain, now=NOW)
    with Primary() as smarthost:
        send(user, domain.route, smarthost)
        assert verify(smarthost.kept[0].octets, records().get) == {}


def test_what_passes_the_domains_own_server_is_left_to_it(user: User, domain: Domain) -> None:
    signing_pair(domain)
    with Primary() as primary:
        domain.route.hosts.update(port=primary.port)
        mailbox = Mailbox.objects.get(user=user)
        draft = drafts.begin(user, mailbox, Fields(to="ottilie@outside.example", body="x"), now=NOW).draft
        submit(user, draft.public_id, now=NOW)
        Route.objects.filter(pk=domain.route_id).update(state=RouteState.RECOVERING)
        Drain(domain.route, Direction.OUTBOUND).run()
        [kept] = primary.kept
    assert b"DKIM-Signature" not in kept.octets


def test_mail_from_outside_is_never_touched_on_any_way(domain: Domain) -> None:
    signing_pair(domain)
    raw = make_raw()
    outbound = Recipient("someone@outside.test", domain.route_id, direction=Direction.OUTBOUND)
    with Primary() as server:
        domain.route.hosts.update(port=server.port)
        make_message(raw, mailbox=make_mailbox("anna@example.test"))
        make_message(make_raw(), recipients=(outbound,))  # whoever wrote it, it was none of our people
        Route.objects.filter(pk=domain.route_id).update(smarthost_url=f"smtp://127.0.0.1:{server.port}")
        Drain(domain.route, Direction.OUTBOUND).run()
        Route.objects.filter(pk=domain.route_id).update(state=RouteState.RECOVERING)
        Drain(domain.route, Direction.INBOUND).run()
    assert len(server.kept) == 2
    assert server.kept[1].octets.endswith(raw)
    assert not any(b"DKIM-Signature" in kept.octets for kept in server.kept)


def test_mail_waits_while_a_key_cannot_be_opened(user: User, domain: Domain) -> None:
    signing_pair(domain)
    DkimKey.objects.filter(algorithm="rsa-sha256").update(sealed=b"\x01" + bytes(60))
    with Primary() as smarthost:
        message = send(user, domain.route, smarthost)
        assert smarthost.kept == []
    delivery = Delivery.objects.get(message=message)
    assert (delivery.state, "cannot be opened" in delivery.last_reply) == (DeliveryState.QUEUED, True)


def test_a_fresh_pair_takes_over_when_its_records_are_public(user: User, domain: Domain) -> None:
    old = signing_pair(domain, "old")
    fresh = signing.make(domain, now=NOW, selector="new")
    assert states(domain) == {"old-rsa": "signs", "old-ed25519": "signs", "new-rsa": "waits", "new-ed25519": "waits"}
    only_rsa = [key for key in fresh if key.algorithm == "rsa-sha256"]
    assert signing.confirm(domain, only_rsa, seen="dns", now=NOW) == only_rsa
    assert states(domain) == {"old-rsa": "retired", "old-ed25519": "signs", "new-rsa": "signs", "new-ed25519": "waits"}
    with Primary() as smarthost:
        send(user, domain.route, smarthost)
        assert verify(smarthost.kept[0].octets, records().get) == {"new-rsa": "pass", "old-ed25519": "pass"}
    signing.confirm(domain, fresh, seen="dns", now=NOW)
    assert signing.confirm(domain, fresh, seen="dns", now=NOW) == []
    assert set(DkimKey.objects.filter(pk__in=[key.pk for key in old]).values_list("sealed", flat=True)) == {None}
    details = [event.detail for event in Event.objects.filter(tag="spool.dkim.confirmed").order_by("id")]
    assert details == [
        {"selectors": ["old-ed25519", "old-rsa"], "retired": [], "seen": "word"},
        {"selectors": ["new-rsa"], "retired": ["old-rsa"], "seen": "dns"},
        {"selectors": ["new-ed25519"], "retired": ["old-ed25519"], "seen": "dns"},
    ]


def test_a_selector_is_never_used_twice(domain: Domain) -> None:
    first = {key.selector for key in signing.make(domain, now=NOW)}
    second = {key.selector for key in signing.make(domain, now=NOW)}
    assert first == {f"einbox-{NOW:%Y%m%d}-rsa", f"einbox-{NOW:%Y%m%d}-ed25519"}
    assert second == {f"einbox-{NOW:%Y%m%d}-2-rsa", f"einbox-{NOW:%Y%m%d}-2-ed25519"}
    assert {name: state for name, state in states(domain).items() if name in first} == dict.fromkeys(first, "retired")
    signing.make(domain, now=NOW, selector="Mine")
    for bad in ("mine", "a.b", "-a", "a" * 41, "a b", "ä", "a;b"):
        with pytest.raises(SigningError):
            signing.make(domain, now=NOW, selector=bad)


def test_stopping_erases_the_keys_and_needs_one_and_a_reason(user: User, domain: Domain) -> None:
    with pytest.raises(SigningError, match="no key"):
        signing.stop(domain, reason="none", now=NOW)
    signing_pair(domain)
    with pytest.raises(SigningError, match="reason"):
        signing.stop(domain, reason=" ", now=NOW)
    signing.stop(domain, reason="stolen", now=NOW)
    assert set(DkimKey.objects.values_list("sealed", flat=True)) == {None}
    assert Event.objects.get(tag="spool.dkim.retired").detail["reason"] == "stolen"
    with Primary() as smarthost:
        send(user, domain.route, smarthost)
        assert verify(smarthost.kept[0].octets, records().get) == {}


def test_private_keys_lie_sealed_each_under_its_own_name(domain: Domain) -> None:
    rsa, ed25519 = signing.make(domain, now=NOW)
    for key in DkimKey.objects.all():
        sealed = bytes(key.sealed or b"")
        plain = unseal(sealed, f"dkim:{key.pk}")
        assert plain not in sealed
    with pytest.raises(DecryptionError):
        unseal(bytes(rsa.sealed or b""), f"dkim:{ed25519.pk}")
    assert Event.objects.get(tag="spool.dkim.made").detail == {"selectors": sorted([rsa.selector, ed25519.selector])}


def test_a_removed_domain_keeps_no_private_key_and_gets_none(domain: Domain) -> None:
    pair = signing_pair(domain)
    removal.remove("example.test", now=NOW)
    assert set(DkimKey.objects.values_list("sealed", flat=True)) == {None}
    with pytest.raises(SigningError, match="not a protected domain"):
        signing.make(domain, now=NOW)
    with pytest.raises(SigningError, match="not a protected domain"):
        signing.confirm(domain, pair, seen="word", now=NOW)
