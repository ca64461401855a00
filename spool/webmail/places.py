"""The places of the side nav and the tabs: folders, shared mailboxes, counts of unread and waiting mail."""

from dataclasses import dataclass
from functools import cached_property

from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.models import User
from spool.enums import UNFINISHED, MailboxKind
from spool.models import Delivery, Overlay
from spool.webmail import access


@dataclass(frozen=True)
class Place:
    """One link; `name` is what a page calls itself in `nav_here`."""

    name: str
    label: str
    icon: str
    url: str
    unread: int = 0

    @property
    def key(self) -> str:
        return self.name


@dataclass(frozen=True)
class Places:
    folders: tuple[Place, ...] = ()
    shared: tuple[Place, ...] = ()
    unread: int = 0
    waiting: int = 0


NOWHERE = Places()


class Counts:
    """What is counted for one person; each number is asked for once."""

    def __init__(self, user: User) -> None:
        self.user = user

    @cached_property
    def unread(self) -> dict[int, int]:
        """Unread messages per mailbox, in one query: each is a line in the list of that mailbox."""
        rows = self._unread_deliveries().values_list("mailbox").annotate(lines=Count("message", distinct=True))
        return dict(rows)

    @cached_property
    def unread_in_all(self) -> int:
        """Unread lines of the inbox: a message that came to several mailboxes is one of them."""
        if len(self.unread) < 2:
            return sum(self.unread.values())
        return self._unread_deliveries().values("message").distinct().count()

    def _unread_deliveries(self) -> QuerySet[Delivery]:
        put_away = Q(read_at__isnull=False) | Q(archived=True) | Q(trashed=True) | Q(junk=True)
        seen = Overlay.objects.filter(put_away, user=self.user, message=OuterRef("message"))
        return access.deliveries(self.user).filter(~Exists(seen), state__in=UNFINISHED).order_by()

    @cached_property
    def waiting(self) -> int:
        """His own messages that have a delivery which has not ended."""
        open_ends = Delivery.objects.filter(message__author=self.user, state__in=UNFINISHED)
        return open_ends.order_by().values("message").distinct().count()


def of(counts: Counts) -> Places:
    """The places of one person."""
    user, unread = counts.user, counts.unread
    shared = access.mailboxes(user).filter(kind=MailboxKind.SHARED).order_by("name", "address")
    return Places(
        folders=folders(),
        shared=tuple(
            Place(
                f"box-{box.pk}",
                box.name or box.address,
                "people",
                reverse("spool:box", args=[box.pk]),
                unread.get(box.pk, 0),
            )
            for box in shared
        ),
        unread=counts.unread_in_all,
        waiting=counts.waiting,
    )


def folders() -> tuple[Place, ...]:
    return (
        Place("starred", _("Starred"), "star", reverse("spool:starred")),
        Place("archive", _("Archive"), "archive", reverse("spool:archive")),
        Place("junk", _("Junk"), "junk", reverse("spool:junk")),
        Place("trash", _("Trash"), "trash", reverse("spool:trash")),
    )
