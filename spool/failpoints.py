"""Named points where fault tests stop, kill or delay a process on purpose. Inert unless EINBOX_FAILPOINTS is set.

EINBOX_FAILPOINTS is a comma-separated list of `name=action[:nth]`: action `kill` sends SIGKILL to this process
at the nth passing (default the first), `error` raises OSError from the nth on, `on` only switches a named
behaviour (see `enabled`). Touches no database.

Where the list comes from EINBOX_FAILPOINTS_FILE, each process reads it when it passes its first point, a kill happens
once for each content of that file, whoever passes the point, and leaves an empty file `<list>.<name>.<digest>` beside
it, so that a test can count it.
"""

import os
import signal
from collections import Counter
from contextlib import suppress
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from django.conf import settings

_passed: Counter[str] = Counter()


@lru_cache(maxsize=1)
def _list() -> str:
    """Not from the settings where there is a file: those may be older than this process, which was forked."""
    listed = os.environ.get("EINBOX_FAILPOINTS_FILE")
    return Path(listed).read_text(encoding="ascii").strip() if listed else settings.FAILPOINTS


@lru_cache(maxsize=1)
def _plan(listed: str) -> dict[str, tuple[str, int]]:
    plan = {}
    for item in filter(None, listed.split(",")):
        name, _, rest = item.strip().partition("=")
        action, _, nth = rest.partition(":")
        plan[name] = (action, int(nth or 1))
    return plan


def enabled(name: str) -> bool:
    """Whether the behaviour switch `name` is on."""
    return bool(_list()) and _plan(_list()).get(name, ("", 0))[0] == "on"


def failpoint(name: str) -> None:
    """Pass the point `name`. Raises OSError if a test asks for an error here."""
    if not (listed := _list()) or name not in _plan(listed):
        return
    action, nth = _plan(listed)[name]
    _passed[name] += 1
    if action == "kill" and _passed[name] >= nth and _first_to_fire(name):
        os.kill(os.getpid(), signal.SIGKILL)
    if action == "error" and _passed[name] >= nth:
        message = f"failpoint {name}"
        raise OSError(message)


def _first_to_fire(name: str) -> bool:
    listed = os.environ.get("EINBOX_FAILPOINTS_FILE")
    if not listed:
        return True
    digest = sha256(_list().encode()).hexdigest()[:12]
    with suppress(FileExistsError):
        os.close(os.open(f"{listed}.{name}.{digest}", os.O_CREAT | os.O_EXCL, 0o600))
        return True
    return False
