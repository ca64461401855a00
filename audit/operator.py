"""Who acts on the command line: the operator, named by the Unix user, for the audit log."""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager

from audit.context import Actor, acting


@contextmanager
def operator() -> Iterator[None]:
    """Events in the block name `operator:<unix user>`."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        name = "unknown"
    with acting(Actor("operator", None, f"operator:{name}")):
        yield
