"""What the drill's senders make of an answer: accepted, refused, or in doubt."""

import pytest

from einbox.drill.mail import DrillMail
from einbox.drill.senders import offer
from tests.doubles.primary import Act, Primary, drop, reply

pytestmark = pytest.mark.pure

MAIL = DrillMail("token", "out@outside.test", ("a@drill.test", "b@drill.test"), b"Subject: a\r\n\r\nb\r\n")


@pytest.mark.parametrize(
    ("act", "accepted"),
    [
        (reply("250 2.0.0 Ok"), MAIL.recipients),
        (reply("451 4.7.1 The mail server is up; use it"), ()),
        (reply("451 4.3.0 Cannot take this mail now; try again later"), None),
        (drop(), None),
    ],
)
def test_an_answer_in_doubt_is_neither_yes_nor_no(act: Act, accepted: tuple[str, ...] | None) -> None:
    with Primary() as server:
        server.on("dot", act)
        answer = offer(server.port, MAIL, MAIL.recipients)
    assert answer.accepted == accepted
    assert answer.put_off == (() if accepted else MAIL.recipients)
