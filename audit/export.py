"""Streams sealed events as lines; the export is itself an event."""

from collections.abc import Iterator
from datetime import datetime

from audit.formats import FORMATS
from audit.models import Event
from audit.record import record
from audit.sealing import seal
from audit.tags import Tag
from audit.verification import sealed_rows


def export(*, since: datetime | None, form: str, now: datetime) -> Iterator[str]:
    """Lines of every sealed event from the first one at or after `since`, in order of seq, without gaps.

    Seals what waits first. AUDIT_EXPORTED is recorded before the first line leaves and is not among them.
    """
    while seal(now=now):
        pass
    sealed = Event.objects.filter(seq__isnull=False)
    recent = sealed.filter(at__gte=since) if since else sealed
    first = recent.order_by("seq").values_list("seq", flat=True).first()
    last = sealed.order_by("-seq").values_list("seq", flat=True).first()
    count = 0 if first is None or last is None else last - first + 1
    record(Tag.AUDIT_EXPORTED, detail={"count": count, "format": form}, at=now)
    if first is None or last is None:
        return
    for row in sealed_rows(from_seq=first):
        if row.seq > last:
            return
        yield FORMATS[form](row)
