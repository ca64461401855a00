"""Who acts, from where: context variables that a request, command or task binds once. No database, no network."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Actor:
    """Who acts: a person (`id` set), an operator on the command line, or a process of the system."""

    kind: str  # "user", "operator", "system", "anonymous"
    id: int | None
    label: str


SYSTEM = Actor("system", None, "system")
ANONYMOUS = Actor("anonymous", None, "anonymous")


@dataclass(frozen=True)
class Context:
    """Where an act comes from. `session` is a hash, never the session key itself."""

    actor: Actor = SYSTEM
    ip: str | None = None
    user_agent: str = ""
    request_id: str = ""
    session: str = ""
    drill: bool = False


NOWHERE = Context()
_current: ContextVar[Context] = ContextVar("audit_context", default=NOWHERE)


def current() -> Context:
    return _current.get()


@contextmanager
def bound(context: Context) -> Iterator[None]:
    """Bind `context` for the block."""
    token = _current.set(context)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def acting(actor: Actor, *, drill: bool | None = None) -> Iterator[None]:
    """Bind another actor for the block and keep the rest of the context."""
    context = replace(current(), actor=actor)
    with bound(context if drill is None else replace(context, drill=drill)):
        yield
