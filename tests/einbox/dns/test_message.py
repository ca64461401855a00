"""DNS messages: what was asked is what is read back, and no octets of a stranger do harm."""

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from einbox.dns.message import HEADER, IN, RECORD, RESPONSE, Kind, MessageError, encode_name, question, read_answer
from einbox.dns.message import read_name as read
from tests.doubles.nameserver import answer

pytestmark = pytest.mark.pure
LABEL = st.from_regex(r"[a-z0-9_]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
NAME = st.lists(LABEL, min_size=1, max_size=6).map(".".join)
TTL = st.integers(0, 2**31 - 1)


@given(NAME, NAME, TTL, st.integers(0, 65535), st.integers(0, 65535))
def test_an_answer_reads_back(name: str, host: str, ttl: int, preference: int, number: int) -> None:
    query = question(number, name.upper(), Kind.MX)
    octets = answer(query, {name: [(Kind.MX, f"{preference} {host}", ttl)]})
    [record] = read_answer(octets, number, name, Kind.MX).records
    assert (record.value, record.preference, record.ttl) == (host, preference, ttl)


@given(st.binary(max_size=400), st.sampled_from(Kind))
def test_any_octets_are_read_or_refused(octets: bytes, kind: Kind) -> None:
    head = HEADER.pack(7, RESPONSE, 1, 3, 0, 0) + encode_name("a.example") + struct.pack("!HH", kind, IN)
    for whole in (octets, head + octets):
        try:
            read_answer(whole, 7, "a.example", kind)
        except MessageError:
            continue


@given(st.binary(min_size=1, max_size=300), st.integers(0, 299))
def test_any_name_is_read_or_refused(octets: bytes, at: int) -> None:
    try:
        name, end = read(octets, at)
    except MessageError:
        return
    assert len(name) <= 4 * 255
    assert at < end <= len(octets)


@pytest.mark.parametrize(
    "octets",
    [
        b"\xc0\x00",  # at itself
        b"\xc0\x02\xc0\x00",  # forward, and back again
        b"\x01a\xc0\x00",  # back to its own start
        b"\x01a",
        b"\x05ab",
        b"\x80abc",
        b"\xc0",
        b"".join(b"\x3f" + b"a" * 63 for _ in range(5)) + b"\0",
    ],
)
def test_loops_and_cut_names_are_refused(octets: bytes) -> None:
    with pytest.raises(MessageError):
        read(octets, 0)


def test_a_chain_of_pointers_backwards_is_followed() -> None:
    octets = b"\x07example\x00" + b"\x04mail\xc0\x00" + b"\x01a\xc0\x09"
    assert read(octets, 16) == ("a.mail.example", 20)


@pytest.mark.parametrize("name", ["", ".", "a..b", "a" * 64, ".".join(["a" * 60] * 5), "bücher.example"])
def test_what_is_no_name_is_not_asked_for(name: str) -> None:
    with pytest.raises(MessageError):
        question(1, name, Kind.A)


def test_answers_to_other_questions_are_refused() -> None:
    octets = answer(question(5, "a.example", Kind.A), {"a.example": [(Kind.A, "192.0.2.1", 60)]})
    assert read_answer(octets, 5, "A.example.", Kind.A).records
    for number, name, kind in ((6, "a.example", Kind.A), (5, "b.example", Kind.A), (5, "a.example", Kind.MX)):
        with pytest.raises(MessageError):
            read_answer(octets, number, name, kind)
    with pytest.raises(MessageError):  # a question is no answer
        read_answer(question(5, "a.example", Kind.A), 5, "a.example", Kind.A)


def test_records_of_other_names_are_left_out_and_aliases_end() -> None:
    names = [f"n{number}.example" for number in range(20)]
    table = {old: [(Kind.CNAME, new, 60)] for old, new in pairwise([*names, names[0]])}
    query = question(5, names[0], Kind.A)
    assert read_answer(answer(query, dict(list(table.items())[:19])), 5, names[0], Kind.A).records == ()
    number, *_ = HEADER.unpack_from(query)
    data = encode_name("other.example") + RECORD.pack(Kind.A, IN, 60, 4) + b"\x01\x02\x03\x04"
    foreign = HEADER.pack(number, RESPONSE, 1, 1, 0, 0) + query[HEADER.size :] + data
    assert read_answer(foreign, 5, names[0], Kind.A).records == ()
