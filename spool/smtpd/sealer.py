"""Sealing what was accepted, before it goes to be written: small mail at once, large mail in threads.

Large content is hashed, ciphered and synced to its file, for which a thread needs no interpreter; handing small content
to a thread would cost more than sealing it. Touches no database and no socket.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from django.conf import settings

from spool.queue import ingest
from spool.queue.ingest import Incoming, Ready

log = logging.getLogger(__name__)

THREADS = 4  # that seal large messages


def seal(incoming: Incoming) -> Ready | None:
    """Seal one message; None: it could not be, which is logged."""
    try:
        return ingest.prepare(incoming)
    except Exception:
        log.exception("a message could not be prepared")
        return None


class Sealer:
    """Belongs to one event loop; `then` is called in it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="smtpd-seal")

    def seal(self, incoming: Incoming, then: Callable[[Ready | None], None]) -> None:
        """`then` gets the result: before this returns, if the message is small."""
        if len(incoming.raw) <= settings.INLINE_CONTENT_LIMIT:
            then(seal(incoming))
            return

        def sealed(future: "Future[Ready | None]") -> None:
            if not future.cancelled() and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(then, future.result())

        self._threads.submit(seal, incoming).add_done_callback(sealed)

    def stop(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
