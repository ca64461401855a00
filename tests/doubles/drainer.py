"""A drain in a process of its own, so that a fault test can kill it: `python -m tests.doubles.drainer ROUTE`."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def database_url() -> str:
    """The test database as another process reaches it."""
    from django.db import connection

    settings = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{settings['NAME']}"
    return (
        f"postgres://{settings['USER']}:{settings['PASSWORD']}@{settings['HOST']}:{settings['PORT']}/{settings['NAME']}"
    )


def drain_in_child(route_id: int, *, failpoints: str = "", seconds: float = 60) -> int:
    """Drain the route's inbound mail in a child; its exit code (negative: the signal that killed it)."""
    environment = os.environ | {"EINBOX_DATABASE_URL": database_url(), "EINBOX_FAILPOINTS": failpoints}
    return subprocess.run(
        [sys.executable, "-m", "tests.doubles.drainer", str(route_id)],
        env=environment,
        cwd=ROOT,
        timeout=seconds,
        check=False,
    ).returncode


def main() -> None:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "einbox.settings")
    django.setup()
    from spool.enums import Direction
    from spool.models import Route
    from spool.queue.drain import Drain

    Drain(Route.objects.get(pk=int(sys.argv[1])), Direction.INBOUND).run()


if __name__ == "__main__":
    main()
