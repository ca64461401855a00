"""Mailboxes, their aliases and members: the addresses that may receive. Every act is recorded in its transaction."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from accounts import tables
from accounts.models.user import User
from audit.escape import UNSAFE, UNSTORABLE
from audit.record import Target, record
from audit.tags import Tag
from spool.enums import UNFINISHED, MailboxKind
from spool.models import Domain, Draft, LearnedAddress, Mailbox, MailboxAlias, MailboxMember, Message
from spool.queue import scope
from spool.queue.addresses import AddressError, normalise, normalise_alias

NAME_LENGTH = 200
REASON_LENGTH = 255
LIST_SEPARATOR = ";"
COLUMNS = ("address", "name", "kind", "aliases", "members")


class MailboxError(Exception):
    """A mailbox cannot be made or changed as asked; the text is a sentence for the admin."""


@dataclass(frozen=True)
class Imported:
    """Result of an import: addresses made, addresses that existed already."""

    created: tuple[str, ...]
    skipped: tuple[str, ...]


def _target(mailbox: Mailbox) -> Target:
    return Target("mailbox", mailbox.address, mailbox.address)


def _free_address(text: str, normal_form: Callable[[str], str] = normalise) -> tuple[str, Domain]:
    """`text` normalised, and its domain; free to be used. Raises MailboxError."""
    try:
        address = normal_form(text)
    except AddressError as error:
        raise MailboxError(_("%(text)s is not an address: %(why)s.") % {"text": text, "why": error}) from error
    local, _at, name = address.rpartition("@")
    domain = Domain.objects.filter(name=name).first()
    if domain is None:
        raise MailboxError(_("%(name)s is not a protected domain.") % {"name": name})
    if any(mark in local for mark in '%!@"'):
        raise MailboxError(
            _("%(address)s looks like a relay request, so no sender could reach it.") % {"address": address}
        )
    if Mailbox.objects.filter(address=address).exists() or MailboxAlias.objects.filter(address=address).exists():
        raise MailboxError(_("%(address)s exists already.") % {"address": address})
    return address, domain


def get(address: str) -> Mailbox:
    """The mailbox of a protected domain with this address or alias. Raises MailboxError."""
    try:
        address = normalise(address)
    except AddressError:
        pass
    else:
        there = Mailbox.objects.filter(domain__removed_at__isnull=True)
        found = there.filter(address=address).first() or there.filter(aliases__address=address).first()
        if found is not None:
            return found
    raise MailboxError(_("There is no mailbox %(address)s.") % {"address": address})


@transaction.atomic
def add(address: str, *, now: datetime, shared: bool = False, name: str = "", user: User | None = None) -> Mailbox:
    """Make a mailbox in a protected domain. Raises MailboxError."""
    if shared and user is not None:
        raise MailboxError(_("A shared mailbox has members, not one user."))
    if UNSAFE.search(name) or UNSTORABLE.search(name):
        raise MailboxError(_("The name holds a line break or another character that cannot be shown."))
    address, domain = _free_address(address)
    kind = MailboxKind.SHARED if shared else MailboxKind.PERSONAL
    mailbox = Mailbox.objects.create(address=address, domain=domain, kind=kind, name=name[:NAME_LENGTH], user=user)
    record(Tag.MAILBOX_ADDED, target=_target(mailbox), detail={"kind": kind.value}, at=now)
    return mailbox


@transaction.atomic
def add_alias(mailbox: Mailbox, address: str, *, now: datetime) -> MailboxAlias:
    """A further address, or `@domain`: the catch-all, for what no mailbox or alias of that domain receives.

    Raises MailboxError if the address is taken or its domain is not protected.
    """
    address, _domain = _free_address(address, normalise_alias)
    alias = MailboxAlias.objects.create(address=address, mailbox=mailbox)
    _changed(mailbox, "alias added", address, now)
    return alias


@transaction.atomic
def remove_alias(mailbox: Mailbox, address: str, *, now: datetime) -> None:
    """Raises MailboxError if it is not an alias of this mailbox."""
    with suppress(AddressError):  # what is no address is nobody's alias
        address = normalise_alias(address)
    removed, _rows = MailboxAlias.objects.filter(mailbox=mailbox, address=address).delete()
    if not removed:
        raise MailboxError(_("%(address)s is not an alias of this mailbox.") % {"address": address})
    _changed(mailbox, "alias removed", address, now)


@transaction.atomic
def add_member(mailbox: Mailbox, user: User, *, now: datetime) -> MailboxMember:
    """Let `user` read and answer a shared mailbox; harmless if they may already. Raises MailboxError."""
    if mailbox.kind != MailboxKind.SHARED:
        raise MailboxError(_("%(address)s is not a shared mailbox.") % {"address": mailbox.address})
    member, made = MailboxMember.objects.get_or_create(mailbox=mailbox, user=user)
    if made:
        _changed(mailbox, "member added", user.email, now)
    return member


@transaction.atomic
def remove_member(mailbox: Mailbox, user: User, *, now: datetime) -> None:
    """Raises MailboxError if `user` is not a member."""
    removed, _rows = MailboxMember.objects.filter(mailbox=mailbox, user=user).delete()
    if not removed:
        raise MailboxError(_("%(email)s is not a member of this mailbox.") % {"email": user.email})
    _changed(mailbox, "member removed", user.email, now)


@transaction.atomic
def assign(mailbox: Mailbox, user: User | None, *, now: datetime) -> None:
    """Give a personal mailbox to `user`, or take it from everybody. Raises MailboxError for a shared one."""
    if mailbox.kind != MailboxKind.PERSONAL:
        raise MailboxError(_("A shared mailbox has members, not one user."))
    mailbox.user = user
    mailbox.save(update_fields=["user"])
    _changed(mailbox, "user", user.email if user else "", now)


@transaction.atomic
def remove(mailbox: Mailbox, *, reason: str, now: datetime) -> bool:
    """Stop receiving for an address; whether its row could go (no mail ever named it). Raises MailboxError.

    Nothing goes while mail waits for it. Where there was mail, the row stays, inactive: the mail's history names it.
    """
    row = Mailbox.objects.select_for_update().get(pk=mailbox.pk)
    if not reason.strip():
        raise MailboxError(_("A reason is needed."))
    if not row.is_active:
        raise MailboxError(_("%(address)s is removed already.") % {"address": row.address})
    if Domain.objects.filter(dropbox=row).exists():
        raise MailboxError(_("%(address)s takes the mail of unknown recipients.") % {"address": row.address})
    if waiting := row.deliveries.filter(state__in=UNFINISHED).count():
        words = {"count": waiting, "address": row.address}
        raise MailboxError(_("%(count)d deliveries to %(address)s wait here.") % words)
    named = (row.deliveries.all(), Message.objects.filter(author_mailbox=row), Draft.objects.filter(mailbox=row))
    erased = not any(rows.exists() for rows in named)
    LearnedAddress.objects.filter(address=row.address).delete()  # or it would go on receiving, without a mailbox
    detail = {"reason": reason[:REASON_LENGTH], "erased": erased}
    record(Tag.MAILBOX_REMOVED, target=_target(row), detail=detail, at=now)
    if erased:
        row.delete()
    else:
        Mailbox.objects.filter(pk=row.pk).update(is_active=False)
    return erased


@transaction.atomic
def restore(mailbox: Mailbox, *, reason: str, now: datetime) -> None:
    """Receive again for an address that was removed, for the same person or members. Raises MailboxError."""
    if not reason.strip():
        raise MailboxError(_("A reason is needed."))
    if not Mailbox.objects.filter(pk=mailbox.pk, is_active=False).update(is_active=True):
        raise MailboxError(_("%(address)s is not removed.") % {"address": mailbox.address})
    record(Tag.MAILBOX_RESTORED, target=_target(mailbox), detail={"reason": reason[:REASON_LENGTH]}, at=now)


def listed(*, drills: bool = False) -> list[Mailbox]:
    """Mailboxes of protected domains by address, with user, aliases and members; `drills`: of past ones, too."""
    there = Mailbox.objects.filter(domain__removed_at__isnull=True)
    mailboxes = there.select_related("user", "domain").prefetch_related("aliases", "members__user")
    return list((mailboxes if drills else mailboxes.exclude(domain__in=scope.past_drills())).order_by("address"))


@transaction.atomic
def import_csv(lines: Iterable[str], *, now: datetime) -> Imported:
    """Make mailboxes from CSV with the columns address, name, kind, aliases, members (lists separated by `;`).

    All or nothing: the first bad line is a MailboxError that names it. An address that exists is skipped.
    """
    created: list[str] = []
    skipped: list[str] = []
    try:
        for number, row in tables.rows(lines, COLUMNS):
            address = row["address"].strip()
            with tables.at_line(number, MailboxError):
                made = _import_row(row, address, now)
            (created if made else skipped).append(address)
    except tables.TableError as error:
        raise MailboxError(str(error)) from error
    return Imported(tuple(created), tuple(skipped))


def _import_row(row: dict[str, str], address: str, now: datetime) -> bool:
    kind = row["kind"].strip().lower() or MailboxKind.PERSONAL
    if kind not in MailboxKind.values:
        raise MailboxError(_("kind must be personal or shared."))
    try:
        if Mailbox.objects.filter(address=normalise(address)).exists():
            return False
    except AddressError as error:
        raise MailboxError(_("%(text)s is not an address: %(why)s.") % {"text": address, "why": error}) from error
    mailbox = add(address, shared=kind == MailboxKind.SHARED, name=row["name"].strip(), now=now)
    for alias in _split(row["aliases"]):
        add_alias(mailbox, alias, now=now)
    for email in _split(row["members"]):
        user = User.objects.filter(email=email.lower()).first()
        if user is None:
            raise MailboxError(_("There is no person %(email)s.") % {"email": email})
        add_member(mailbox, user, now=now)
    return True


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(LIST_SEPARATOR) if part.strip()]


def _changed(mailbox: Mailbox, what: str, value: str, now: datetime) -> None:
    record(Tag.MAILBOX_CHANGED, target=_target(mailbox), detail={"change": what, "value": value}, at=now)
