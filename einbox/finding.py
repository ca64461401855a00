"""What a check of doctor answers. Imports nothing of ours."""

from dataclasses import dataclass

OK, WARN, FAIL = "ok", "warn", "fail"


@dataclass(frozen=True)
class Finding:
    """The answer of one check."""

    check: str
    state: str
    sentence: str
