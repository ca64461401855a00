"""What other rooms' tests ask of the log: the events of a tag, oldest first."""

from audit.models import Event
from audit.tags import Tag


def events(tag: Tag | None = None, **conditions: object) -> list[Event]:
    """Events of `tag` (all tags: None) that meet Django's field `conditions`, in the order they were recorded."""
    found = Event.objects.filter(**conditions).order_by("at", "id")
    return list(found if tag is None else found.filter(tag=tag.value))
