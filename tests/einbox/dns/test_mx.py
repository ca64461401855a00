"""The MX order as doctor sees it, asked of a name server on loopback that behaves, lies, is slow or silent."""

import time
from pathlib import Path

import pytest

from einbox.dns.message import Kind, encode_name, read_name
from einbox.dns.mx import examine
from einbox.dns.resolver import Resolver, UnansweredError, is_reserved, system_servers
from einbox.finding import FAIL, OK, WARN
from tests.doubles.installation import free_port
from tests.doubles.nameserver import TRICKLE, NameServer, Row, Table

pytestmark = pytest.mark.pure
HOST, DOMAIN = "einbox.firm.de", "firm.de"
PRIMARY: Row = (Kind.MX, "10 mail.firm.de", 300)
NAMES: Table = {
    HOST: [(Kind.A, "192.0.2.9", 300), (Kind.AAAA, "2001:db8::9", 300)],
    "9.2.0.192.in-addr.arpa": [(Kind.PTR, HOST, 300)],
    "9.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa": [(Kind.PTR, "other.firm.de", 300)],
}


def found(*mx: Row, names: Table = NAMES) -> dict[str, str]:
    with NameServer({**names, DOMAIN: list(mx)}) as server:
        return {each.check: each.state for each in examine(HOST, [DOMAIN], Resolver((server.address,)))}


def test_einbox_after_the_primary_is_fine() -> None:
    states = found(PRIMARY, (Kind.MX, f"20 {HOST.upper()}", 300))
    assert states == {"dns ptr": WARN, f"dns mx {DOMAIN}": OK}  # the IPv6 address points elsewhere


@pytest.mark.parametrize(("preference", "state"), [(5, FAIL), (10, FAIL), (11, OK)])
def test_the_order_counts(preference: int, state: str) -> None:
    assert found(PRIMARY, (Kind.MX, f"{preference} {HOST}", 300))[f"dns mx {DOMAIN}"] == state


@pytest.mark.parametrize("rows", [(), (PRIMARY,), ((Kind.MX, f"20 {HOST}", 300),)])
def test_an_mx_that_lacks_one_of_the_two_is_said(rows: tuple[Row, ...]) -> None:
    assert found(*rows)[f"dns mx {DOMAIN}"] == WARN


def test_a_long_life_and_a_name_without_address_are_said() -> None:
    states = found((Kind.MX, "10 mail.firm.de", 86400), (Kind.MX, f"20 {HOST}", 300), names={})
    assert (states[f"dns ttl {DOMAIN}"], states["dns name"]) == (WARN, FAIL)


def test_an_alias_is_followed() -> None:
    table: Table = {"a.firm.de": [(Kind.CNAME, "b.firm.de", 60)], "b.firm.de": [(Kind.A, "192.0.2.1", 60)]}
    with NameServer(table) as server:
        assert Resolver((server.address,)).ask("a.firm.de", Kind.A)[0].value == "192.0.2.1"


def test_a_long_answer_comes_by_tcp() -> None:
    with NameServer({DOMAIN: [PRIMARY] * 50}, truncate=True) as server:
        assert len(Resolver((server.address,)).ask(DOMAIN, Kind.MX)) == 50
        assert server.asked == {"udp": 1, "tcp": 1}


def test_forged_answers_are_passed_over() -> None:
    def twist(reply: bytes) -> list[bytes]:
        wrong_id = bytes([reply[0] ^ 1]) + reply[1:]
        return [b"", b"junk", wrong_id, reply.replace(b"\x04firm", b"\x04evil", 1), reply]

    with NameServer({DOMAIN: [PRIMARY]}, twist=twist) as server:
        assert Resolver((server.address,)).ask(DOMAIN, Kind.MX)[0].value == "mail.firm.de"


def test_a_server_that_fails_or_is_not_there_hands_on_to_the_next() -> None:
    with NameServer({}, code=2) as failing, NameServer({DOMAIN: [PRIMARY]}) as good:
        resolver = Resolver((("127.0.0.1", free_port()), failing.address, good.address))
        assert resolver.ask(DOMAIN, Kind.MX)
        with pytest.raises(UnansweredError):
            Resolver((failing.address,)).ask(DOMAIN, Kind.MX)


def test_silence_costs_a_limited_time_over_all_domains_and_is_a_warning() -> None:
    with NameServer({}, twist=lambda _reply: []) as server:
        started = time.monotonic()
        domains = [f"d{number}.de" for number in range(50)]
        findings = list(examine(HOST, domains, Resolver((server.address,), seconds=0.5)))
        assert [each.state for each in findings] == [WARN]
        assert "could not be checked" in findings[0].sentence
        assert server.asked["udp"] == 1
        assert time.monotonic() - started < 5


def test_an_answer_that_trickles_in_ends_with_the_time_for_all_questions() -> None:
    """An octet now and then, each in time, must not add up."""
    with NameServer({DOMAIN: [PRIMARY]}, truncate=True, trickle=True) as server:
        with pytest.raises(UnansweredError):
            Resolver((server.address,), seconds=0.3).ask(DOMAIN, Kind.MX)
        assert server.trickled < TRICKLE / 2


@pytest.mark.parametrize("evil", ["\x1b[2j", "a\nok", "a b", "\x9b"])
def test_a_name_that_steers_the_terminal_is_shown_in_digits(evil: str) -> None:
    octets = evil.encode("latin-1")
    label = bytes([len(octets)]) + octets
    value, _end = read_name(label + encode_name("firm.de"), 0)
    assert value.isprintable()
    assert " " not in value
    assert value.endswith(".firm.de")


def test_no_name_server_at_all_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "resolv.conf").write_text("# empty\nnameserver\nnameserver nonsense\nnameserver ::1\noptions x\n")
    assert system_servers(tmp_path / "resolv.conf") == (("::1", 53),)
    assert system_servers(tmp_path / "absent") == ()
    [finding] = examine(HOST, [DOMAIN], Resolver(()))
    assert "no name server is configured" in finding.sentence


@pytest.mark.parametrize("name", ["localhost", "einbox", "einbox.test", "mail.example.org", "x.invalid"])
def test_names_of_tests_and_documents_are_never_asked_for(name: str) -> None:
    assert is_reserved(name)
    with NameServer({}) as server:
        [finding] = examine(name, [DOMAIN], Resolver((server.address,)))
        assert finding.state == WARN
        assert server.asked == {"udp": 0, "tcp": 0}


def test_an_address_in_brackets_is_no_name_to_ask_for() -> None:
    [finding] = examine("[192.0.2.1]", [DOMAIN], Resolver(()))
    assert "[192.0.2.1] is no public name, set EINBOX_HOSTNAME" in finding.sentence
