"""SMTP sessions against RFC 5321: targets `commands` (a client that waits for replies), `stream` (one that does not),
`grammar` (MAIL and RCPT alone).

The oracle is a client with a model of its own: which commands may be answered how, and when; what a reply looks like;
what may be kept.
"""

import re
from contextlib import suppress
from dataclasses import dataclass
from unicodedata import normalize

from spool.queue.ingest import Incoming
from spool.smtp.client import ContentError, Envelope, check_envelope, stuff
from spool.smtpd.grammar import PATH_LENGTH, Refused, read_mail, read_rcpt
from spool.smtpd.policy import PutOff, Sender, decide
from tests.fuzz import wording
from tests.fuzz.rig import DOMAINS, KEEP, NOW, SMALL, VIEW, Rig, listening
from tests.fuzz.target import Fault, Target, check, chunks
from tests.spool.smtpd.test_scanner import reference

REPLY = re.compile(rb"([2-5]\d\d)([ -])([\x20-\x7e]*)\r\n")
ENHANCED = re.compile(rb"([245])\.\d{1,3}\.\d{1,3} [^ ]")
LINE = re.compile(rb"[^\n]*\n|[^\n]+")
HELLOS = (b"EHLO", b"HELO")
ALLOWED = {  # RFC 5321 section 4.3.2, and what the limits add
    b"EHLO": (250, 501), b"HELO": (250, 501), b"MAIL": (250, 501, 503, 552, 553, 555, 452, 451),
    b"RCPT": (250, 450, 451, 452, 501, 503, 550, 553, 555), b"DATA": (354, 452, 501, 503, 554), b"RSET": (250, 501),
    b"NOOP": (250,), b"QUIT": (221,), b"STARTTLS": (220, 501, 502, 503), b"VRFY": (252, 501), b"EXPN": (502,),
    b"HELP": (502,), b"AUTH": (502,),
}  # fmt: skip
ENDS_SESSION = {221, 421}
TOKENS = (
    b"EHLO c.test\r\n", b"HELO c.test\r\n", b"MAIL FROM:<>\r\n", b"MAIL FROM:<a@outside.test>\r\n", b"MAIL FROM:<",
    b"RCPT TO:<anna@example.test>\r\n", b"RCPT TO:<no@example.test>\r\n", b"RCPT TO:<x@open.test>\r\n",
    b"RCPT TO:<x@box.test>\r\n", b"RCPT TO:<x@later.test>\r\n", b"RCPT TO:<x@up.test>\r\n",
    b"RCPT TO:<x@relay.test>\r\n", b"RCPT TO:<x@lost.test>\r\n", b"RCPT TO:<x@outside.test>\r\n",
    b"RCPT TO:<postmaster>\r\n", b"RCPT TO:<", b"DATA\r\n", b"\r\n.\r\n", b".\r\n", b"..\r\n",
    b"Subject: a\r\n\r\nb\r\n", b"Received: x by einbox.test (einbox)\r\n", b"RSET\r\n", b"NOOP\r\n", b"QUIT\r\n",
    b"STARTTLS\r\n", b"VRFY a\r\n", b"EXPN a\r\n", b"HELP\r\n", b"AUTH PLAIN\r\n", b"\r\n", b"\n", b"\r", b"\0",
    b" ", b"\t", b">", b"@", b"@open.test>\r\n", b"@example.test>", b"%", b"!", b'"', b"\\", b":", b"[1.2.3.4]",
    b"[IPv6:::1]", b" SIZE=", b" SIZE=99999999", b" BODY=8BITMIME", b" BODY=7BIT", b" SMTPUTF8", b"@a,@b:",
    "ü".encode(), "＠".encode(), "％".encode(), "\u202e".encode(), "\u2024".encode(), b"\xff", b"a" * 70, b"x" * 310,
    b"MAIL FROM:<a@[1.2.3.4]> SMTPUTF8\r\n",
)  # fmt: skip
GOOD = b"EHLO c.test\r\nMAIL FROM:<a@outside.test> SIZE=50\r\nRCPT TO:<anna@example.test>\r\nDATA\r\n"
MAIL = b"Subject: a\r\n\r\n..b\r\n.\r\n"


def seeds() -> list[bytes]:
    sessions = [
        GOOD + MAIL + b"QUIT\r\n",
        GOOD + MAIL + b"MAIL FROM:<>\r\nRCPT TO:<x@open.test>\r\nRCPT TO:<x@box.test>\r\nDATA\r\n" + MAIL,
        GOOD + b"Subject: a\n.\n\r\n.\r\nRSET\r\nNOOP\r\n",
        GOOD + b"x" * 400 + b"\r\n.\r\n",
        b"EHLO c.test\r\nSTARTTLS\r\n" + GOOD + MAIL,
        "HELO c\r\nMAIL FROM:<ü@x.test> SMTPUTF8 BODY=8BITMIME\r\nRCPT TO:<postmaster>\r\n".encode() + GOOD[-6:] + MAIL,
        b"EHLO c.test\r\nMAIL FROM:<a@x.test>\r\n" + b"RCPT TO:<no@example.test>\r\n" * 9,
        b"VRFY a\r\nEXPN a\r\nHELP\r\nAUTH PLAIN\r\nFOO\r\nDATA\r\nRCPT TO:<a%b@open.test>\r\nQUIT\r\n",
    ]
    return [bytes([how, 7]) + one for one in sessions for how in (0, 8)]


@dataclass(frozen=True)
class Said:
    """One reply."""

    code: int
    lines: tuple[bytes, ...]


def read_replies(octets: bytes) -> list[Said]:
    """Every reply in `octets`, each well formed (RFC 5321 section 4.2)."""
    found: list[Said] = []
    lines: list[bytes] = []
    position = 0
    while position < len(octets):
        match = REPLY.match(octets, position)
        if match is None:
            raise Fault(f"not a reply line: {octets[position : position + 600]!r}")
        check(len(match[0]) <= 512, "a reply line longer than 512 octets", match[0])
        lines.append(match[3])
        position = match.end()
        if match[2] == b" ":
            found.append(Said(int(match[1]), tuple(lines)))
            lines = []
    check(not lines, "a reply without its last line", octets)
    return found


def check_enhanced(said: Said) -> None:
    """Every reply but greeting, go-ahead and those to EHLO and HELO carries a code of its class (RFC 2034)."""
    for line in said.lines:
        match = ENHANCED.match(line)
        check(match is not None and int(match[1]) == said.code // 100, "no fitting enhanced code", said)


def check_kept(incoming: Incoming) -> None:
    """Nothing is kept for another domain than ours, in whatever letters, and nothing that could not go home."""
    check(bool(incoming.recipients), "mail kept without a recipient")
    for one in incoming.recipients:
        local, _, domain = one.forward_path.rpartition("@")
        check(domain in DOMAINS, "mail kept for a foreign domain", one.forward_path)
        plain = normalize("NFKC", local)
        check(not set("%!@") & set(plain), "mail kept for a second address inside", one.forward_path)
        wording.harmless(one.forward_path)
    wording.harmless(incoming.reverse_path)
    wording.harmless(incoming.helo)
    raw = incoming.raw
    check(not wrong_with(raw), "mail kept that breaks a limit", wrong_with(raw), raw)
    try:
        check_envelope(Envelope(incoming.reverse_path, tuple(one.forward_path for one in incoming.recipients)))
        stuff(raw)
    except ContentError as error:
        raise Fault("mail kept that the client will not carry") from error


def wrong_with(raw: bytes) -> list[str]:
    """Why content may not be taken."""
    lone = set(raw.replace(b"\r\n", b""))
    found = ["bare CR, LF or NUL"] if {0, 10, 13} & lone else []
    found += ["size"] if len(raw) > SMALL.message_size else []
    return found + (["line"] if any(len(line) > SMALL.line for line in raw.split(b"\r\n")) else [])


@dataclass
class Client:
    """What a client knows of its session when it waits for each reply."""

    rig: Rig
    hello: bool = False
    mail: bool = False
    recipients: int = 0
    data: bytes | None = None
    over: bool = False
    kept: int = 0

    def send(self, piece: bytes) -> None:
        """One line, or the last words without a line end."""
        replies = read_replies(self.rig.say(piece))
        fresh = self.rig.keeper.kept[self.kept :]
        self.kept += len(fresh)
        for incoming in fresh:
            check_kept(incoming)
        self.over = self.rig.closed
        check(not self.over or bool(replies), "the session ended without a word")
        if replies and replies[-1].code in ENDS_SESSION:
            check(self.over, "421 or 221 and the session goes on")
        if replies and replies[-1].code == 421:  # alone, or behind the last reply (RFC 5321 section 3.8)
            check_enhanced(replies.pop())
            if not replies:
                check(not fresh, "mail kept and 421 said")
                return
        if self.data is None:
            check(not fresh, "mail kept without DATA", piece)
            self.command(piece, replies)
        else:
            self.content(self.data + piece, replies, fresh)

    # --- commands
    def command(self, piece: bytes, replies: list[Said]) -> None:
        if not piece.endswith(b"\n"):
            check(not replies, "a reply to half a line", piece, replies)
            return
        check(len(replies) == 1, "not one reply to one command", piece, replies)
        said, line = replies[0], piece[:-2]
        verb = line.partition(b" ")[0].upper()
        if not piece.endswith(b"\r\n") or b"\r" in line or b"\0" in line or len(piece) > SMALL.command_line:
            check(said.code == 500, "not 500 to what is no command", piece, said)
            verb = b""
        check(said.code in ALLOWED.get(verb, (500,)), "a reply that does not fit its command", piece, said)
        if said.code != 354 and not (verb in HELLOS and said.code == 250):
            check_enhanced(said)
        check(len(said.lines) == 1 or verb == b"EHLO", "several lines", piece, said)
        self.follow(piece, verb, said.code)

    def follow(self, piece: bytes, verb: bytes, code: int) -> None:
        if verb == b"MAIL":
            check(code != 250 or (self.hello and not self.mail), "MAIL out of order", piece)
            if piece == b"MAIL FROM:<>\r\n" and self.hello and not self.mail:
                check(code == 250, "the null sender is refused", code)
            self.mail = self.mail or code == 250
        elif verb == b"RCPT":
            check(code == 503 or self.mail, "RCPT out of order", piece)
            self.recipients += code == 250
            if code == 250:
                check_addressed(piece)
        elif verb == b"DATA":
            check(code != 354 or self.recipients > 0, "DATA without a recipient")
            self.data = b"" if code == 354 else None
        elif (verb in (*HELLOS, b"RSET") and code == 250) or (verb == b"STARTTLS" and code == 220):
            self.mail, self.recipients = False, 0
            self.hello = verb in HELLOS or (self.hello and verb == b"RSET")

    # --- DATA
    def content(self, data: bytes, replies: list[Said], fresh: list[Incoming]) -> None:
        self.data = data
        found = reference(data)
        if found is None and len(data) > 2 * SMALL.message_size:  # drained far enough
            check(self.over and not fresh, "a flood is read for ever")
            return
        if found is None:
            check(not replies and not fresh, "a reply before the end of DATA", data, replies)
            return
        check(len(replies) == 1, "not one reply to one message", replies)
        check_enhanced(replies[0])
        self.judged(found[0], replies[0], fresh)
        self.data, self.mail, self.recipients = None, False, 0

    def judged(self, raw: bytes, said: Said, fresh: list[Incoming]) -> None:
        """250 says that just this is kept; in doubt it is 451; honest mail is taken."""
        good = said.code == 250
        check(not good or [one.raw for one in fresh] == [raw], "250 and something else is kept", raw, fresh)
        check(len(fresh) <= 1 and all(len(one.recipients) == self.recipients for one in fresh), "other recipients kept")
        if fresh:
            check(said.code == (250 if self.rig.keeper.outcome == KEEP else 451), "what is kept and said differ", said)
        elif not wrong_with(raw) and b"eceived" not in raw.lower():
            check(False, "honest mail is refused", raw, said)


def check_addressed(piece: bytes) -> None:
    """A recipient that is taken is written with a domain of ours between its brackets, or is the postmaster."""
    path = piece[piece.find(b"<") + 1 : piece.rfind(b">")].decode().lower()
    domain = normalize("NFKC", path.rpartition("@")[2]).replace("。", ".")
    check(path == "postmaster" or domain in DOMAINS, "a foreign recipient is taken", piece)


def _rig(data: bytes) -> Rig:
    how = data[0] if data else 0
    return Rig(outcome=how % 4 % 3, tls=bool(how & 8))


@listening()
def run_commands(data: bytes) -> None:
    session = _rig(data)
    greeting = read_replies(session.hear())
    check([said.code for said in greeting] == [220], "no greeting", greeting)
    client = Client(session)
    for piece in LINE.findall(data[2:]):
        client.send(piece)
        if client.over:
            break
    read_replies(session.leave())


@listening()
def run_stream(data: bytes) -> None:
    """Octets as they come, in any pieces: whatever the client did wrong, the replies are replies, and few."""
    session = _rig(data)
    said = session.hear()
    for piece in chunks(data[2:], data[1] if len(data) > 1 else 0):
        said += session.say(piece)
    replies = read_replies(said + session.leave())
    for incoming in session.keeper.kept:
        check_kept(incoming)
    begun = sum(one.code == 354 for one in replies)
    check(len(session.keeper.kept) <= begun, "more mail kept than DATA begun", begun)
    # The greeting, one for each line, and a last 421.
    check(len(replies) <= 2 + data[2:].count(b"\n"), "more replies than commands", replies)


def run_grammar(data: bytes) -> None:
    with suppress(Refused):
        mail = read_mail(data)
        path = mail.reverse_path
        wording.harmless(path)
        check(len(path.encode()) <= PATH_LENGTH and 0 <= mail.size < 10**20, "beyond the limits", mail)
        check(path.isascii() or mail.smtputf8, "8-bit without SMTPUTF8", mail)
        again = read_mail(b"FROM:<" + path.encode() + (b"> SMTPUTF8" if mail.smtputf8 else b">"))
        check(again.reverse_path == path, "reading a path again gives another one", path, again)
    for smtputf8 in (False, True):
        with suppress(Refused):
            path = read_rcpt(data, smtputf8=smtputf8)
            verdict = decide(VIEW, path, Sender("", ""), put_off=PutOff(), limits=SMALL, now=NOW)
            if verdict.recipient is not None:
                check(verdict.recipient.forward_path.rpartition("@")[2] in DOMAINS, "a foreign domain", path)
                wording.harmless(verdict.recipient.forward_path)


GRAMMAR_SEEDS = [
    b"FROM:<a@x.test> SIZE=10 BODY=8BITMIME",
    b"FROM:<>",
    b'FROM:<"a b\\""@x.test> SMTPUTF8',
    b"TO:<anna@example.test>",
    b"TO:<postmaster>",
    b"TO:<@a,@b:anna@example.test>",
    "TO:<ü@bücher.test>".encode(),
    "FROM:<ä@[IPv6:::1]> SMTPUTF8".encode(),
]
TARGETS = (
    Target("commands", run_commands, seeds, TOKENS),
    Target("stream", run_stream, seeds, TOKENS),
    Target("grammar", run_grammar, lambda: GRAMMAR_SEEDS, (b"FROM:<", b"TO:<", *TOKENS), longest=600),
)
