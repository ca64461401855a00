"""MAIL and RCPT as octets."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spool.smtpd import replies
from spool.smtpd.grammar import Mail, Refused, read_mail, read_rcpt
from spool.smtpd.replies import Reply

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    ("argument", "mail"),
    [
        (b"FROM:<a@x.test>", Mail("a@x.test")),
        (b"from:<A.b+c@x.test> size=120 body=8bitmime", Mail("A.b+c@x.test", 120, body_8bit=True)),
        (b"FROM:<> BODY=7BIT", Mail("")),
        (b"FROM: <a@x.test>", Mail("a@x.test")),
        (b'FROM:<"a b"@x.test>', Mail('"a b"@x.test')),
        (b"FROM:<a@[192.0.2.1]>", Mail("a@[192.0.2.1]")),
        ("FROM:<ü@bücher.test> SMTPUTF8 SIZE=1".encode(), Mail("ü@bücher.test", 1, smtputf8=True)),
        (b"FROM:<bounce=a=x.test@y.test>", Mail("bounce=a=x.test@y.test")),
    ],
)
def test_senders_read(argument: bytes, mail: Mail) -> None:
    assert read_mail(argument) == mail


@pytest.mark.parametrize(
    ("argument", "reply"),
    [
        (b"", replies.BAD_ARGUMENT),
        (b"TO:<a@x.test>", replies.BAD_ARGUMENT),
        (b"FROM:a@x.test", replies.BAD_ARGUMENT),
        (b"FROM:<a@x.test", replies.BAD_ARGUMENT),
        (b"FROM:<a@x.test>SIZE=1", replies.BAD_ARGUMENT),
        (b"FROM:<a@x.test> SIZE=x", replies.BAD_ARGUMENT),
        (b"FROM:<a@x.test> SIZE=1 SIZE=1", replies.BAD_ARGUMENT),
        (b"FROM:<a@x.test> BODY=BINARYMIME", replies.BAD_ARGUMENT),
        (b"FROM:<a@x.test> RET=HDRS", replies.BAD_PARAMETER),
        (b"FROM:<a@x.test> AUTH=<>", replies.BAD_PARAMETER),
        (b"FROM:<@y.test:a@x.test>", replies.BAD_SENDER),
        (b"FROM:<root>", replies.BAD_SENDER),
        (b"FROM:<a..b@x.test>", replies.BAD_SENDER),
        (b"FROM:<a@x..test>", replies.BAD_SENDER),
        ("FROM:<ü@x.test>".encode(), replies.NEEDS_SMTPUTF8),
        (b"FROM:<\xff@x.test> SMTPUTF8", replies.BAD_SENDER),
        ("FROM:<a\u202eb@[192.0.2.1]> SMTPUTF8".encode(), replies.BAD_SENDER),
        (b"FROM:<" + b"x" * 300 + b"@x.test>", replies.BAD_SENDER),
    ],
)
def test_senders_refused(argument: bytes, reply: Reply) -> None:
    with pytest.raises(Refused) as refused:
        read_mail(argument)
    assert refused.value.reply == reply


def test_recipients_take_no_parameters() -> None:
    assert read_rcpt(b"TO:<a@x.test>", smtputf8=False) == "a@x.test"
    with pytest.raises(Refused) as refused:
        read_rcpt(b"TO:<a@x.test> NOTIFY=NEVER", smtputf8=False)
    assert refused.value.reply == replies.BAD_PARAMETER


@given(st.binary(max_size=80), st.booleans(), st.sampled_from([b"", b"FROM:<", b"TO:<", b"FROM:<a@x.test> "]))
def test_any_octets_are_read_or_refused(octets: bytes, smtputf8: bool, start: bytes) -> None:
    for read in (read_mail, lambda argument: read_rcpt(argument, smtputf8=smtputf8)):
        with suppress(Refused):
            read(start + octets)
