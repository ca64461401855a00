"""Who looks like somebody he is not."""

import pytest

from spool.webmail.suspicion import Surroundings, judge

AROUND = Surroundings(frozenset({"example.org"}), {"joris windrad": "joris.windrad@example.org"})


@pytest.mark.pure
@pytest.mark.parametrize(
    ("name", "address", "kind"),
    [
        ("Joris Windrad", "j.windrad@example-org.test", "impersonation"),
        ("  JORIS   windrad ", "x@gmail.test", "impersonation"),
        ("Joris Windrad", "joris.windrad@example.org", None),
        ("Joris Windrad", "second.address@example.org", None),
        ("Erika", "erika@outside.test", None),
        ("boss@example.org", "x@evil.test", "name"),
        ("erika@outside.test", "erika@outside.test", None),
        ("Bank", "info@bаnk.test", "script"),  # a Cyrillic letter
        ("Bank", "info@xn--bnk-7cd.test", "script"),
        ("Кто", "кто@почта.test", None),
        ("", "", None),
    ],
)
def test_the_gravest_warning(name: str, address: str, kind: str | None) -> None:
    warning = judge(name, address, around=AROUND)
    assert (warning.kind if warning else None) == kind


@pytest.mark.pure
def test_answers_that_leave_the_house() -> None:
    warning = judge("Joris Windrad", "joris.windrad@example.org", around=AROUND, reply_to="joris@gmail.test")
    assert warning is not None
    assert warning.kind == "reply"
    assert "joris@gmail.test" in warning.reason


@pytest.mark.pure
def test_the_expected_domain_is_named_whole() -> None:
    warning = judge("Joris Windrad", "x@evil.test", around=AROUND)
    assert warning is not None
    assert warning.pieces[1] == "@example.org"
    assert "".join(warning.pieces) == warning.reason
