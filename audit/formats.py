"""One sealed event as one line: JSON Lines, CEF or RFC 5424 syslog. Pure: no Django, no database, no clock.

Only JSON Lines can be verified; the other two are for collectors. No value can end a line or forge a field.
"""

import json
from collections.abc import Callable
from datetime import datetime

from audit.chain import Sealed, canonical
from audit.escape import escape
from audit.tags import Severity, Tag

# RFC 5424 facility 13 (log audit) and severities; CEF severities 0 to 10.
FACILITY = 13
SYSLOG = {Severity.INFO: 6, Severity.NOTICE: 5, Severity.WARNING: 4, Severity.CRITICAL: 2}
CEF = {Severity.INFO: 2, Severity.NOTICE: 4, Severity.WARNING: 7, Severity.CRITICAL: 10}
# RFC 5612: the enterprise number for documentation; einbox has none of its own.
STRUCTURED_ID = "event@32473"
TAGS = {tag.value: tag for tag in Tag}
BOM = "\ufeff"  # RFC 5424 section 6.4: marks the message as UTF-8


def severity_of(row: Sealed) -> Severity:
    return Severity(row.event["severity"])


def sentence_of(row: Sealed) -> str:
    """What happened in English; the tag itself when it has retired."""
    try:
        return TAGS[row.event["tag"]].info.sentence
    except KeyError:
        return str(row.event["tag"])


def jsonl(row: Sealed) -> str:
    """Everything that was hashed, with its seal, in ASCII; audit.verifier reads it back."""
    link = {"seq": row.seq, "previous_hash": row.previous_hash, "hash": row.hash, "event": row.event}
    return escape(json.dumps(link))


def cef_header(text: str) -> str:
    return escape(text).replace("\\", "\\\\").replace("|", "\\|")


def cef_value(text: str) -> str:
    return escape(text).replace("\\", "\\\\").replace("=", "\\=")


def cef(row: Sealed) -> str:
    """ArcSight Common Event Format, version 0."""
    event = row.event
    milliseconds = int(datetime.fromisoformat(event["at"]).timestamp() * 1000)
    extension = {
        "rt": str(milliseconds),
        "externalId": event["id"],
        "outcome": event["outcome"],
        "suid": event["actor_id"] or "",
        "suser": event["actor_label"],
        "src": event["ip"] or "",
        "requestClientApplication": event["user_agent"],
        "cs1Label": "target",
        "cs1": " ".join(filter(None, (event["target_kind"], event["target_id"], event["target_label"]))),
        "cs2Label": "detail",
        "cs2": canonical(event["detail"]),
        "cs3Label": "hash",
        "cs3": row.hash,
        "cn1Label": "seq",
        "cn1": str(row.seq),
    }
    header = "|".join(map(cef_header, ("einbox", "einbox", "1", event["tag"], sentence_of(row))))
    fields = " ".join(f"{name}={cef_value(text)}" for name, text in extension.items() if text)
    return f"CEF:0|{header}|{CEF[severity_of(row)]}|{fields}"


def syslog_value(text: str) -> str:
    """RFC 5424 section 6.3.3; control characters become visible so that one event stays one line."""
    return escape(text).replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")


def rfc5424(row: Sealed) -> str:
    event = row.event
    priority = FACILITY * 8 + SYSLOG[severity_of(row)]
    texts = {name: value for name, value in event.items() if isinstance(value, str) and value and name != "at"}
    data = texts | {"seq": str(row.seq), "hash": row.hash, "detail": canonical(event["detail"])}
    structured = " ".join(f'{name}="{syslog_value(text)}"' for name, text in data.items())
    message = escape(f"{event['actor_label']} {sentence_of(row)}")
    return f"<{priority}>1 {event['at']} - einbox - {event['tag'][:32]} [{STRUCTURED_ID} {structured}] {BOM}{message}"


FORMATS: dict[str, Callable[[Sealed], str]] = {"jsonl": jsonl, "cef": cef, "rfc5424": rfc5424}
