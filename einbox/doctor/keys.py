"""The keys: whether somebody holds a copy, and whether what was sealed can be opened."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import QuerySet

from accounts.crypto import DecryptionError, key_id_of, unseal
from einbox import recovery_sheet, rotation
from einbox.finding import FAIL, OK, Finding
from einbox.sealed import lacking


def copy_of_keys(_now: datetime) -> Iterator[Finding]:
    confirmed = recovery_sheet.confirmation()
    if confirmed is None:
        sentence = "Nobody has confirmed a copy of the keys: print `keys show`, lock it away, then `keys confirm`."
        yield Finding("keys copy", FAIL, sentence)
    else:
        yield Finding("keys copy", OK, f"{confirmed.by} confirmed a copy on {confirmed.at:%Y-%m-%d}.")
    folder = Path(settings.HOME) / "keys"
    loose = [path.name for path in folder.glob("*") if path.stat().st_mode & 0o077] if folder.is_dir() else []
    if loose:
        yield Finding("keys files", FAIL, f"Others on this machine can read {', '.join(loose)}; set mode 0600.")


def sealed(_now: datetime) -> Iterator[Finding]:
    """Opens the newest and the oldest value of each kind: by these ends a missing or wrong key shows."""
    missing: set[str] = set()
    broken: list[str] = []
    for model, field, context in rotation.SEALED:
        filled: QuerySet[Any] = QuerySet(model).filter(**{f"{field}__isnull": False}).values_list("pk", field)
        for pk, value in dict([*filled.order_by("pk")[:1], *filled.order_by("-pk")[:1]]).items():
            try:
                unseal(value, f"{context}:{pk}")
            except DecryptionError:
                if (key := key_id_of(value)) in settings.FIELD_KEYS:
                    broken.append(f"{model.__name__} {pk} ({key})")
                else:
                    missing.add(key)
    if missing:
        yield Finding("keys sealed", FAIL, lacking(missing))
    if broken:
        sentence = f"Altered, or sealed under another key of the same id: {', '.join(broken)}."
        yield Finding("keys sealed", FAIL, sentence)
    if not missing and not broken:
        yield Finding("keys sealed", OK, "What was sealed can be opened with the keys in use.")
