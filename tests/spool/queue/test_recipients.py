"""What typed addresses become: the strict reading, and what is said about each."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spool.enums import Direction, RecipientPolicy
from spool.models import Mailbox, Route
from spool.queue.addresses import AddressError, parse_address
from spool.queue.recipients import MAX_PROBLEMS, Fate, plan, split
from spool.queue.routing import next_hop
from tests.factories.spool import make_domain, make_mailbox, make_route


@pytest.fixture
def sender(db: None) -> Mailbox:
    route = make_route(name="example.test", state="down")
    return make_mailbox("tilda@example.test", domain=make_domain("example.test", route=route))


@pytest.mark.pure
@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("a@b.test, c@d.test", [("", "a@b.test"), ("", "c@d.test")]),
        ("Ottilie <o@d.test>; Hannes <h@e.test>", [("Ottilie", "o@d.test"), ("Hannes", "h@e.test")]),
        ('"Regenpfeifer, Ottilie" <o@d.test>', [("Regenpfeifer, Ottilie", "o@d.test")]),
        ('"say \\"hi\\"" <o@d.test>,', [('say "hi"', "o@d.test")]),
        ("bob", [("", "bob")]),
        (" , ;; ", []),
        ('"a>b" <o@d.test>', [("a>b", "o@d.test")]),
        ("a@b.test> <c@d.test", [("", "a@b.test> <c@d.test")]),  # one item, which is no address
        ('"Ice, Al <a@b.test>, c@d.test', [("", '"Ice'), ("Al", "a@b.test"), ("", "c@d.test")]),
        ("<>", [("", "")]),
    ],
)
def test_typed_text_is_split_at_its_separators(text: str, items: list[tuple[str, str]]) -> None:
    assert list(split(text)) == items


@pytest.mark.pure
@given(st.text(alphabet='ab@.<>",;\\ \r\n\t()', max_size=60))
def test_no_item_holds_two_addresses_and_nothing_raises(text: str) -> None:
    for _name, typed in split(text):
        try:
            address = parse_address(typed)
        except AddressError:
            continue
        assert str(address).lower() in text.lower().replace('"', "") or '"' in text


@pytest.mark.pure
@pytest.mark.parametrize(
    "text", ["a" * 19_999 + "<", " " * 19_999 + "x<", '"\\' * 10_000, '"' + '\\"' * 9_999, "a<" * 10_000]
)
def test_long_nonsense_is_split_in_no_time(text: str) -> None:
    began = time.process_time()
    assert len(list(split(text))) == 1
    assert time.process_time() - began < 1  # it was ten seconds


def test_of_very_many_problems_the_first_are_said(sender: Mailbox) -> None:
    assert len(plan(to="x," * 9_000, cc="y," * 9_000, bcc="", mailbox=sender).problems) == MAX_PROBLEMS


def test_each_recipient_has_a_fate(sender: Mailbox) -> None:
    make_mailbox("hannes@example.test")
    working = make_route(name="works.test")
    make_mailbox("greta@works.test", domain=make_domain("works.test", route=working))
    make_domain("open.test", route=sender.domain.route, recipient_policy=RecipientPolicy.ACCEPT)
    found = plan(
        to="Hannes <hannes@example.test>, greta@works.test",
        cc="nobody@open.test",
        bcc="ottilie@outside.example",
        mailbox=sender,
    )
    assert not found.problems
    assert [one.fate for one in found.everybody] == [Fate.AT_ONCE, Fate.HOME, Fate.KEPT, Fate.WAITS]
    assert [one.recipient.direction for one in found.everybody][-1] == Direction.OUTBOUND
    assert found.everybody[0].recipient.visible
    assert not found.everybody[1].recipient.visible


def test_an_unknown_colleague_is_refused_before_sending(sender: Mailbox) -> None:
    found = plan(to="nobody@example.test", cc="", bcc="", mailbox=sender)
    assert [problem.sentence for problem in found.problems] == [
        "Nobody has the address nobody@example.test here. Check it before sending."
    ]


@pytest.mark.parametrize(
    "text",
    [
        "hannes",
        "a b@c.test",
        "a@b",
        "@",
        "a@b..test",
        "x@example.test\r\nBcc: thief@evil.test",
        "Eve\r\nBcc: thief@evil.test <eve@d.test>",
        "Eve\x00 <eve@d.test>",
        "<script>@d.test",
        "a@b.test c@d.test",
        "müller@outside.example",
        "a%outside.example@example.test",
        "outside.example!a@example.test",
        '"a@outside.example"@example.test',
        "a" * 65 + "@d.test",
    ],
)
def test_garbage_is_a_problem_with_a_sentence(sender: Mailbox, text: str) -> None:
    found = plan(to=text, cc="", bcc="", mailbox=sender)
    assert found.problems
    assert all(problem.field == "to" and problem.sentence.endswith(".") for problem in found.problems)


def test_too_many_recipients_are_refused_with_the_numbers(sender: Mailbox) -> None:
    many = ",".join(f"p{number}@outside.example" for number in range(101))
    found = plan(to=many, cc="", bcc="", mailbox=sender)
    assert "100" in found.problems[0].sentence
    assert "101" in found.problems[0].sentence


def test_nobody_named_is_a_problem(sender: Mailbox) -> None:
    assert plan(to=" , ", cc="", bcc="", mailbox=sender).problems


def test_an_address_named_twice_is_written_to_once(sender: Mailbox) -> None:
    found = plan(to="o@outside.example", cc="O@outside.example", bcc="o@OUTSIDE.example", mailbox=sender)
    assert len(found.everybody) == 1


@pytest.mark.parametrize(
    ("fields", "fate"),
    [
        ({"state": "down"}, Fate.WAITS),
        ({"state": "suspect"}, Fate.WAITS),
        ({"state": "recovering"}, Fate.NOW),
        ({"state": "down", "smarthost_url": "smtp://relay.example:25"}, Fate.NOW),
        ({"state": "down", "smarthost_url": "smtp://relay.example:25", "held": True}, Fate.WAITS),
    ],
)
def test_the_panel_promises_what_the_drain_does(sender: Mailbox, fields: dict[str, Any], fate: Fate) -> None:
    Route.objects.update(**fields)
    mailbox = Mailbox.objects.select_related("domain__route").get(pk=sender.pk)
    [one] = plan(to="o@outside.example", cc="", bcc="", mailbox=mailbox).everybody
    assert one.fate is fate
    assert (next_hop(mailbox.domain.route, Direction.OUTBOUND) is None) == (fate is Fate.WAITS)
