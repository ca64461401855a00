"""The ledger finds what is lost, doubled, altered or miscounted: each check is seen to fail."""

from dataclasses import replace
from typing import Any

import pytest

from einbox.drill.ledger import Ledger, settle
from spool.queue.queries import Account

pytestmark = pytest.mark.pure

A, B = "one@drill.test", "two@drill.test"
GOOD: dict[str, Any] = {
    "sent": [
        {"kind": "answer", "host": "primary", "token": "t0", "accepted": [A], "recipients": [A]},
        {"kind": "answer", "host": "einbox", "token": "t1", "accepted": [A, B], "recipients": [A, B]},
    ],
    "kept": [
        {"token": "t0", "recipient": A, "sha256": "h0"},
        {"token": "t1", "recipient": A, "sha256": "h1"},
        {"token": "t1", "recipient": B, "sha256": "h1"},
    ],
    "hashes": {"t0": "h0", "t1": "h1"},
    "counts": Account(accepted=2, delivered=2, held=0, removed=0, bounced=0, expired=0, merged=0),
    "still_held": frozenset(),
    "submitted": frozenset(),
    "ambiguous": 0,
    "unsent": 0,
    "seconds_to_detect": 1.0,
    "seconds_to_first_visible": 1.0,
    "drain_messages_per_second": 100.0,
}


def balance(**changes: Any) -> Ledger:
    return settle(**{**GOOD, **changes})


def test_balanced_books_are_ok() -> None:
    ledger = balance()
    assert ledger.ok
    assert (ledger.accepted, ledger.delivered, ledger.lost, ledger.duplicated) == (2, 2, 0, 0)
    assert ledger.to_primary == 1


def test_a_promise_without_a_copy_is_lost() -> None:
    ledger = balance(kept=GOOD["kept"][:2])
    assert ledger.lost == 1
    assert not ledger.ok


def test_held_mail_is_not_lost() -> None:
    counts = replace(GOOD["counts"], delivered=1, held=1)
    assert balance(kept=GOOD["kept"][:2], still_held=frozenset({("t1", B)}), counts=counts).ok


def test_a_second_copy_needs_an_ambiguous_attempt() -> None:
    kept = [*GOOD["kept"], GOOD["kept"][1]]
    assert not balance(kept=kept).ok
    assert balance(kept=kept, ambiguous=1).ok
    assert balance(kept=kept).duplicated == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"kept": [*GOOD["kept"], {"token": "x", "recipient": A, "sha256": "h"}]},
        {"kept": [*GOOD["kept"][:2], {"token": "t1", "recipient": B, "sha256": "other"}]},
        {"counts": replace(GOOD["counts"], accepted=3)},
        {"counts": replace(GOOD["counts"], accepted=3, held=1)},
        {"unsent": 1},
    ],
    ids=["ghost", "altered", "sum", "more than promised", "unsent"],
)
def test_each_imbalance_is_named(changes: dict[str, Any]) -> None:
    ledger = balance(**changes)
    assert not ledger.ok
    assert ledger.problems


def test_an_unanswered_offer_may_be_kept() -> None:
    sent = [*GOOD["sent"], {"kind": "answer", "host": "einbox", "token": "t1", "accepted": None, "recipients": [A]}]
    assert balance(sent=sent, counts=replace(GOOD["counts"], accepted=3, merged=1)).ok
