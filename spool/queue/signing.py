"""The DKIM keys of protected domains, and the signatures over what their people send past their own server.

A pair (RSA and Ed25519) is made, signs once somebody confirmed that its records are public, and loses its private
part when it is retired. Mail that passes the domain's own server is signed there, and mail from outside is never
touched (docs/adr/0018). Asks no DNS.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounts.crypto import DecryptionError, seal, unseal
from audit.record import Target, record
from audit.tags import Tag
from spool.ids import new_id
from spool.mime import dkim
from spool.mime.dkim import Algorithm
from spool.models import DkimKey, Domain, Mailbox, Message

BASE = re.compile(r"(?!-)[a-z0-9-]{1,40}(?<!-)")  # a label (RFC 1035) with room for what is added to it
REASON = 255  # characters


class SigningError(Exception):
    """Keys cannot be made, confirmed or used as asked; the text is a sentence for the admin."""


# --- keys ----------------------------------------------------------------------------------------------------------
def keys_of(domain: Domain) -> list[DkimKey]:
    """All keys of a domain, the newest first."""
    return list(DkimKey.objects.filter(domain=domain).order_by("-made_at", "algorithm"))


def state(key: DkimKey) -> str:
    """`waits` for its record, `signs`, or is `retired`."""
    if key.retired_at is not None:
        return "retired"
    return "signs" if key.confirmed_at is not None else "waits"


def state_of(domain: Domain) -> str | None:
    """The best state among the keys of a domain (`domain.dkim_keys` may be prefetched); None: no key is in use."""
    states = {state(key) for key in domain.dkim_keys.all()} - {"retired"}
    return max(states, default=None, key=lambda one: one == "signs")


def record_name(key: DkimKey) -> str:
    return dkim.record_name(key.selector, key.domain.name)


def record_value(key: DkimKey) -> str:
    return dkim.record_value(Algorithm(key.algorithm), key.public)


def make(domain: Domain, *, now: datetime, selector: str = "") -> list[DkimKey]:
    """A fresh pair that waits for its records; another pair that waited is retired. Raises SigningError."""
    base = selector.lower() or f"einbox-{now:%Y%m%d}"
    if not BASE.fullmatch(base):
        raise SigningError(_("A selector is made of up to 40 letters, digits and hyphens."))
    fresh = [_key(domain, algorithm, now) for algorithm in Algorithm]  # slow: before the transaction
    with transaction.atomic():
        domain = _locked(domain)
        taken = set(DkimKey.objects.filter(domain=domain).values_list("selector", flat=True))
        names = _free(base, taken, given=bool(selector))
        for key in fresh:
            key.selector = names[Algorithm(key.algorithm)]
        _retire(DkimKey.objects.filter(domain=domain, confirmed_at__isnull=True, retired_at__isnull=True), now)
        DkimKey.objects.bulk_create(fresh)
        _record(Tag.DKIM_MADE, domain, now, selectors=sorted(names.values()))
    return fresh


def _key(domain: Domain, algorithm: Algorithm, now: datetime) -> DkimKey:
    private, pk = dkim.new_private(algorithm), new_id()
    sealed = seal(dkim.to_octets(private), f"dkim:{pk}")
    public = dkim.public_part(private)
    return DkimKey(pk=pk, domain=domain, algorithm=algorithm.value, public=public, sealed=sealed, made_at=now)


def _free(base: str, taken: set[str], *, given: bool) -> dict[Algorithm, str]:
    """A selector for each algorithm; one that was ever used is never used again, for receivers remember its key."""
    for number in range(1, len(taken) + 2):
        stem = base if number == 1 else f"{base}-{number}"
        names = {algorithm: f"{stem}-{algorithm.kind}" for algorithm in Algorithm}
        if not taken & set(names.values()):
            return names
        if given:
            break
    raise SigningError(_("%(selector)s was used already; choose another one.") % {"selector": base})


def confirm(domain: Domain, keys: Iterable[DkimKey], *, seen: str, now: datetime) -> list[DkimKey]:
    """Let these keys sign, as far as they still wait; older ones of their algorithm are retired.

    `seen`: how it is known that the records are public ("dns" or "word").
    """
    with transaction.atomic():
        domain = _locked(domain)
        rows = DkimKey.objects.filter(domain=domain, retired_at__isnull=True)
        waiting = list(rows.filter(pk__in=[key.pk for key in keys], confirmed_at__isnull=True).order_by("selector"))
        if not waiting:
            return []
        ids = [key.pk for key in waiting]
        older = rows.filter(algorithm__in=[key.algorithm for key in waiting]).exclude(pk__in=ids)
        retired = _retire(older, now)
        DkimKey.objects.filter(pk__in=ids).update(confirmed_at=now)
        selectors = [key.selector for key in waiting]
        _record(Tag.DKIM_CONFIRMED, domain, now, selectors=selectors, retired=retired, seen=seen)
    return waiting


def stop(domain: Domain, *, reason: str, now: datetime) -> list[str]:
    """Sign nothing any more: the private keys are erased. Returns the selectors. Raises SigningError."""
    if not reason.strip():
        raise SigningError(_("A reason is needed."))
    with transaction.atomic():
        selectors = retire(_locked(domain), now=now)
        if not selectors:
            raise SigningError(_("%(name)s has no key that could sign.") % {"name": domain.name})
        _record(Tag.DKIM_RETIRED, domain, now, selectors=selectors, reason=reason[:REASON])
    return selectors


def retire(domain: Domain, *, now: datetime) -> list[str]:
    """Erase all private keys of a domain, in the caller's transaction and for the caller's event."""
    return _retire(DkimKey.objects.filter(domain=domain, retired_at__isnull=True), now)


def _retire(rows: QuerySet[DkimKey], now: datetime) -> list[str]:
    found = dict(rows.order_by("selector").values_list("pk", "selector"))
    DkimKey.objects.filter(pk__in=found).update(sealed=None, retired_at=now)
    return list(found.values())


def _locked(domain: Domain) -> Domain:
    """Raises SigningError if it was removed meanwhile."""
    found = Domain.objects.select_for_update().filter(pk=domain.pk).first()
    if found is None:
        raise SigningError(_("%(name)s is not a protected domain.") % {"name": domain.name})
    return found


def _record(tag: Tag, domain: Domain, now: datetime, **detail: object) -> None:
    record(tag, target=Target("domain", domain.name, domain.name), detail=detail, at=now)


# --- signatures ----------------------------------------------------------------------------------------------------
@dataclass
class Signatures:
    """Signs for a short time, a round of the drain: keys are read once for each mailbox and then forgotten."""

    _keys: dict[int, Sequence[dkim.Key]] = field(default_factory=dict)

    def over(self, message: Message, raw: bytes, *, at: datetime) -> bytes:
        """DKIM-Signature fields for what one of our people wrote; empty for all other mail, and without keys.

        Raises SigningError when a key cannot be opened: better late than as a forgery.
        """
        mailbox_id = message.author_mailbox_id
        if mailbox_id is None:
            return b""
        if mailbox_id not in self._keys:
            self._keys[mailbox_id] = _opened(mailbox_id)
        return b"".join(dkim.sign(raw, key, at=at) for key in self._keys[mailbox_id])


def _opened(mailbox_id: int) -> Sequence[dkim.Key]:
    name = Mailbox.objects.values_list("domain__name", flat=True).get(pk=mailbox_id)
    rows = DkimKey.objects.filter(domain__mailboxes=mailbox_id, confirmed_at__isnull=False, retired_at__isnull=True)
    keys = []
    for row in rows.order_by("selector"):
        try:
            private = dkim.from_octets(unseal(bytes(row.sealed or b""), f"dkim:{row.pk}"))
        except (DecryptionError, ValueError) as error:
            raise SigningError(_("the key %(selector)s cannot be opened") % {"selector": row.selector}) from error
        keys.append(dkim.Key(name, row.selector, private))
    return keys
