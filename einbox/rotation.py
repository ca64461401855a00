"""Rotation of the field keys: a new newest key, and every small secret sealed again under it.

Content itself is not touched: each message has its own key, and only the wrapping of that key changes. Must run
while every process knows the new key, or none runs.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Model, QuerySet

from accounts.crypto import key_id_of, seal, unseal
from accounts.models import TOTPDevice
from einbox import durable
from einbox.keys import new_field_key, parse_field_keys
from spool.models import DkimKey, Draft, DraftAttachment, Message, Route

BATCH = 500

# Every field that accounts.crypto.seal fills, with its context; a test compares this list with the models.
SEALED: tuple[tuple[type[Model], str, str], ...] = (
    (Message, "content_key", "content"),
    (TOTPDevice, "sealed_seed", "totp"),
    (Route, "submission_password", "route-submission"),
    (Route, "smarthost_password", "route-smarthost"),
    (DkimKey, "sealed", "dkim"),
    (Draft, "sealed", "draft"),
    (DraftAttachment, "sealed", "draft-attachment"),
)
# Binary, but sealed under a message's own key, or not secret.
NOT_SEALED = {
    ("Message", "content_hash"),
    ("Message", "content"),
    ("Message", "snippet"),
    ("MessageText", "parsed"),
    ("ContentChunk", "data"),
}


def add_key(path: Path) -> str:
    """Put a fresh key in front of the key file; its id. Old keys stay, for they still open what they sealed."""
    old = path.read_text(encoding="ascii").split()
    fresh = new_field_key()
    parse_field_keys(" ".join([fresh, *old]))
    durable.replace(path, "\n".join([fresh, *old]) + "\n")
    return fresh.partition(":")[0]


def rewrap() -> int:
    """Seal again under the newest key whatever an older one sealed; how many values. Can be repeated."""
    newest = next(iter(settings.FIELD_KEYS))
    return sum(_rewrap_field(model, field, context, newest) for model, field, context in SEALED)


def _rewrap_field(model: type[Model], field: str, context: str, newest: str) -> int:
    changed = 0
    for batch in _batches(model, field):
        with transaction.atomic():
            rows: QuerySet[Any] = QuerySet(model).select_for_update().filter(pk__in=batch)
            for row in rows.only("pk", field):
                sealed = getattr(row, field)
                if sealed is None or key_id_of(bytes(sealed)) == newest:
                    continue
                name = f"{context}:{row.pk}"
                QuerySet(model).filter(pk=row.pk).update(**{field: seal(unseal(bytes(sealed), name), name)})
                changed += 1
    return changed


def _batches(model: type[Model], field: str) -> Iterator[list[int]]:
    last = -1
    while True:
        found: QuerySet[Any] = QuerySet(model).filter(pk__gt=last, **{f"{field}__isnull": False}).order_by("pk")
        batch = list(found.values_list("pk", flat=True)[:BATCH])
        if not batch:
            return
        yield batch
        last = batch[-1]
