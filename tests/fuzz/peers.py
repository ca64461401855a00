"""What other servers say: targets `proxy` (a PROXY header, alone and before a session), `replies` (of a primary)."""

import socket
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_address, ip_network

from spool.smtp.client import Connection, Envelope
from spool.smtp.replies import ENHANCED, MAX_TEXT, Outcome, Phase, Reply, ReplySyntaxError, judge, parse_line
from spool.smtp.session import ConnectError, Endpoint, Session, Timers
from spool.smtp.wire import Wire, WireError
from spool.smtpd.proxy import SIGNATURE, V2_LONGEST, Header, ProxyError, read
from tests.fuzz import wording
from tests.fuzz.commands import GOOD, MAIL, read_replies
from tests.fuzz.rig import SMALL, Rig, listening
from tests.fuzz.target import Target, check, chunks

PROXY = "198.51.100.9"
ENVELOPE = Envelope("a@x.test", ("b@y.test", "c@y.test"))
PROXIED = replace(SMALL, proxies=(ip_network("198.51.100.9/32"),))
V1 = b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\r\n"
V2 = SIGNATURE + b"\x21\x11\0\x0c" + bytes([192, 0, 2, 7, 198, 51, 100, 1, 1, 1, 0, 25])
PROXY_TOKENS = (
    b"PROXY ", b"TCP4", b"TCP6", b"UNKNOWN", b" ", b"192.0.2.7", b"::ffff:1.2.3.4", b"::1", b"fe80::1%eth0",
    b"65535", b"65536", b"00", b"\r\n", b"\r", b"\n", SIGNATURE, b"\x21\x11\0\x0c", b"\x20\0\0\0", b"\x21\x21\0\x24",
    b"\x21\0\xff\xff", b"\x21\x31\0\0", b"EHLO c.test\r\n", b"QUIT\r\n", b"\0" * 12, b"\xff" * 16,
)  # fmt: skip
REPLY_TOKENS = (
    b"220 x\r\n", b"250-x\r\n", b"250 x\r\n", b"250-SIZE ", b"250 STARTTLS\r\n", b"250-AUTH PLAIN\r\n",
    b"550 5.1.1 no\r\n", b"421 4.3.2 x\r\n", b"\r\n", b"\n", b"\r", b" ", b"-", b"5.1.1 ", b"2.0.0", b"9" * 30,
    b"9" * 4500, "²".encode(), "٣".encode(), b"\0", b"\x1b[31m", b"\xff", "\u202e".encode(), "\u2028".encode(),
    b"\xed\xa0\x80", b"199 x\r\n", b"600 x\r\n", b"250", b"x" * 600,
)  # fmt: skip


def _verdict(data: bytes) -> Header | ProxyError | None:
    try:
        return read(data)
    except ProxyError as error:
        return error


def run_proxy(data: bytes) -> None:
    seed, octets = data[0] if data else 0, data[1:]
    whole = _verdict(octets)
    for cut in {len(octets) * part // 7 for part in range(7)}:
        early = _verdict(octets[:cut])
        check(early is None or type(early) is type(whole), "more octets change the verdict", octets[:cut], early, whole)
        check(not isinstance(early, Header) or early == whole, "more octets change the header", early, whole)
    if isinstance(whole, Header):
        check(0 < whole.length <= min(len(octets), V2_LONGEST), "a header of a wrong length", whole)
        check(whole.client is None or str(ip_address(whole.client)) == whole.client, "no address", whole)
    elif whole is None:
        check(len(octets) < V2_LONGEST, "a header is waited for that is too long", len(octets))
    _session(octets, seed, whole)


@listening()
def _session(octets: bytes, seed: int, whole: Header | ProxyError | None) -> None:
    """Before the header nothing is said; behind it the session is the real client's."""
    rig = Rig(limits=PROXIED, peer=PROXY)
    check(rig.hear() == b"", "a word before the header")
    said = b"".join(rig.say(piece) for piece in chunks(octets, seed))
    if isinstance(whole, Header):
        check(said.startswith(b"220 "), "no greeting behind a header", said)
        client = getattr(rig.connection, "peer", "")
        check(client == (whole.client or PROXY), "the session is another client's", client, whole)
    else:
        check(said == b"", "a word without a header", said)
        check(rig.closed == isinstance(whole, ProxyError), "not closed, or closed too early", whole)
    read_replies(said + rig.leave())


def _wire(octets: bytes) -> tuple[Wire, socket.socket]:
    """A connection on which a server has said `octets` and closed."""
    ours, theirs = socket.socketpair()
    theirs.sendall(octets)
    theirs.shutdown(socket.SHUT_WR)
    wire = Wire.__new__(Wire)
    wire._socket, wire._buffer = ours, b""
    return wire, theirs


def check_reply(reply: Reply) -> None:
    check(200 <= reply.code <= 599, "no reply code", reply)
    wording.harmless(reply.text)
    wording.storable(reply.text)
    check(len(reply.text) <= MAX_TEXT, "a reply text that is too long")
    check(not reply.enhanced or ENHANCED.fullmatch(reply.enhanced) is not None, "no enhanced code", reply.enhanced)
    for phase in Phase:
        outcome = judge(reply.code, phase)
        check(
            outcome is not Outcome.PERMANENT or 500 <= reply.code <= 599, "a mail ends on what is no 5xx", reply, phase
        )


def run_replies(data: bytes) -> None:
    for line in data.split(b"\n")[:20]:
        with suppress(ReplySyntaxError):
            code, _last, _text = parse_line(line)
            check(200 <= code <= 599, "no reply code", line)
    wire, theirs = _wire(data)
    try:
        with suppress(WireError):
            while True:
                check_reply(wire.read_reply(5))
    finally:
        wire.close()
        theirs.close()
    _conversation(data)


def _conversation(data: bytes) -> None:
    """Greeting, EHLO and one mail, to a server that says just this, whatever it hears."""
    wire, theirs = _wire(data)
    session = Session(wire, Endpoint("primary.test", 25, tls="none"), Timers().capped(5))
    try:
        session.greet()
        session.hello("einbox.test")
        results = Connection(session).send(ENVELOPE, "Subject: ä\r\n\r\n.b\r\n".encode())
    except ConnectError as error:
        wording.harmless(error.text)
        return
    finally:
        wire.close()
        theirs.close()
    check([one.recipient for one in results] == list(ENVELOPE.recipients), "not a result for each recipient", results)
    for one in results:
        wording.harmless(one.text)
        good = one.phase is Phase.DOT and one.code is not None and 200 <= one.code <= 299
        check(
            (one.outcome is Outcome.DELIVERED) == good, "delivered without a 250 to the final dot, or not with it", one
        )
        bad = one.code is not None and 500 <= one.code <= 599
        check(bad or one.outcome is not Outcome.PERMANENT, "a mail ends without a 5xx", one)


def proxy_seeds() -> list[bytes]:
    found = [V1, V2, b"PROXY UNKNOWN\r\n", b"PROXY TCP6 ::1 ::1 1 25\r\n", SIGNATURE + b"\x20\0\0\0"]
    return [bytes([5]) + header + GOOD + MAIL for header in found]


def reply_seeds() -> list[bytes]:
    hello = b"220 p.test ESMTP\r\n250-p.test\r\n250-SIZE 10000\r\n250-8BITMIME\r\n250-PIPELINING\r\n250 SMTPUTF8\r\n"
    return [
        hello + b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n550 5.1.1 no\r\n354 go\r\n250 2.0.0 Ok\r\n",
        hello.replace(b"250-PIPELINING\r\n", b"") + b"250 Ok\r\n452 4.5.3 many\r\n250 Ok\r\n354 go\r\n554 5.6.0 no\r\n",
        b"220 x\r\n502 no\r\n250 x\r\n250 Ok\r\n250 Ok\r\n250 Ok\r\n354 go\r\n421 4.3.2 x\r\n",
    ]


TARGETS = (
    Target("proxy", run_proxy, proxy_seeds, PROXY_TOKENS, longest=2_200),
    Target("replies", run_replies, reply_seeds, REPLY_TOKENS, longest=16_000),
)
