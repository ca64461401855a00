"""Logging: one line an event, as text for a console or JSON for a collector.

Control characters, line separators and bidirectional overrides from strangers are escaped, so that one
event is one line and a terminal is never steered by it. Records carry ids and counts, never mail content.
"""

import json
import logging
import logging.config
import re
from datetime import UTC, datetime
from typing import Any

from audit.escape import escape

# One-time links and authenticator seeds open accounts: whatever logs a path or a URI, a log never holds them.
SECRET = re.compile(r"(/account/enrol/|otpauth:[^?\s]*\?)[^/\s\"']+")
# PostgreSQL quotes the row that it refused, subject and addresses included. Up to the end of the paragraph.
ROW = re.compile(r"(DETAIL: )(?:[^\n]|\n(?!\n))*")
STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


def safe(line: str) -> str:
    """`line` without what opens an account and without what could break or steer it."""
    return escape(SECRET.sub(r"\1[hidden]", line))


def without_rows(text: str) -> str:
    """`text` of an error without the row of the database that it quotes."""
    return ROW.sub(r"\1[hidden]", text)


class TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = f"{record.levelname.lower()} {record.name}: {without_rows(record.getMessage())}"
        if record.exc_info:
            text += " | " + without_rows(self.formatException(record.exc_info))
        return safe(text)


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": without_rows(record.getMessage()),
        }
        entry |= {
            key: value if isinstance(value, int | float | bool) else str(value)
            for key, value in record.__dict__.items()
            if key not in STANDARD
        }
        if record.exc_info:
            entry["exception"] = without_rows(self.formatException(record.exc_info))
        return safe(json.dumps(entry, ensure_ascii=True))  # DEL is ASCII and would pass


class WithoutTraceback(logging.Filter):
    """For what any stranger can cause, and as often as they like: the sentence says it all."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.exc_info = None
        return True


def configure(options: dict[str, str]) -> None:
    """Django's LOGGING_CONFIG callable."""
    formatter = JsonFormatter if options["format"] == "json" else TextFormatter
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"line": {"()": formatter}},
            "filters": {"without_traceback": {"()": WithoutTraceback}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
            "root": {"handlers": ["stderr"], "level": options["level"]},
            "loggers": {
                "mail.log": {"level": "WARNING"},
                "django.request": {"level": "ERROR"},
                "django.security.DisallowedHost": {"filters": ["without_traceback"]},
                "celery": {"level": "WARNING"},
                "kombu": {"level": "WARNING"},
                "kombu.connection": {"level": "ERROR"},  # memory:// names no host, and it says so each time
            },
        }
    )
