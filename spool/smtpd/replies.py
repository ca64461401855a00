"""Every reply of the server, named once: code (RFC 5321), enhanced code (RFC 3463), fixed text, reason for counting.

No reply ever holds what a peer sent or an exception's text.
"""

from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Reply:
    """One reply line. `reason` names it in /metrics; `fault`: it counts towards the limit of errors."""

    code: int
    enhanced: str
    text: str
    reason: str = ""
    fault: bool = False

    @cached_property
    def line(self) -> bytes:
        enhanced = f"{self.enhanced} " if self.enhanced else ""
        return f"{self.code} {enhanced}{self.text}\r\n".encode("ascii")


def _fault(code: int, enhanced: str, text: str, reason: str) -> Reply:
    return Reply(code, enhanced, text, reason, fault=True)


# what goes well
OK = Reply(250, "2.0.0", "Ok")
SENDER_OK = Reply(250, "2.1.0", "Ok")
RECIPIENT_OK = Reply(250, "2.1.5", "Ok")
START_DATA = Reply(354, "", "End data with <CR><LF>.<CR><LF>")
BYE = Reply(221, "2.0.0", "Bye")
START_TLS = Reply(220, "2.0.0", "Ready to start TLS")
CANNOT_VERIFY = Reply(252, "2.0.0", "Cannot say; send the mail and I will try")

# put off: the sender keeps the mail (rule 1)
UNSURE = Reply(451, "4.3.0", "Cannot take this mail now; try again later", "unsure")
PRIMARY_UP = Reply(451, "4.7.1", "The primary mail server is up; deliver there", "primary_up")
UNKNOWN_PUT_OFF = Reply(450, "4.1.1", "Recipient not known here yet; try again later", "unknown_deferred", fault=True)
FULL = Reply(452, "4.3.1", "Not enough room now; try again later", "full")
TOO_MANY_RECIPIENTS = _fault(452, "4.5.3", "Too many recipients; send the rest separately", "recipients")
TOO_MANY_SESSIONS = Reply(421, "4.7.0", "Too many sessions; try again later", "sessions")
TOO_MANY_ERRORS = Reply(421, "4.7.0", "Too many errors", "errors")
TOO_MANY_COMMANDS = Reply(421, "4.7.0", "Too many commands without mail", "commands")
HARVEST = Reply(421, "4.7.0", "Too many unknown recipients; try again later", "harvest")
SHUTTING_DOWN = Reply(421, "4.3.2", "Shutting down; try again soon", "shutdown")
IDLE = Reply(421, "4.4.2", "Waited too long", "idle")
TOO_SLOW = Reply(421, "4.4.2", "The mail comes too slowly", "slow")

# refused: the sender gives up
FOREIGN = _fault(550, "5.7.1", "Not a domain einbox takes mail for; no relaying", "foreign")
UNKNOWN = _fault(550, "5.1.1", "No such recipient", "unknown")
TOO_LARGE = _fault(552, "5.3.4", "The message is too large", "size")
BARE_OCTETS = _fault(550, "5.6.11", "Bare CR, bare LF or NUL in the message", "bare_octets")
LINE_TOO_LONG = _fault(550, "5.6.0", "A line of the message is too long", "line_length")
LOOP = _fault(554, "5.4.6", "Mail loop", "loop")

# grammar and order
SYNTAX = _fault(500, "5.5.2", "Syntax error", "syntax")
COMMAND_TOO_LONG = _fault(500, "5.5.2", "Command line too long", "command_length")
UNKNOWN_COMMAND = _fault(500, "5.5.1", "Command not known", "unknown_command")
NOT_OFFERED = _fault(502, "5.5.1", "Command not offered", "not_offered")
BAD_ARGUMENT = _fault(501, "5.5.4", "Argument not understood", "argument")
BAD_PARAMETER = _fault(555, "5.5.4", "Parameter not offered", "parameter")
BAD_SENDER = _fault(501, "5.1.7", "Not a valid sender address", "sender_syntax")
BAD_RECIPIENT = _fault(501, "5.1.3", "Not a valid recipient address", "recipient_syntax")
NEEDS_SMTPUTF8 = _fault(553, "5.6.7", "This address needs SMTPUTF8", "smtputf8")
BAD_SEQUENCE = _fault(503, "5.5.1", "Command out of order", "sequence")
NO_RECIPIENTS = _fault(554, "5.5.1", "No valid recipients", "no_recipients")
OUT_OF_STEP = _fault(554, "5.5.0", "Wait for the reply before sending more", "pipelining")
NO_TLS = _fault(502, "5.5.1", "STARTTLS not offered", "not_offered")

HARVESTED = frozenset({UNKNOWN, UNKNOWN_PUT_OFF})  # what tells that an address does not exist


def greeting(hostname: str) -> bytes:
    return f"220 {hostname} ESMTP einbox\r\n".encode("ascii")


def helo(hostname: str) -> bytes:
    return f"250 {hostname}\r\n".encode("ascii")


def ehlo(hostname: str, *, size_limit: int, starttls: bool) -> bytes:
    """The extensions, exactly those of the contract."""
    offers = [hostname, f"SIZE {size_limit}", "8BITMIME", "SMTPUTF8", "PIPELINING", "ENHANCEDSTATUSCODES"]
    if starttls:
        offers.append("STARTTLS")
    lines = [f"250-{offer}\r\n" for offer in offers[:-1]] + [f"250 {offers[-1]}\r\n"]
    return "".join(lines).encode("ascii")


def accepted(public_id: str) -> Reply:
    """The promise (rule 1). `public_id` is ours."""
    return Reply(250, "2.0.0", f"Ok: kept as {public_id}")
