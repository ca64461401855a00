"""The drill's primary: a real SMTP server in a process of its own that writes down what it was given.

Each recipient of each message becomes one synced JSON line before the 250: token, recipient, SHA-256 of the
octets from the token header on (what lies above are trace headers). Knows nothing of einbox's database.
"""

import argparse
import asyncio
import json
import os
import signal
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

from aiosmtpd.smtp import SMTP, Envelope, Session

TOKEN_HEADER = b"X-Drill-Token: "
SIZE_LIMIT = 64 * 2**20


def fingerprint(content: bytes) -> tuple[str, str]:
    """The token of a drill message and the SHA-256 of its octets from the token header on."""
    start = content.find(TOKEN_HEADER)
    if start < 0:
        return "", sha256(content).hexdigest()
    end = content.find(b"\r\n", start)
    token = content[start + len(TOKEN_HEADER) : end].decode("ascii", "replace")
    return token, sha256(content[start:]).hexdigest()


class Recorder:
    """aiosmtpd handler: accepts everything, records it, then answers."""

    def __init__(self, log: BinaryIO, delay: float) -> None:
        self.log = log
        self.delay = delay

    async def handle_DATA(  # noqa: N802 - aiosmtpd finds its hooks by this name
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        await asyncio.sleep(self.delay)
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        token, digest = fingerprint(content)
        for recipient in envelope.rcpt_tos:
            entry = {"token": token, "recipient": recipient.lower(), "sha256": digest, "sender": envelope.mail_from}
            self.log.write(json.dumps(entry).encode() + b"\n")
        self.log.flush()
        os.fsync(self.log.fileno())
        return "250 2.0.0 kept by the drill's primary"


async def serve(port: int, log_path: Path, delay: float) -> None:
    """Listen on loopback until SIGTERM."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    with log_path.open("ab") as log:
        handler = Recorder(log, delay)

        def factory() -> Any:
            return SMTP(handler, hostname="primary.test", data_size_limit=SIZE_LIMIT, enable_SMTPUTF8=True)

        server = await loop.create_server(factory, "127.0.0.1", port)
        await stopped.wait()
        server.close()


def read_log(path: Path) -> list[dict[str, str]]:
    """What the primary kept; a last line cut by a kill is not counted, for it was not answered."""
    entries = []
    for line in path.read_bytes().splitlines() if path.exists() else []:
        try:
            entries.append(json.loads(line))
        except ValueError:
            continue
    return entries


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds for each message")
    options = parser.parse_args()
    asyncio.run(serve(options.port, options.log, options.delay))
