"""The drill's mail, made from a seed. Pure: no network, no clock, no database."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from einbox.drill.sink import TOKEN_HEADER

SUBJECTS = (
    "Delivery on Thursday",
    "Re: minutes of the steering call",
    "=?utf-8?q?Angebot_=C3=BCber_12_Pumpen?=",
    "Invoice 2024-118",
    "Question about the contract",
)
LARGE_EVERY = 40  # one message in so many is larger than what lies inline
LARGE = 150_000  # octets


@dataclass(frozen=True)
class DrillMail:
    """One message with its envelope; `sha256` covers exactly the octets sent."""

    token: str
    sender: str
    recipients: tuple[str, ...]
    content: bytes

    @property
    def sha256(self) -> str:
        return sha256(self.content).hexdigest()


def make_mails(*, count: int, drill: str, recipients: Sequence[str], seed: int) -> Iterator[DrillMail]:
    """`count` messages to one to three of `recipients`, of mixed size, with dot lines and 8-bit text."""
    dice = random.Random(seed)  # noqa: S311 - test mail, not a secret
    for number in range(count):
        token = f"{drill}-{number}"
        to = tuple(dice.sample(list(recipients), k=min(len(recipients), dice.choice((1, 1, 1, 2, 3)))))
        yield DrillMail(token, f"sender{number % 17}@outside.test", to, _content(token, to, number, dice))


def _content(token: str, to: Sequence[str], number: int, dice: random.Random) -> bytes:
    length = LARGE if number % LARGE_EVERY == LARGE_EVERY - 1 else dice.randint(200, 8_000)
    lines = [f"Line {index} of {token}: Grüße, and a dot line follows." for index in range(max(1, length // 60))]
    body = "\r\n.\r\n".join(lines[:2]) + "\r\n" + "\r\n".join(lines[2:])
    head = (
        f"From: Sender {number % 17} <sender{number % 17}@outside.test>\r\nTo: {', '.join(to)}\r\n"
        f"Subject: {SUBJECTS[number % len(SUBJECTS)]}\r\nMessage-ID: <{token}@outside.test>\r\n"
        "Date: Mon, 01 Jan 2024 10:00:00 +0000\r\nMIME-Version: 1.0\r\n"
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    )
    return TOKEN_HEADER + token.encode() + b"\r\n" + (head + body + "\r\n").encode()
