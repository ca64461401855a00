"""Addresses: the strict grammar, the normal form, and who is who, from memory.

`Directory` is a snapshot: loading reads the database, resolving does not. Decides nothing about routes' states
or replies; that is spool.smtpd.policy. Strict on purpose: what is not understood is refused, never repaired.
"""

import re
from dataclasses import dataclass, field
from enum import Enum
from unicodedata import normalize

from accounts.enums import Role
from spool.enums import MailboxKind, RecipientPolicy, WhileUp
from spool.mime.words import UNSEEN
from spool.models import LearnedAddress, Mailbox, MailboxAlias
from spool.queue import scope

LOCAL_LENGTH = 64  # octets, RFC 5321 section 4.5.3.1.1
DOMAIN_LENGTH = 253  # octets without the root's dot, RFC 1035
LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
ATOMS = re.compile(
    r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~\u0080-\U0010ffff]+(?:\.[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~\u0080-\U0010ffff]+)*"
)
QUOTED = re.compile(r'"((?:[ !#-\[\]-~\u00a0-\U0010ffff]|\\[ -~])+)"')
UNSAFE = re.compile(f"[{UNSEEN}\u200c\u200d]")  # and joiners: never part of an honest address
SUBADDRESS = "+"
POSTMASTER = "postmaster"
KNOWN = 10_000  # forward-paths that a directory remembers


class AddressError(ValueError):
    """Not an address einbox works with; the text says why, without repeating the input."""


@dataclass(frozen=True)
class Address:
    """`local` as written (quotes only where the grammar needs them), `domain` in lower-case A-labels."""

    local: str
    domain: str

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"


def parse_domain(text: str) -> str:
    """A domain name in lower-case A-labels (RFC 5890). Raises AddressError."""
    name = text.lower()
    if not name.isascii():
        try:
            name = name.encode("idna").decode("ascii")
        except UnicodeError as error:
            raise AddressError("the domain is not a valid international name") from error
    labels = name.split(".")
    if len(name) > DOMAIN_LENGTH or not all(LABEL.fullmatch(label) for label in labels):
        raise AddressError("the domain is not a valid name")
    return name


def parse_local(text: str) -> str:
    """A local part: dot-atom, or a quoted string, which loses quotes it does not need. Raises AddressError."""
    if ATOMS.fullmatch(text):
        local = text
    elif quoted := QUOTED.fullmatch(text):
        inner = re.sub(r"\\(.)", r"\1", quoted[1])
        local = inner if ATOMS.fullmatch(inner) else text
    else:
        raise AddressError("the part before the @ is not valid")
    if not 1 <= len(local.encode()) <= LOCAL_LENGTH:
        raise AddressError("the part before the @ is longer than 64 octets")
    return local


def parse_address(text: str) -> Address:
    """`local@domain`, without angle brackets, comments or routes (RFC 5321 section 4.1.2). Raises AddressError."""
    if UNSAFE.search(text):
        raise AddressError("the address holds a character that cannot be part of it")
    local, at, domain = text.rpartition("@")
    if not at:
        raise AddressError("an address has the form name@domain")
    return Address(parse_local(local), parse_domain(domain))


def normalise(text: str) -> str:
    """The form in which addresses are stored and compared: lower case, A-labels. Raises AddressError."""
    address = parse_address(text.strip())
    return f"{address.local.lower()}@{address.domain}"


def normalise_alias(text: str) -> str:
    """As `normalise`, and the catch-all form `@domain`, which stands for every other name. Raises AddressError."""
    text = text.strip()
    if text.startswith("@"):
        return f"@{parse_domain(text[1:])}"
    return normalise(text)


class Kind(Enum):
    """What a forward-path turned out to be."""

    FOREIGN = "foreign"
    UNKNOWN = "unknown"
    LEARNED = "learned"  # nobody here has it, the primary took mail for it
    MAILBOX = "mailbox"


@dataclass(frozen=True)
class DomainEntry:
    """A protected domain as the directory knows it."""

    name: str
    route_id: int
    policy: RecipientPolicy = RecipientPolicy.REJECT
    while_up: WhileUp = WhileUp.DEFER
    dropbox_id: int | None = None
    postmaster_id: int | None = None  # who gets postmaster@ when nobody holds that address


@dataclass(frozen=True)
class Resolution:
    """Where a forward-path leads. `mailbox_id` is set for MAILBOX only; `domain` is None for FOREIGN only."""

    kind: Kind
    forward_path: str
    domain: DomainEntry | None = None
    mailbox_id: int | None = None
    postmaster: bool = False

    @property
    def policy(self) -> RecipientPolicy | None:
        return self.domain.policy if self.domain else None

    @property
    def while_up(self) -> WhileUp | None:
        return self.domain.while_up if self.domain else None

    @property
    def route_id(self) -> int | None:
        return self.domain.route_id if self.domain else None


def _names_another(local: str) -> bool:
    """Whether a local part holds a second address, in letters that only look like its marks too (full width)."""
    plain = local if local.isascii() else normalize("NFKC", local)
    return any(mark in plain for mark in "%!@")


@dataclass(frozen=True)
class Directory:
    """Snapshot of protected domains and of every address that may receive."""

    domains: dict[str, DomainEntry] = field(default_factory=dict)
    mailboxes: dict[str, int] = field(default_factory=dict)  # normalised address or alias (`@domain` too) -> mailbox id
    learned: frozenset[str] = frozenset()  # normalised addresses that a primary took mail for
    # Forward-paths that led to a mailbox: mail goes to the same few again and again. Ends with the snapshot.
    _known: dict[str, "Resolution"] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def load(cls) -> "Directory":
        """Read the domains of this process's scope with their mailboxes and aliases (four queries)."""
        domains = list(
            scope.domains().values_list("id", "name", "route_id", "recipient_policy", "while_up", "dropbox_id")
        )
        ids = [row[0] for row in domains]
        active = Mailbox.objects.filter(domain__in=ids, is_active=True)
        mailboxes = dict(MailboxAlias.objects.filter(mailbox__in=active).values_list("address", "mailbox_id"))
        admins: dict[int, int] = {}
        shared: set[int] = set()
        rows = active.order_by("-id").values_list("address", "id", "domain_id", "kind", "user__role", "user__is_active")
        for address, mailbox_id, domain_id, kind, role, working in rows:
            mailboxes[address] = mailbox_id
            if kind == MailboxKind.SHARED:
                shared.add(mailbox_id)
            elif role == Role.ADMIN and working:
                admins[domain_id] = mailbox_id
        entries = {}
        for domain_id, name, route_id, policy, while_up, dropbox_id in domains:
            postmaster_id = dropbox_id if dropbox_id in shared else admins.get(domain_id)
            entries[name] = DomainEntry(
                name, route_id, RecipientPolicy(policy), WhileUp(while_up), dropbox_id, postmaster_id
            )
        learned = frozenset(LearnedAddress.objects.filter(domain__in=ids).values_list("address", flat=True))
        return cls(entries, mailboxes, learned)

    def resolve(self, forward_path: str) -> Resolution:
        """Who `forward_path` is. Raises AddressError if it is not an address.

        A local part that holds a second address (`a%b@ours`, `b!a@ours`, `"a@b"@ours`) is FOREIGN: it asks
        for relaying.
        """
        known = self._known.get(forward_path)
        if known is not None:
            return known
        resolution = self._resolve(forward_path)
        if resolution.kind is Kind.MAILBOX:
            if len(self._known) >= KNOWN:  # somebody makes up subaddresses
                self._known.clear()
            self._known[forward_path] = resolution
        return resolution

    def _resolve(self, forward_path: str) -> Resolution:
        address = parse_address(forward_path)
        entry = self.domains.get(address.domain)
        path = str(address)
        if entry is None or _names_another(address.local):
            return Resolution(Kind.FOREIGN, path)
        local = address.local.lower()
        found = self.mailboxes.get(f"{local}@{entry.name}")
        if found is None and SUBADDRESS in local:
            found = self.mailboxes.get(f"{local.partition(SUBADDRESS)[0]}@{entry.name}")
        postmaster = local == POSTMASTER
        if found is None and postmaster:
            found = entry.postmaster_id
        if found is None:
            found = self.mailboxes.get(f"@{entry.name}")  # the catch-all
        kind = Kind.UNKNOWN if found is None else Kind.MAILBOX
        if found is None and f"{local}@{entry.name}" in self.learned:
            kind = Kind.LEARNED
        return Resolution(kind, path, entry, found, postmaster)
