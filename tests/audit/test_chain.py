"""Canonical JSON and the hash chain: RFC 8785's own examples, laws, and two implementations that agree."""

import json
import struct
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import verifier
from audit.chain import (
    GENESIS,
    Break,
    CanonicalError,
    Sealed,
    canonical,
    row_hash,
    verify_segment,
)
from audit.formats import jsonl

pytestmark = pytest.mark.pure

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
scalars = (
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | text
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4))
events = st.dictionaries(text, values, max_size=5)

# RFC 8785 appendix B: IEEE 754 bits and their ECMAScript text.
NUMBERS = {
    "0000000000000000": "0",
    "8000000000000000": "0",
    "0000000000000001": "5e-324",
    "8000000000000001": "-5e-324",
    "7fefffffffffffff": "1.7976931348623157e+308",
    "ffefffffffffffff": "-1.7976931348623157e+308",
    "4340000000000000": "9007199254740992",
    "c340000000000000": "-9007199254740992",
    "4430000000000000": "295147905179352830000",
    "44b52d02c7e14af5": "9.999999999999997e+22",
    "44b52d02c7e14af6": "1e+23",
    "44b52d02c7e14af7": "1.0000000000000001e+23",
    "444b1ae4d6e2ef4e": "999999999999999700000",
    "444b1ae4d6e2ef4f": "999999999999999900000",
    "444b1ae4d6e2ef50": "1e+21",
    "3eb0c6f7a0b5ed8c": "9.999999999999997e-7",
    "3eb0c6f7a0b5ed8d": "0.000001",
    "41b3de4355555553": "333333333.3333332",
    "41b3de4355555554": "333333333.33333325",
    "41b3de4355555555": "333333333.3333333",
    "41b3de4355555556": "333333333.3333334",
    "41b3de4355555557": "333333333.33333343",
    "becbf647612f3696": "-0.0000033333333333333333",
    "43143ff3c1cb0959": "1424953923781206.2",
}


@pytest.mark.parametrize(("bits", "expected"), NUMBERS.items())
def test_numbers_are_written_as_rfc_8785_appendix_b_says(bits: str, expected: str) -> None:
    number = struct.unpack(">d", bytes.fromhex(bits))[0]
    assert canonical(number) == expected
    assert verifier.canonical(number) == expected


def test_members_and_strings_are_written_as_rfc_8785_section_3_2_says() -> None:
    # Section 3.2.3: sorted by UTF-16 code units, so the emoji (a surrogate pair) stands before U+FB33.
    names = {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\x80": 6, "\xf6": 7}
    expected = '{"\\r":2,"1":4,"\x80":6,"\xf6":7,"\u20ac":1,"\U0001f600":5,"\ufb33":3}'
    # Section 3.2.2.2: the shortest escapes.
    string = '\u20ac$\x0f\nA\'B"\\\\"/'
    assert canonical(names) == verifier.canonical(names) == expected
    assert canonical(string) == verifier.canonical(string) == '"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"'


@given(values)
def test_canonical_text_reads_back_and_both_implementations_agree(value: Any) -> None:
    written = canonical(value)
    assert canonical(json.loads(written)) == written
    assert verifier.canonical(json.loads(written)) == written
    assert "\n" not in written


@given(events)
def test_the_order_of_members_does_not_matter(event: dict[str, Any]) -> None:
    assert row_hash(1, GENESIS, dict(reversed(event.items()))) == row_hash(1, GENESIS, event)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"bytes", {1, 2}])
def test_what_is_no_json_has_no_canonical_form(value: Any) -> None:
    with pytest.raises(CanonicalError):
        canonical(value)


def test_a_lone_surrogate_cannot_be_hashed() -> None:
    with pytest.raises(CanonicalError):
        row_hash(1, GENESIS, {"label": "\ud800"})


def chained(facts: list[dict[str, Any]]) -> list[Sealed]:
    rows: list[Sealed] = []
    previous = GENESIS
    for seq, fact in enumerate(facts, 1):
        digest = row_hash(seq, previous, fact)
        rows.append(Sealed(seq, previous, digest, fact))
        previous = digest
    return rows


def offline(rows: list[Sealed]) -> tuple[int, int, str]:
    export = [jsonl(replace(row, event={"severity": "info", **row.event})) for row in rows]
    return verifier.verify(export)


facts = st.lists(st.fixed_dictionaries({"severity": st.just("info"), "detail": events}), min_size=3, max_size=8)


@given(facts)
def test_an_untouched_chain_verifies_inside_and_offline(content: list[dict[str, Any]]) -> None:
    rows = chained(content)
    assert verify_segment(rows) == (len(rows), rows[-1].hash)
    assert verify_segment(rows[1:], after=(1, rows[0].hash)) == (len(rows), rows[-1].hash)
    assert offline(rows) == (1, len(rows), rows[-1].hash)
    assert offline(rows[1:]) == (2, len(rows), rows[-1].hash)


@given(facts, st.data())
def test_any_single_change_is_found_and_named(content: list[dict[str, Any]], data: st.DataObject) -> None:
    rows = chained(content)
    place = data.draw(st.integers(0, len(rows) - 2))
    act = data.draw(st.sampled_from(["edit", "delete", "swap", "repeat", "forge"]))
    changed = deepcopy(rows)
    if act == "edit":
        changed[place] = replace(rows[place], event={**rows[place].event, "edited": 1})
    elif act == "delete":
        del changed[place]
    elif act == "swap":
        changed[place], changed[place + 1] = changed[place + 1], changed[place]
    elif act == "repeat":
        changed.insert(place, rows[place])
    else:  # a row hashed anew, as somebody who knows the code would do it
        event = {**rows[place].event, "edited": 1}
        digest = row_hash(rows[place].seq, rows[place].previous_hash, event)
        changed[place] = replace(rows[place], event=event, hash=digest)
    found = verify_segment(changed)
    assert isinstance(found, Break)
    assert place < found.seq <= place + 2
    if not (act == "delete" and place == 0):  # an excerpt may start anywhere
        with pytest.raises(verifier.VerificationError):
            offline(changed)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        "[]",
        "{}",
        "null",
        '{"seq": 1}',
        '{"seq": 1, "seq": 1}',
        '{"seq": true, "previous_hash": "", "hash": ""}',
    ]
    + ["[" * 100_000]
    + [f'{{"seq": {seq}, "previous_hash": "{GENESIS}", "hash": "", "event": {{}}}}' for seq in ("-1", "1e3", 2**70)]
    + [f'{{"seq": 1, "previous_hash": {text}, "hash": "", "event": {{"n": 1e999}}}}' for text in ("7", f'"{GENESIS}"')],
)
def test_the_offline_verifier_refuses_what_is_no_event(line: str) -> None:
    with pytest.raises(verifier.VerificationError):
        verifier.verify([line])
