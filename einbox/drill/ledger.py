"""The ledger: compares what senders were told with what the primary kept and what einbox counts. Pure.

Every 250 einbox gave must be found again: at the primary, or held, removed, bounced or expired for a reason.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from spool.queue.queries import Account

Pair = tuple[str, str]  # token, recipient


@dataclass(frozen=True)
class Ledger:
    """The result; field names are the contract's."""

    accepted: int
    delivered: int
    held: int
    removed: int
    bounced: int
    expired: int
    merged: int
    lost: int
    duplicated: int
    ambiguous: int
    altered: int
    ghosts: int
    unsent: int
    submitted: int
    to_primary: int
    seconds_to_detect: float
    seconds_to_first_visible: float
    drain_messages_per_second: float
    problems: tuple[str, ...] = field(default=())

    @property
    def ok(self) -> bool:
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "ok": self.ok}


def accepted_by(entries: Iterable[Mapping[str, Any]], host: str) -> Counter[Pair]:
    """How often `host` answered 250 to a sender, per token and recipient."""
    return Counter(
        (entry["token"], recipient)
        for entry in entries
        if entry["kind"] == "answer" and entry["host"] == host
        for recipient in entry["accepted"] or ()
    )


def unknown_offers(entries: Iterable[Mapping[str, Any]], host: str) -> int:
    """Recipients of offers to `host` whose final dot got no answer: each may be kept once more."""
    return sum(
        len(entry["recipients"])
        for entry in entries
        if entry["kind"] == "answer" and entry["host"] == host and entry["accepted"] is None
    )


def settle(
    *,
    sent: Sequence[Mapping[str, Any]],
    kept: Sequence[Mapping[str, str]],
    hashes: Mapping[str, str],
    counts: Account,
    still_held: frozenset[Pair],
    submitted: frozenset[Pair],
    ambiguous: int,
    unsent: int,
    seconds_to_detect: float,
    seconds_to_first_visible: float,
    drain_messages_per_second: float,
) -> Ledger:
    """Balance the witnesses: `sent` (senders' log), `kept` (the primary's log) and einbox's `counts`.

    `hashes` maps a token to the SHA-256 offered; `still_held` are deliveries einbox keeps or ended for a reason;
    `submitted` are recipients of mail written during the drill; `ambiguous` are einbox's attempts without an
    answer after the final dot.
    """
    by_einbox = accepted_by(sent, "einbox")
    by_primary = accepted_by(sent, "primary")
    at_primary = Counter((entry["token"], entry["recipient"]) for entry in kept)
    promised = set(by_einbox) | submitted
    lost = promised - set(at_primary) - still_held
    known_tokens = set(hashes) | {token for token, _ in submitted}
    ghosts = sum(1 for token, _ in at_primary if token not in known_tokens)
    altered = sum(1 for entry in kept if hashes.get(entry["token"], entry["sha256"]) != entry["sha256"])
    duplicated = sum(at_primary.values()) - len(at_primary)
    ledger = Ledger(
        **asdict(counts),
        lost=len(lost),
        duplicated=duplicated,
        ambiguous=ambiguous,
        altered=altered,
        ghosts=ghosts,
        unsent=unsent,
        submitted=len(submitted),
        to_primary=sum(by_primary.values()),
        seconds_to_detect=round(seconds_to_detect, 2),
        seconds_to_first_visible=round(seconds_to_first_visible, 2),
        drain_messages_per_second=round(drain_messages_per_second, 1),
    )
    heard = sum(by_einbox.values()) + len(submitted)
    problems = _problems(
        ledger,
        lost=lost,
        counts=counts,
        told=range(heard, heard + unknown_offers(sent, "einbox") + 1),
        may_repeat=ambiguous + unknown_offers(sent, "primary"),
    )
    return replace(ledger, problems=tuple(problems))


def _problems(ledger: Ledger, *, lost: set[Pair], counts: Account, told: range, may_repeat: int) -> Iterator[str]:
    """What does not balance, a sentence each.

    `told` is how many 250s the senders may have been given: those they heard, and those that may have got lost.
    `may_repeat` is how many copies are explained: einbox's ambiguous attempts, and senders that got no answer
    from the primary itself and may offer the same mail again.
    """
    if lost:
        yield f"{len(lost)} lost, for example {min(lost)}"
    if not counts.adds_up:
        yield "einbox's own account does not add up"
    if counts.accepted not in told:
        yield f"senders were told 250 {told.start} times, einbox counts {counts.accepted}"
    if ledger.altered:
        yield f"{ledger.altered} arrived altered"
    if ledger.ghosts:
        yield f"{ledger.ghosts} arrived that nobody sent"
    if ledger.unsent:
        yield f"{ledger.unsent} could not be handed to anybody"
    if ledger.duplicated > may_repeat:
        yield f"{ledger.duplicated} duplicated, but only {ledger.ambiguous} attempts were ambiguous"
