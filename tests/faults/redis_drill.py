"""Plays the drill with Redis stopped from before the outage until the primary returns.

`python -m tests.faults.redis_drill PORT`: the environment's EINBOX_BROKER_URL names that port, where nothing
listens; Redis starts together with the returning primary, for without it the drain has no workers.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import django


def main() -> int:
    django.setup()
    from django.conf import settings

    from einbox import first_start
    from einbox.drill.primary import Sink
    from einbox.drill.run import Plan, run
    from einbox.drill.stage import set_up
    from tests.doubles.redis import RedisServer

    redis = RedisServer(int(sys.argv[1]), settings.HOME)

    class ReturnsWithRedis(Sink):
        starts = 0

        def start(self, domains: Sequence[str]) -> None:
            super().start(domains)
            self.starts += 1
            if self.starts == 2:
                redis.start()

    first_start.prepare_home(settings.HOME)
    first_start.migrate()
    first_start.collect_static()
    try:
        with (
            tempfile.TemporaryDirectory(prefix="drill-", dir=settings.HOME) as directory,
            set_up(Path(directory), ReturnsWithRedis) as stage,
        ):
            ledger = run(stage, Plan(messages=100), say=lambda line: print(line, file=sys.stderr))
    finally:
        redis.stop()
    print(ledger.to_json())
    return 0 if ledger.ok else 1


if __name__ == "__main__":
    sys.exit(main())
