"""The Received field: grammar, and no way to start a line of one's own."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spool.mime.trace import protocol, received

pytestmark = pytest.mark.pure

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_received() -> None:
    field = received(
        by="mx.test", id="0001", at=AT, helo="client.test", peer="2001:db8::1", with_="ESMTPS",
        tls="TLSv1.3 TLS_AES_256_GCM_SHA384", recipient="a@x.test",
    )  # fmt: skip
    assert field == (
        b"Received: from client.test ([IPv6:2001:db8::1])\r\n"
        b"\tby mx.test (einbox) with ESMTPS (TLSv1.3 TLS_AES_256_GCM_SHA384)\r\n"
        b"\tid 0001 for <a@x.test>;\r\n\tFri, 02 Jan 2026 03:04:05 +0000\r\n"
    )


def test_protocol_keywords() -> None:
    assert protocol() == "ESMTP"
    assert protocol(esmtp=False) == "SMTP"
    assert protocol(tls=True, authenticated=True) == "ESMTPSA"
    assert protocol(smtputf8=True, tls=True) == "UTF8SMTPS"


@given(st.text(max_size=100), st.text(max_size=50), st.text(max_size=50), st.text(max_size=50))
def test_no_peer_can_start_a_line(helo: str, peer: str, tls: str, recipient: str) -> None:
    field = received(by="mx.test", id="1", at=AT, helo=helo, peer=peer, tls=tls, recipient=recipient)
    lines = field.split(b"\r\n")
    assert lines[-1] == b""
    assert all(line.startswith(b"\t") for line in lines[1:-1])
    assert b"\r" not in b"".join(lines)
    assert b"\n" not in b"".join(lines)
    assert b"\0" not in field
