"""How a process of ours is bound to the one that started it, and whether one takes connections.

Touches only the operating system: no Django, no settings.
"""

import ctypes
import os
import signal
import socket
import sys
from collections.abc import Callable

PR_SET_PDEATHSIG, PR_SET_NAME = 1, 15  # prctl(2)


def end_with(parent: int) -> None:
    """Ask Linux to SIGKILL this process when `parent` (the process that started it) dies. Elsewhere: nothing."""
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we asked
        os.kill(os.getpid(), signal.SIGKILL)


def call_it(name: str) -> None:
    """Show this process under `name` in ps and top (Linux keeps 15 octets). Elsewhere: nothing."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_NAME, name.encode())


def ending_with_me() -> Callable[[], None]:
    """A `preexec_fn` for subprocess.Popen that binds the child to the calling process."""
    parent = os.getpid()
    return lambda: end_with(parent)


def kill_group(leader: int) -> None:
    """SIGKILL whatever is left of the process group that `leader` led."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def listens(port: int) -> bool:
    """Whether somebody on this machine takes connections on this port."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
