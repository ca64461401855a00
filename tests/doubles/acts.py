"""What a scripted server may do at a phase."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Act:
    """What happens at a phase. `kind`: reply, hang (answer nothing), drop (reset the connection), close (FIN)."""

    kind: str
    text: str = ""
    delay: float = 0.0  # seconds before it happens
    pace: float = 0.0  # seconds between two octets of the reply (a tarpit)
    after: int = 0  # phase "content" only: octets of content read first
    then_close: bool = False  # close after the reply, as after 421


def reply(text: str, *, delay: float = 0.0, pace: float = 0.0, then_close: bool = False) -> Act:
    return Act("reply", text, delay=delay, pace=pace, then_close=then_close)


def hang() -> Act:
    return Act("hang")


def drop(*, delay: float = 0.0, after: int = 0) -> Act:
    return Act("drop", delay=delay, after=after)


def close(*, delay: float = 0.0) -> Act:
    return Act("close", delay=delay)
