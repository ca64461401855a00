"""The course of an episode and its drawing: sums that agree with the rows, and markup without styles or scripts."""

from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spool.console.chart import NARROW, WIDE, Moment, draw, round_up
from spool.console.figures import MOST, Column, Course, course, step_for
from spool.models import Delivery
from tests.factories.spool import make_mailbox, make_message

START = datetime(2026, 11, 24, 10, 42, tzinfo=UTC)


@pytest.mark.django_db
def test_columns_add_up_to_the_rows() -> None:
    mailbox = make_mailbox()
    for number in range(12):
        make_message(mailbox=mailbox, now=START + timedelta(minutes=7 * number))
    done = list(Delivery.objects.order_by("pk")[:5])
    for number, one in enumerate(done):
        moment = START + timedelta(minutes=100 + number)
        Delivery.objects.filter(pk=one.pk).update(state="delivered", finished_at=moment)
    found = course(Delivery.objects.all(), start=START, end=START + timedelta(minutes=120))
    assert sum(column.arrived for column in found.columns) == 12
    assert (found.columns[-1].held, found.columns[-1].delivered) == (7, 5)


@pytest.mark.pure
@given(st.integers(0, 60 * 24 * 60))
def test_no_chart_has_too_many_columns(minutes: int) -> None:
    span = timedelta(minutes=min(minutes, 48 * 24 * 60))
    assert span <= step_for(span) * MOST


@pytest.mark.pure
@given(st.integers(0, 10**9))
def test_the_scale_is_not_below_its_values(value: int) -> None:
    assert value <= round_up(value) <= max(4, value * 2.5)


@pytest.mark.pure
@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1, max_size=MOST),
    st.sampled_from([WIDE, NARROW]),
)
def test_the_drawing_is_plain_svg_within_its_box(values: list[tuple[int, int]], width: int) -> None:
    step = timedelta(minutes=5)
    columns = tuple(Column(START + step * i, new, held, new) for i, (new, held) in enumerate(values))
    found = Course(START, START + step * len(values), step, columns)
    moments = [Moment(START, "<10:42> & down", "down"), Moment(START + step, "recovering", "recovering")]
    drawn = draw(found, moments, label='a "label"', width=width)
    root = ElementTree.fromstring(drawn)
    assert root.attrib["viewBox"] == f"0 0 {root.attrib['width']} {root.attrib['height']}"
    for element in root.iter():
        assert "style" not in element.attrib
        assert element.tag != "script"
        for name in ("y", "cy"):
            assert 0 <= float(element.attrib.get(name, 0)) <= float(root.attrib["height"])
