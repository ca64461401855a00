"""What a person is writing: kept sealed, one person's only, saved without silently overwriting another tab.

Decides nothing about recipients (spool.queue.recipients) or sending (spool.queue.submit). A draft begins with its
first save, under a key that its page had before. Draft and message share one id: a draft that became a message is
found by it, so it is sent once.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import QuerySet, Sum
from django.utils.translation import gettext as _

from accounts.crypto import seal, unseal
from accounts.models.user import User
from audit.escape import UNSTORABLE
from audit.record import Target, record
from audit.tags import Tag
from spool.ids import decode, new_id
from spool.mime.filetypes import safe_name
from spool.models import Draft, DraftAttachment, Mailbox, Message

MAX_FILES = 20
MAX_OCTETS = 25_000_000  # of all files together
MAX_BODY = 500_000  # characters
MAX_LINE = 20_000  # characters of one address or subject line
EVENT_PAUSE = timedelta(minutes=10)  # autosaves within it are one event


class DraftError(Exception):
    """The draft cannot be saved as asked; the text is a sentence for the person."""


class DraftMissingError(Exception):
    """No such draft of this person: never made, discarded or sent."""


class DraftConflictError(Exception):
    """Another tab saved other words meanwhile. Nothing was overwritten: `theirs` is what is stored."""

    def __init__(self, theirs: "Opened") -> None:
        super().__init__("the draft was changed elsewhere")
        self.theirs = theirs


@dataclass(frozen=True)
class Fields:
    """What is on the page, as typed. `quote` is the original under a reply; sent if `with_quote`."""

    to: str = ""
    cc: str = ""
    bcc: str = ""
    subject: str = ""
    body: str = ""
    quote: str = ""
    with_quote: bool = True
    kind: str = "new"  # new, reply, reply-all, forward

    def cleaned(self) -> "Fields":
        """Without what no database or text line stores; line ends as LF. Raises DraftError if too long."""
        values = {name: UNSTORABLE.sub("", str(getattr(self, name))) for name in _TEXTS}
        if len(values["body"]) + len(values["quote"]) > MAX_BODY:
            raise DraftError(_("The text is too long: %(most)d characters at most.") % {"most": MAX_BODY})
        if any(len(values[name]) > MAX_LINE for name in ("to", "cc", "bcc", "subject")):
            raise DraftError(_("One of the lines is too long."))
        values["body"] = values["body"].replace("\r\n", "\n").replace("\r", "\n")
        return replace(self, **values)  # type: ignore[arg-type]

    def text(self) -> str:
        """The words that are sent."""
        return f"{self.body}\n\n{self.quote}" if self.quote and self.with_quote else self.body


_TEXTS = ("to", "cc", "bcc", "subject", "body", "quote")


@dataclass(frozen=True)
class Opened:
    """A draft as it is stored now; `version` comes back with the next save.

    Not `stored`: a page that nobody saved yet, whose draft has a key and no row; `coming` are its files.
    """

    draft: Draft
    fields: Fields
    stored: bool = True
    coming: tuple[DraftAttachment, ...] = ()

    @property
    def version(self) -> str:
        return self.draft.updated_at.isoformat() if self.stored else ""

    @property
    def files(self) -> list[DraftAttachment]:
        return list(self.draft.attachments.defer("sealed").order_by("pk")) if self.stored else list(self.coming)


def _context(draft_id: int) -> str:
    return f"draft:{draft_id}"


def _seal(draft_id: int, typed: Fields, *, tab: str = "") -> bytes:
    return seal(json.dumps({**asdict(typed), "tab": tab[:64]}).encode(), _context(draft_id))


@dataclass(frozen=True)
class _Stored:
    """`tab`: the page that saved last."""

    fields: Fields
    tab: str


def _read(draft: Draft) -> _Stored:
    data = json.loads(unseal(bytes(draft.sealed), _context(draft.pk)))
    known = {field.name for field in fields(Fields)}
    typed = Fields(**{key: value for key, value in data.items() if key in known})
    return _Stored(typed, str(data.get("tab", "")))


def senders(user: User) -> QuerySet[Mailbox]:
    """The mailboxes he may write from: his own, then the shared ones he is a member of; all of protected domains."""
    usable = Mailbox.objects.filter(is_active=True, domain__removed_at__isnull=True)
    own = usable.filter(user=user)
    shared = usable.filter(kind="shared", members__user=user)
    return Mailbox.objects.filter(pk__in=own.values("pk").union(shared.values("pk"))).order_by("kind", "address")


def sender(user: User, mailbox_id: int | str) -> Mailbox:
    """The mailbox `mailbox_id` if he may write from it. Raises DraftError."""
    text = str(mailbox_id)
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0
    found = senders(user).select_related("domain__route").filter(pk=number).first()
    if found is None:
        raise DraftError(_("You can write from your own mailboxes only. Choose another sender."))
    return found


def begin(
    user: User,
    mailbox: Mailbox,
    typed: Fields,
    *,
    now: datetime,
    key: int | None = None,
    parent: Message | None = None,
    files: Iterable[tuple[DraftAttachment, bytes]] = (),
    tab: str = "",
) -> Opened:
    """Store the first words of a page under its `key`, with the `files` that came along. Saved twice it is one draft.

    Raises DraftError, DraftConflictError if `parent` is being answered on another page, DraftMissingError if the
    page was sent.
    """
    sender(user, mailbox.pk)
    wanted = typed.cleaned()
    draft = Draft(pk=new_id() if key is None else key, user=user, mailbox=mailbox, in_reply_to=parent, updated_at=now)
    draft.sealed = _seal(draft.pk, wanted, tab=tab)
    for file, data in files:
        file.sealed = _seal_file(file, data)  # slow: before the transaction
    try:
        _insert(draft, wanted, [file for file, _data in files], now=now)
    except IntegrityError:  # another press on the same page came first
        return save(user, draft, wanted, version="", now=now, mailbox=mailbox, tab=tab)
    return Opened(draft, wanted)


@transaction.atomic
def _insert(draft: Draft, typed: Fields, files: list[DraftAttachment], *, now: datetime) -> None:
    earlier = answer_to(draft.user, draft.in_reply_to, typed.kind)
    if earlier is not None and earlier.draft.pk != draft.pk:
        raise DraftConflictError(earlier)
    draft.save(force_insert=True)
    if Message.objects.filter(pk=draft.pk).exists():  # asked last: who sends it deletes the row and writes this at once
        raise DraftMissingError
    for file in files:
        _add(draft, file)
    record(Tag.DRAFT_SAVED, target=_target(draft), detail={"mailbox": draft.mailbox.address}, at=now)


def answer_to(user: User, parent: Message | None, kind: str) -> Opened | None:
    """His draft that answers `parent` in this way, if he began one."""
    if parent is None:
        return None
    rows = Draft.objects.filter(user=user, in_reply_to=parent).select_related("mailbox__domain__route").order_by("pk")
    found = (Opened(row, _read(row).fields) for row in rows)
    return next((one for one in found if one.fields.kind == kind), None)


def get(user: User, public_id: str) -> Opened:
    """His draft. Raises DraftMissingError for garbage, for nothing and for others' drafts alike."""
    try:
        key = decode(public_id)
    except ValueError:
        raise DraftMissingError from None
    draft = Draft.objects.filter(user=user, pk=key).select_related("mailbox__domain__route", "in_reply_to").first()
    if draft is None:
        raise DraftMissingError
    return Opened(draft, _read(draft).fields)


def sent(user: User, public_id: str) -> Message | None:
    """The message that his draft became, if it was sent."""
    try:
        return Message.objects.filter(author=user, pk=decode(public_id)).defer("content").first()
    except ValueError:
        return None


def kept(user: User) -> list[Opened]:
    """His drafts, newest first."""
    return [Opened(one, _read(one).fields) for one in Draft.objects.filter(user=user).order_by("-updated_at")[:100]]


@transaction.atomic
def save(
    user: User,
    draft: Draft,
    typed: Fields,
    *,
    version: str,
    now: datetime,
    mailbox: Mailbox | None = None,
    tab: str = "",
) -> Opened:
    """Store the words. The same words again change nothing. Raises DraftError, DraftMissingError, DraftConflictError.

    `version` is the one the page was given; if another page (`tab`) changed the draft since, nothing is
    overwritten. The same page may have missed an answer of ours: it only ever overwrites its own words.
    """
    row = Draft.objects.select_for_update().filter(pk=draft.pk, user=user).first()
    if row is None:
        raise DraftMissingError
    stored = _read(row)
    before = stored.fields
    wanted = replace(typed, kind=before.kind, quote=before.quote).cleaned()
    box = row.mailbox if mailbox is None or mailbox.pk == row.mailbox_id else sender(user, mailbox.pk)
    if wanted == before and box.pk == row.mailbox_id:
        return Opened(row, before)
    if version != row.updated_at.isoformat() and (not tab or tab != stored.tab):
        raise DraftConflictError(Opened(row, before))
    last = row.updated_at
    row.mailbox = box
    row.updated_at = max(now, last + timedelta(microseconds=1))
    row.sealed = _seal(row.pk, wanted, tab=tab)
    row.save(update_fields=["mailbox", "updated_at", "sealed"])
    if now - last > EVENT_PAUSE:
        record(Tag.DRAFT_SAVED, target=_target(row), detail={"mailbox": box.address}, at=now)
    return Opened(row, wanted)


def _target(draft: Draft) -> Target:
    return Target("draft", draft.public_id)


@transaction.atomic
def discard(user: User, draft: Draft, *, now: datetime) -> None:
    """Throw the draft and its files away. A second time does nothing."""
    row = Draft.objects.select_for_update().filter(pk=draft.pk, user=user).select_related("mailbox").first()
    if row is None:
        return
    record(Tag.DRAFT_DISCARDED, target=_target(row), detail={"mailbox": row.mailbox.address}, at=now)
    row.delete()


def attach(user: User, draft: Draft, *, name: str, content_type: str, data: bytes) -> DraftAttachment:
    """Add a file, sealed. Raises DraftError beyond MAX_FILES or MAX_OCTETS, DraftMissingError."""
    file = describe(name, content_type, len(data))
    file.sealed = _seal_file(file, data)  # slow: before the transaction
    with transaction.atomic():
        row = Draft.objects.select_for_update().filter(pk=draft.pk, user=user).first()
        if row is None:
            raise DraftMissingError
        _add(row, file)
    return file


def describe(name: str, content_type: str, size: int, *, key: int | None = None) -> DraftAttachment:
    """A file as it will be stored, still without its octets."""
    kind = content_type[:100] if content_type.isascii() and content_type.isprintable() else "application/octet-stream"
    harmless = safe_name(name[:200], kind, 1)[:200]
    return DraftAttachment(pk=new_id() if key is None else key, name=harmless, content_type=kind, size=size)


def _seal_file(file: DraftAttachment, data: bytes) -> bytes:
    return seal(data, f"draft-attachment:{file.pk}")


def _add(row: Draft, file: DraftAttachment) -> None:
    present = row.attachments.aggregate(octets=Sum("size"))["octets"] or 0
    if row.attachments.count() >= MAX_FILES:
        raise DraftError(_("A message holds %(most)d files at most.") % {"most": MAX_FILES})
    if present + file.size > MAX_OCTETS:
        raise DraftError(_("%(name)s was not added: all files together may have 25 MB at most.") % {"name": file.name})
    file.draft = row
    file.save(force_insert=True)
    _record_file(Tag.DRAFT_FILE_ADDED, row, file)


def detach(user: User, draft: Draft, file_id: str) -> None:
    """Take a file off again; one that is not there is no error."""
    try:
        key = decode(file_id)
    except ValueError:
        return
    with transaction.atomic():
        mine = DraftAttachment.objects.filter(pk=key, draft=draft, draft__user=user)
        file = mine.select_for_update(of=("self",)).first()
        if file is not None:
            _record_file(Tag.DRAFT_FILE_REMOVED, draft, file)
            file.delete()


def _record_file(tag: Tag, draft: Draft, file: DraftAttachment) -> None:
    """Without its name, which is content."""
    detail = {"mailbox": draft.mailbox.address, "size": file.size, "type": file.content_type}
    record(tag, target=_target(draft), detail=detail)


def open_file(file: DraftAttachment) -> bytes:
    """The octets of a file."""
    return unseal(bytes(file.sealed), f"draft-attachment:{file.pk}")
