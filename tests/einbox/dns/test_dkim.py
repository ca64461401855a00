"""What doctor and `domain dkim --check` make of the TXT records that name servers give."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from einbox.dns.dkim import difference, look, tags
from einbox.dns.message import Kind
from einbox.dns.resolver import Resolver
from tests.doubles.nameserver import NameServer, Row

pytestmark = pytest.mark.pure
NAME = "sel._domainkey.firm.de"
LONG = "v=DKIM1; k=rsa; p=" + "MIIB" * 98
SHORT = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="


def asked(expected: str, *rows: Row, truncate: bool = False) -> tuple[bool | None, str]:
    with NameServer({NAME: list(rows)}, truncate=truncate) as server:
        [found] = look("firm.de", {"sel": expected}, Resolver((server.address,), seconds=2))
    return found.found, found.sentence


@pytest.mark.parametrize("expected", [LONG, SHORT])
@pytest.mark.parametrize("truncate", [False, True])
def test_a_published_record_is_found_whole(expected: str, truncate: bool) -> None:
    assert asked(expected, (Kind.TXT, expected, 300), truncate=truncate) == (True, f"{NAME} is published.")


@pytest.mark.parametrize(
    ("published", "why"),
    [
        (SHORT.replace("; ", ";"), ""),
        (SHORT + ";", ""),
        (SHORT.replace("p=11qY", "p=11 qY"), ""),
        (SHORT.removeprefix("v=DKIM1; "), ""),
        (SHORT + "; t=s; s=email:x; h=sha1:sha256; n=a note", ""),
        (SHORT.replace("=ed25519", "=rsa"), "another key"),
        (SHORT.replace("11qY", "22qY"), "another key"),
        ("v=DKIM1; k=ed25519; p=", "revoked"),
        ("v=spf1 -all", "no DKIM key"),
        ("", "no DKIM key"),
        (SHORT + "; p=x", "no DKIM key"),
        (SHORT + "; h=sha1", "SHA-256"),
        (SHORT + "; s=tlsrpt", "not for mail"),
        (SHORT + "; t=y:s", "testing"),
    ],
)
def test_each_difference_is_said(published: str, why: str) -> None:
    found, sentence = asked(SHORT, (Kind.TXT, published, 300))
    assert found == (not why)
    assert why in sentence


def test_no_record_and_two_records_are_said() -> None:
    assert asked(SHORT) == (False, f"{NAME} has no TXT record.")
    assert asked(SHORT, (Kind.TXT, SHORT, 300), (Kind.TXT, LONG, 300))[1] == f"{NAME} has 2 TXT records; one is right."


def test_silence_and_names_for_tests_are_no_verdict() -> None:
    [silent] = look("firm.de", {"sel": SHORT}, Resolver(()))
    [reserved] = look("firm.test", {"sel": SHORT}, Resolver(()))
    assert (silent.found, reserved.found) == (None, None)
    assert "could not be asked" in silent.sentence
    assert "no public name" in reserved.sentence


def test_what_a_name_server_says_is_never_repeated() -> None:
    _found, sentence = asked(SHORT, (Kind.TXT, "v=DKIM1; p=\x1b[2Jsee evil.test\x00\\", 300))
    assert sentence == f"The TXT record of {NAME} holds another key."


@given(st.text(max_size=60))
def test_any_text_is_judged(text: str) -> None:
    assert isinstance(tags(text), dict)
    assert difference(text, SHORT)
