"""Mail of 4 KB whose words are as frequent as in a language (Zipf), the same in each run. Sends and stores nothing."""

import random
from itertools import accumulate

SIZE = 4096  # octets of a message
LETTERS = "etaoinshrdlucmfwypvbgkjqxz"


def vocabulary(size: int = 30_000) -> list[str]:
    made = random.Random(1)
    return ["".join(made.choices(LETTERS, k=made.randint(2, 11))) for _ in range(size)]


class Mails:
    """Call it for the next mail; `number` says how many were made, and stands in subject and Message-ID."""

    def __init__(self) -> None:
        self.words = vocabulary()
        self.weights = list(accumulate(1 / rank for rank in range(1, len(self.words) + 1)))
        self.random = random.Random(2)
        self.number = 0

    def __call__(self) -> bytes:
        self.number += 1
        head = (
            "Received: from a.test by b.test; Mon, 1 Jan 2024 10:00:00 +0000\r\n"
            "From: Erika Example <e@outside.test>\r\nTo: anna@example.test\r\n"
            f"Subject: Figures {self.number}\r\nMessage-ID: <{self.number}@outside.test>\r\n"
            "Date: Mon, 1 Jan 2024 10:00:00 +0000\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
        )
        lines: list[str] = []
        octets = len(head)
        while octets < SIZE - 40:
            line = " ".join(self.random.choices(self.words, cum_weights=self.weights, k=10))
            lines.append(line)
            octets += len(line) + 2
        return (head + "\r\n".join(lines) + "\r\n").encode()
