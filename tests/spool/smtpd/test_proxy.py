"""The PROXY protocol: the reader alone on any octets, and whom the server takes a client to be."""

import socket
import struct
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spool.models import Counter, Mailbox, Message
from spool.queue.deliver import trace_header
from spool.smtpd.proxy import SIGNATURE, V1_LONGEST, V2_LONGEST, Header, ProxyError, read
from tests.doubles.smtpd import Client, ServerInThread
from tests.factories.spool import make_raw
from tests.waiting import wait_for

PROXIES = (ip_network("127.0.0.2/32"),)
PROXY = "127.0.0.2"
V1 = b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\r\n"


def v1(source: str, destination: str, port: int = 40000) -> bytes:
    family = "TCP6" if ":" in source else "TCP4"
    return f"PROXY {family} {source} {destination} {port} 25\r\n".encode()


def v2(source: str, destination: str, *, command: int = 0x21, extra: bytes = b"") -> bytes:
    pair = [ip_address(source), ip_address(destination)]
    family = 0x21 if pair[0].version == 6 else 0x11
    body = b"".join(address.packed for address in pair) + struct.pack("!HH", 40000, 25) + extra
    return SIGNATURE + struct.pack("!BBH", command, family, len(body)) + body


# --- the reader ------------------------------------------------------------------------------------------------------
addresses = st.one_of(
    st.tuples(st.ip_addresses(v=4), st.ip_addresses(v=4)), st.tuples(st.ip_addresses(v=6), st.ip_addresses(v=6))
)


@pytest.mark.pure
@given(pair=addresses, second=st.booleans(), extra=st.binary(max_size=200), behind=st.binary(max_size=200))
def test_a_header_is_read_whole_and_from_no_beginning_of_it(
    pair: tuple[IPv4Address | IPv6Address, ...], second: bool, extra: bytes, behind: bytes
) -> None:
    source, destination = (str(address) for address in pair)
    header = v2(source, destination, extra=extra) if second else v1(source, destination)
    expected = Header(str(getattr(pair[0], "ipv4_mapped", None) or pair[0]), len(header))
    assert read(header + behind) == expected
    assert all(read(header[:cut]) is None for cut in range(len(header)))


near = st.one_of(
    st.binary(max_size=300),
    st.binary(max_size=60).map(lambda tail: b"PROXY " + tail + b"\r\n"),
    st.lists(st.sampled_from([b"PROXY", b" ", b"TCP4", b"TCP6", b"UNKNOWN", b"1.2.3.4", b"::1", b"25", b"\r", b"\n"]))
    .map(b"".join),
    st.binary(min_size=4, max_size=60).map(lambda tail: SIGNATURE + tail),
)  # fmt: skip


@pytest.mark.pure
@given(data=near, behind=st.binary(max_size=50))
def test_any_octets_are_a_header_or_refused_and_more_octets_change_no_verdict(data: bytes, behind: bytes) -> None:
    try:
        header = read(data)
    except ProxyError:
        with pytest.raises(ProxyError):
            read(data + behind)
        return
    if header is None:
        assert len(data) < V2_LONGEST
    else:
        assert 0 < header.length <= len(data)
        assert header.client is None or ip_address(header.client)
        assert read(data + behind) == header


@pytest.mark.pure
@pytest.mark.parametrize(
    "data",
    [
        b"EHLO client.test\r\n",
        b"PROXX",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\n" + b"x" * V1_LONGEST,
        b"PROXY TCP4 192.0.2.7  198.51.100.1 40000 25\r\n",
        b"PROXY TCP4 ::1 ::1 40000 25\r\n",
        b"PROXY TCP6 192.0.2.7 192.0.2.8 40000 25\r\n",
        b"PROXY TCP6 fe80::1%eth0 ::1 40000 25\r\n",
        b"PROXY TCP4 192.0.2.07 198.51.100.1 40000 25\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 25\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 040 25\r\n",
        b"PROXY UNKNOWN" + b" " + b"x" * V1_LONGEST,
        b"PROXY UNKNOWNX\r\n",
        b"PROXY tcp4 192.0.2.7 198.51.100.1 40000 25\r\n",
        SIGNATURE + b"\x11\x11\x00\x0c",  # version 1 in a header of version 2
        SIGNATURE + b"\x22\x11\x00\x0c",  # a command that does not exist
        SIGNATURE + b"\x21\x12\x00\x0c",  # datagrams
        SIGNATURE + b"\x21\x31\x00\xd8",  # a UNIX socket
        SIGNATURE + b"\x21\x11\x00\x0b",  # too short for its addresses
        SIGNATURE + b"\x20\x00\xff\xff",  # too long
    ],
)
def test_what_is_no_header_is_refused_at_once(data: bytes) -> None:
    with pytest.raises(ProxyError):
        read(data)


@pytest.mark.pure
@pytest.mark.parametrize(
    "data",
    [
        b"PROXY UNKNOWN\r\n",
        b"PROXY UNKNOWN ffff:: whatever 1 2\r\n",
        v2("192.0.2.7", "192.0.2.8", command=0x20),
        SIGNATURE + b"\x20\x00\x00\x00",
        SIGNATURE + b"\x21\x00\x00\x03abc",
    ],
)
def test_a_proxy_that_speaks_for_itself_names_no_client(data: bytes) -> None:
    assert read(data + b"EHLO") == Header(None, len(data))


# --- the server -------------------------------------------------------------------------------------
class ProxyClient(Client):
    """Comes from the proxy's address and begins with `header`."""

    def __init__(self, address: tuple[str, int], header: bytes, *, source: str = PROXY) -> None:
        self._header = header
        super().__init__(address, source=source)

    def reply(self) -> str:
        """The first reply is the greeting: it waits for the header."""
        header, self._header = self._header, b""
        if header:
            self.send(header)
        return super().reply()


@pytest.mark.parametrize(
    ("header", "peer"),
    [
        (V1, "192.0.2.7"),
        (v2("2001:db8::7", "2001:db8::1", extra=b"\x04\x00\x01x"), "2001:db8::7"),
        (b"PROXY UNKNOWN\r\n", PROXY),
        (SIGNATURE + b"\x20\x00\x00\x00", PROXY),
    ],
    ids=["v1", "v2", "UNKNOWN", "LOCAL"],
)
def test_mail_through_a_proxy_names_the_real_client(anna: Mailbox, header: bytes, peer: str) -> None:
    with ServerInThread(proxies=PROXIES) as server, ProxyClient(server.address, header) as client:
        assert [connection.peer for connection in server.server.connections] == [peer]
        assert client.transaction(make_raw(), "anna@example.test").startswith("250")
    message = Message.objects.get()
    assert message.peer == peer
    assert f"[{'IPv6:' if ':' in peer else ''}{peer}]" in trace_header(message).decode()


def test_a_header_in_single_octets_and_commands_in_the_packet_of_its_end(anna: Mailbox) -> None:
    with ServerInThread(proxies=PROXIES) as server, socket.create_connection(server.address, 5, (PROXY, 0)) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for octet in V1[:-1]:
            raw.send(bytes([octet]))
        raw.sendall(b"\nNOOP\r\nQUIT\r\n")
        with raw.makefile("rb") as stream:
            assert [line[:3] for line in stream] == [b"220", b"250", b"221"]


def test_clients_behind_a_proxy_are_counted_apart(anna: Mailbox) -> None:
    with ServerInThread(proxies=PROXIES, sessions_per_client=1) as server, ProxyClient(server.address, V1):
        again = ProxyClient(server.address, V1)
        assert again.greeting == "421 4.7.0 Too many sessions; try again later"
        again.close()
        ProxyClient(server.address, v1("192.0.2.8", "198.51.100.1")).close()


def test_one_ipv6_network_of_64_bits_is_one_client(anna: Mailbox) -> None:
    def header(source: str) -> bytes:
        return v2(source, "2001:db8:ffff::1")

    with (
        ServerInThread(proxies=PROXIES, sessions_per_client=1) as server,
        ProxyClient(server.address, header("2001:db8:0:1::1")),
    ):
        with ProxyClient(server.address, header("2001:db8:0:1:ffff::2")) as neighbour:
            assert neighbour.greeting == "421 4.7.0 Too many sessions; try again later"
        with ProxyClient(server.address, header("2001:db8:0:2::1")) as stranger:
            assert stranger.say("NOOP").startswith("250")


@pytest.mark.parametrize(
    ("sent", "reason"),
    [(b"EHLO client.test\r\n", "proxy_header"), (b"", "proxy_slow"), (V1[:-1], "proxy_slow")],
    ids=["no header", "silence", "half a header"],
)
def test_a_proxy_without_a_header_is_closed_without_a_word(anna: Mailbox, sent: bytes, reason: str) -> None:
    with ServerInThread(proxies=PROXIES, proxy_header=0.3) as server:
        client = ProxyClient(server.address, sent)
        assert client.greeting == ""
        client.close()
        wait_for(lambda: not server.server.waiting)
        server.server.counters.flush()
    assert Counter.objects.get(name=f"smtpd.refused.{reason}").value == 1


def test_proxies_that_name_no_client_are_bounded(anna: Mailbox) -> None:
    with (
        ServerInThread(proxies=PROXIES, sessions=1) as server,
        socket.create_connection(server.address, 5, (PROXY, 0)) as first,
    ):
        wait_for(lambda: len(server.server.waiting) == 1)
        with socket.create_connection(server.address, 5, (PROXY, 0)) as second, suppress(ConnectionError):
            assert second.recv(1) == b""
        first.sendall(V1)
        assert first.recv(3) == b"220"


@pytest.mark.parametrize("header", [V1, v2("192.0.2.7", "192.0.2.8")], ids=["v1", "v2"])
def test_from_anybody_else_a_header_is_an_unknown_command(anna: Mailbox, header: bytes) -> None:
    with ServerInThread(proxies=PROXIES) as server, server.client() as client:
        client.send(header)
        assert client.reply() == "500 5.5.1 Command not known"
        assert [connection.peer for connection in server.server.connections] == ["127.0.0.1"]
