"""Keys of messages and deliveries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spool import ids

pytestmark = pytest.mark.pure


@given(st.integers(min_value=0, max_value=2**63 - 1))
def test_encode_round_trip(value: int) -> None:
    assert ids.decode(ids.encode(value)) == value
    assert ids.decode(ids.encode(value).lower()) == value


@given(st.lists(st.integers(min_value=0, max_value=2**63 - 1), min_size=2, unique=True))
def test_the_text_has_thirteen_characters_and_the_order_of_the_keys(values: list[int]) -> None:
    texts = [ids.encode(value) for value in sorted(values)]
    assert texts == sorted(texts)
    assert {len(text) for text in texts} == {13}
    assert (ids.encode(0), ids.encode(2**63 - 1)) == ("0" * 13, "7" + "Z" * 12)


@given(st.text(max_size=15))
def test_decode_refuses_or_fits(text: str) -> None:
    try:
        value = ids.decode(text)
    except ValueError:
        return
    assert 0 <= value < 2**63


def test_ids_follow_time() -> None:
    assert ids.new_id(1_700_000_000_000) < ids.new_id(1_700_000_000_001)


def test_short_text_is_refused() -> None:
    with pytest.raises(ValueError, match="13"):
        ids.decode("ABC")


def test_a_burst_never_makes_a_key_twice() -> None:
    made = [ids.new_id() for _ in range(50_000)]
    assert made == sorted(set(made))
