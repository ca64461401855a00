"""What a person typed into To, Cc and Bcc, and what will happen to each address. Sends nothing.

Strict on purpose: an address that is not fully understood is a problem with a sentence, never repaired.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from django.conf import settings
from django.utils.translation import gettext as _

from spool.enums import Direction, RecipientPolicy, RouteState
from spool.mime.parsed import MailAddress
from spool.models import Mailbox, Route
from spool.queue.addresses import Address, AddressError, Directory, DomainEntry, Kind, Resolution, parse_address
from spool.queue.ingest import Recipient
from spool.queue.queries import writing_open
from spool.queue.schedule import OPEN_STATES

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# One item ends at a comma, semicolon or line break outside quotes and angle brackets. What is not closed is part of its
# item; nothing is looked at twice.
PIECE = re.compile(r'(?:"(?:[^"\\]|\\.)*+"|<[^<>]*+>|\\["\\]|[^,;\r\n])++')
MAX_PROBLEMS = 50  # of one message that are said at once
MAX_TEXT = 20_000  # characters of one field


class Fate(Enum):
    """What will happen to one recipient when the message is sent now."""

    AT_ONCE = "at-once"  # a colleague reads it here
    HOME = "home"  # a colleague whose server works
    KEPT = "kept"  # an address nobody knows, kept by policy
    WAITS = "waits"  # outside, when the server is back
    NOW = "now"  # outside, and the way is open


@dataclass(frozen=True)
class Planned:
    """One recipient who can be written to."""

    name: str
    address: Address
    fate: Fate
    recipient: Recipient

    @property
    def shown(self) -> str:
        return self.name or str(self.address)

    @property
    def outside(self) -> bool:
        return self.recipient.direction == Direction.OUTBOUND

    @property
    def mail_address(self) -> MailAddress:
        return MailAddress(self.name, str(self.address))


@dataclass(frozen=True)
class Problem:
    """Something that keeps the message from being sent, with the fix; `field`: to, cc, bcc, subject, body, files."""

    field: str
    sentence: str


@dataclass(frozen=True)
class Plan:
    """What sending now would do."""

    to: tuple[Planned, ...] = ()
    cc: tuple[Planned, ...] = ()
    bcc: tuple[Planned, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def everybody(self) -> tuple[Planned, ...]:
        """Each address once."""
        found: dict[str, Planned] = {}
        for one in (*self.to, *self.cc, *self.bcc):
            found.setdefault(str(one.address).lower(), one)
        return tuple(found.values())

    @property
    def waits(self) -> bool:
        return any(one.fate is Fate.WAITS for one in self.everybody)


def split(text: str) -> Iterator[tuple[str, str]]:
    """(name, address as typed) of each item; the address is whatever was typed, however wrong."""
    for match in PIECE.finditer(text[:MAX_TEXT]):
        piece = match[0].strip()
        name, opened, address = piece.removesuffix(">").rpartition("<")
        if not (opened and piece.endswith(">") and ">" not in address):
            name, address = "", piece
        name = name.strip()
        if len(name) > 1 and name[0] == name[-1] == '"':
            name = re.sub(r"\\(.)", r"\1", name[1:-1])
        if piece:
            yield name.strip(), address.strip()


def plan(*, to: str, cc: str, bcc: str, mailbox: Mailbox, directory: Directory | None = None) -> Plan:
    """Read the three fields and say what would happen to each recipient. Writes nothing."""
    planner = _Planner(mailbox, directory or Directory.load())
    found = Plan(planner.group("to", to), planner.group("cc", cc), planner.group("bcc", bcc))
    problems = planner.problems
    if not found.everybody and not problems:
        problems.append(Problem("to", _("Nobody is named yet. Write an address into To.")))
    if len(found.everybody) > settings.OUTBOUND_RECIPIENTS:
        sentence = _("A message goes to %(most)d people at most; these are %(count)d.")
        counts = {"most": settings.OUTBOUND_RECIPIENTS, "count": len(found.everybody)}
        problems.append(Problem("to", sentence % counts))
    return Plan(found.to, found.cc, found.bcc, tuple(problems))


class _Planner:
    """One sender, one snapshot of the directory, the routes looked up once."""

    def __init__(self, mailbox: Mailbox, directory: Directory) -> None:
        self.directory = directory
        self.sender_route = mailbox.domain.route
        self.problems: list[Problem] = []
        self._open: dict[int, bool] = {}

    def group(self, field: str, text: str) -> tuple[Planned, ...]:
        if len(text) > MAX_TEXT:
            self.problems.append(Problem(field, _("These are too many characters for one line of addresses.")))
            return ()
        found: dict[str, Planned] = {}
        for name, typed in split(text):
            if len(self.problems) >= MAX_PROBLEMS:
                break
            one = self._one(field, name, typed)
            if one is not None:
                found.setdefault(str(one.address).lower(), one)
        return tuple(found.values())

    def _one(self, field: str, name: str, typed: str) -> Planned | None:
        shown = CONTROL.sub(" ", typed)[:100]
        try:
            if CONTROL.search(name) or CONTROL.search(typed):
                raise AddressError(_("it holds a line break or another control character"))
            address = parse_address(typed)
            if not address.local.isascii():
                raise AddressError(_("letters before the @ must be plain ASCII"))
            where = self.directory.resolve(typed)
        except AddressError as error:
            self._problem(field, _("“%(typed)s” is not an address: %(why)s."), typed=shown, why=str(error))
            return None
        if where.kind is Kind.FOREIGN:
            return self._outside(field, name, address)
        return self._inside(field, name, address, where)

    def _problem(self, field: str, sentence: str, **values: str) -> None:
        self.problems.append(Problem(field, sentence % values))

    def _outside(self, field: str, name: str, address: Address) -> Planned | None:
        if address.domain in self.directory.domains:  # a%b@ours asks for relaying
            self._problem(field, _("%(address)s is not known here. Check the address."), address=str(address))
            return None
        if "." not in address.domain:
            self._problem(field, _("%(address)s lacks the end of its domain, such as .org."), address=str(address))
            return None
        route = self.sender_route
        closed = RouteState(route.state) not in OPEN_STATES and not route.smarthost_url  # as spool.queue.routing has it
        fate = Fate.WAITS if closed or route.held else Fate.NOW
        return Planned(name, address, fate, Recipient(str(address), route.pk, direction=Direction.OUTBOUND))

    def _inside(self, field: str, name: str, address: Address, where: Resolution) -> Planned | None:
        entry = where.domain
        assert entry is not None
        visible = self._open_by_id(entry)
        if where.kind is Kind.MAILBOX:
            recipient = Recipient(where.forward_path, entry.route_id, where.mailbox_id, visible=visible)
            return Planned(name, address, Fate.AT_ONCE if visible else Fate.HOME, recipient)
        if entry.policy in {RecipientPolicy.ACCEPT, RecipientPolicy.DROPBOX}:
            box = entry.dropbox_id if entry.policy == RecipientPolicy.DROPBOX else None
            recipient = Recipient(where.forward_path, entry.route_id, box, unknown=True, visible=visible)
            return Planned(name, address, Fate.KEPT, recipient)
        if where.kind is Kind.LEARNED:
            recipient = Recipient(where.forward_path, entry.route_id, visible=visible)
            return Planned(name, address, Fate.KEPT if visible else Fate.HOME, recipient)
        self._problem(
            field, _("Nobody has the address %(address)s here. Check it before sending."), address=str(address)
        )
        return None

    def _open_by_id(self, entry: DomainEntry) -> bool:
        if entry.route_id not in self._open:
            return self._writing_open(Route.objects.get(pk=entry.route_id))
        return self._open[entry.route_id]

    def _writing_open(self, route: Route) -> bool:
        if route.pk not in self._open:
            self._open[route.pk] = writing_open(route)
        return self._open[route.pk]


def addresses_of(group: Sequence[Planned]) -> tuple[MailAddress, ...]:
    """For the header."""
    return tuple(one.mail_address for one in group)
