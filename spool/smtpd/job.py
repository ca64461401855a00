"""One accepted message in the sessions' process, until it is known whether it was written; and who sees to that.

The writer knows a message by its number only (`spool.smtpd.frames`). Touches nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from spool.queue.ingest import Incoming, Stored

ENVELOPE = 4096  # octets of memory that a message takes beside its content,
RECIPIENT = 512  # and for each recipient: of one octet of content to a thousand it is nearly all


def memory(content: int, recipients: int) -> int:
    """Octets, about, that a message takes."""
    return content + ENVELOPE + RECIPIENT * recipients


@dataclass(eq=False)
class Job:
    """`cancelled`: its sender was told 451 already."""

    incoming: Incoming
    since: float = 0.0  # loop time
    cancelled: bool = False
    number: int = 0  # once the writer has it
    size: int = field(init=False)  # octets of memory, about
    recipients: int = field(init=False)

    def __post_init__(self) -> None:
        self.recipients = len(self.incoming.recipients)
        self.size = memory(len(self.incoming.raw), self.recipients)


Outcome = tuple[Job, Stored | None]  # None: in doubt
Report = Callable[[Sequence[Outcome]], None]


class Commits(Protocol):
    """Whoever commits what the sessions accept. Outcomes are reported in the loop's thread, never within `submit`."""

    async def start(self) -> None: ...

    def submit(self, job: Job) -> None: ...

    def cancel(self, job: Job) -> None: ...

    async def stop(self, *, timeout: float) -> None: ...
