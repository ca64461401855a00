"""The only writer of events. Call it inside the transaction of what it records (rule 10).

Never stores message content or secrets: a tag names the detail keys it may carry, and any other key is an error.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils import timezone

from audit.context import Actor, current
from audit.escape import storable
from audit.models import Event
from audit.tags import Tag

MAX_TEXT = 500
EXACT = 2**53 - 1  # larger numbers, and NaN, become text: JSON readers and databases disagree on them


@dataclass(frozen=True)
class Target:
    """What an event is about; `id` and `label` are copied, so that the event outlives it."""

    kind: str
    id: str
    label: str = ""


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return storable(value[:MAX_TEXT])
    if isinstance(value, Mapping):
        return {storable(str(key)): _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value[:100]]
    if value is None or (isinstance(value, int | float) and abs(value) <= EXACT):
        return value
    return storable(str(value)[:MAX_TEXT])


def record(
    tag: Tag,
    *,
    target: Target | None = None,
    detail: Mapping[str, Any] | None = None,
    actor: Actor | None = None,
    outcome: str = "ok",
    at: datetime | None = None,
) -> Event:
    """Write one event. Raises ValueError for a detail key that `tag` does not declare."""
    detail = detail or {}
    if surplus := set(detail) - tag.info.keys:
        message = f"{tag.value} may not carry {sorted(surplus)}"
        raise ValueError(message)
    context = current()
    who = actor or context.actor
    return Event.objects.create(
        at=at or timezone.now(),
        tag=tag.value,
        severity=tag.info.severity.value,
        outcome=outcome,
        actor_kind=who.kind,
        actor_id=who.id,
        actor_label=storable(who.label[:320]),
        target_kind=target.kind if target else "",
        target_id=storable(target.id[:64]) if target else "",
        target_label=storable(target.label[:320]) if target else "",
        ip=context.ip,
        user_agent=context.user_agent[:255],
        request_id=context.request_id,
        session=context.session,
        drill=context.drill or bool(settings.DRILL_DOMAIN),  # all that a drill's processes do
        detail=_clean(detail),
    )
