"""Mail of 4 KB whose words are as frequent as in a language (Zipf), the same in each run. Sends and stores nothing."""

import random
from itertools import accumulate

SIZE = 4096  # octets of a message
PLAIN = "Content-Type: text/plain; charset=utf-8\r\n"
CRLF = "\r\n"
LETTERS = "etaoinshrdlucmfwypvbgkjqxz"


def vocabulary(size: int = 30_000) -> list[str]:
    made = random.Random(1)
    return ["".join(made.choices(LETTERS, k=made.randint(2, 11))) for _ in range(size)]


class Mails:
    """Call it for the next mail; `number` says how many were made, and stands in subject and Message-ID."""

    def __init__(self, *, alternative: bool = False) -> None:
        """`alternative`: half a mail is plain text, half HTML: the same words, and each some of its own."""
        self.alternative = alternative
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
            "Date: Mon, 1 Jan 2024 10:00:00 +0000\r\n"
        )
        if not self.alternative:
            head += f"{PLAIN}\r\n"
            return (head + "\r\n".join(self._lines(SIZE - 40 - len(head))) + "\r\n").encode()
        lines = self._lines((SIZE - 600 - len(head)) // 2)
        shown = "".join(f"<p style='margin:0'>{line}</p>\r\n" for line in lines)
        return (
            f'{head}Content-Type: multipart/alternative; boundary="b"\r\n\r\n'
            f"--b\r\n{PLAIN}\r\nShown as text\r\n{CRLF.join(lines)}\r\n"
            "--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<html><body><a href='#'>See it on the web</a>"
            f"\r\n{shown}<p>Sent from a desk</p></body></html>\r\n--b--\r\n"
        ).encode()

    def _lines(self, room: int) -> list[str]:
        lines: list[str] = []
        octets = 0
        while octets < room:
            lines.append(" ".join(self.random.choices(self.words, cum_weights=self.weights, k=10)))
            octets += len(lines[-1]) + 2
        return lines
