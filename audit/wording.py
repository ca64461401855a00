"""Events in words: one sentence each, evidence below it, severity as shape and word. Reads no database."""

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext

from audit.escape import escape
from audit.models import Event
from audit.tags import Severity, Tag

TAGS = {tag.value: tag for tag in Tag}
SHAPES = {
    Severity.CRITICAL.value: ("full", gettext_lazy("Critical")),
    Severity.WARNING.value: ("half", gettext_lazy("Warning")),
    Severity.NOTICE.value: ("empty", gettext_lazy("Notice")),
}
ONLY_IN_FULL = frozenset({"root"})  # a hash: on the event's own page
EVIDENCE = 4  # details named in a row; the event's own page has all of them


@dataclass(frozen=True)
class Row:
    """One event as the page prints it."""

    event: Event
    who: str
    what: str
    evidence: tuple[str, ...]
    shape: str  # full, half, empty or none
    severity: str


def who(event: Event) -> str:
    """The actor's name at the time. What strangers wrote is printed with control characters visible."""
    if event.actor_kind == "system":
        return "einbox"
    if event.actor_kind == "anonymous":
        return _("Somebody")
    return escape(event.actor_label)


def what(event: Event) -> str:
    """The verb phrase of the tag, in the reader's language; a retired tag stands for itself."""
    tag = TAGS.get(event.tag)
    return _(tag.info.sentence) if tag else event.tag


def plain(value: Any) -> str:
    """A detail as text on one line."""
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, dict):
        return ", ".join(f"{escape(str(name))} {plain(item)}" for name, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(plain, value))
    return "–" if value is None else escape(str(value))


def details(event: Event) -> list[tuple[str, str]]:
    found = event.detail.items() if isinstance(event.detail, dict) else [("", event.detail)]
    return [(escape(str(name)).replace("_", " "), plain(value)) for name, value in found]


def evidence(event: Event) -> tuple[str, ...]:
    parts = [escape(event.target_label or event.target_id)]
    parts += [
        f"{name} {value}"
        for name, value in details(event)[:EVIDENCE]
        if value not in {"", "–"} and name not in ONLY_IN_FULL
    ]
    if event.ip:
        parts.append(pgettext("network address", "from %(address)s") % {"address": event.ip})
    if event.outcome != "ok":
        parts.append(escape(event.outcome))
    if event.drill:
        parts.append(_("drill"))
    return tuple(part for part in parts if part)


def row(event: Event) -> Row:
    shape, severity = SHAPES.get(event.severity, ("none", gettext_lazy("Info")))
    return Row(event, who(event), what(event), evidence(event), shape, str(severity))
