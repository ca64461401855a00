"""Listening sockets that a service manager opened for this process (systemd's socket activation, sd_listen_fds(3)).

The port below 1024 is bound by the manager, so that smtpd never has that right. Reads the environment once and clears
it: no child may take the sockets for its own. Opens nothing itself.
"""

import os
import socket

FIRST = 3  # SD_LISTEN_FDS_START
NAMES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


class ActivationError(Exception):
    """What was inherited cannot be listened on; the text is a sentence for the operator."""


def inherited() -> list[socket.socket]:
    """The sockets meant for this process; none if it was started without. Raises ActivationError."""
    pid, count, _ = (os.environ.pop(name, "") for name in NAMES)
    if pid != str(os.getpid()):
        return []
    if not count.isascii() or not count.isdecimal() or not 1 <= int(count) <= 16:
        raise ActivationError("LISTEN_FDS must be the number of inherited sockets, 1 to 16.")
    return [_listener(FIRST + number) for number in range(int(count))]


def _listener(descriptor: int) -> socket.socket:
    try:
        os.set_inheritable(descriptor, False)
        opened = socket.socket(fileno=descriptor)
        listens = opened.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise ActivationError(f"The inherited descriptor {descriptor} is no socket.") from error
    if not listens or opened.type != socket.SOCK_STREAM or opened.family not in (socket.AF_INET, socket.AF_INET6):
        raise ActivationError(
            f"The inherited socket {descriptor} does not listen for TCP; the unit needs ListenStream, Accept=no."
        )
    return opened
