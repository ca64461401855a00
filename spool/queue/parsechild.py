"""The program of one reading process: takes jobs on standard input, answers on standard output.

Imports spool.mime and nothing else of ours: it holds no key, no database, no network. Limits: CPU seconds and wall
clock per job, memory, no core dump, no files written, no further process. It ends when its parent does, whatever it
is doing: a thread waits for the other end of standard input to close.

Frame, both ways: length of a JSON object, length of the octets (4 octets each, big-endian), then both.
"""

import json
import os
import resource
import select
import signal
import struct
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Any, BinaryIO

from spool.mime import render, terms
from spool.mime.parse import PartMissingError, parse, part_content

FRAME = struct.Struct("!II")
BUFFER = 64 * 2**10  # octets
GRACE = 2  # seconds after which the process stops itself, should its parent have forgotten it
Answer = tuple[dict[str, Any], bytes]


def _parse(raw: bytes, _options: dict[str, Any]) -> Answer:
    message = parse(raw)
    sender = next((one for one in message.from_ if one.address), None)
    head = {
        "subject": message.subject,
        "from_name": sender.name if sender else "",
        "from_address": sender.address if sender else "",
        "snippet": message.snippet(),
        "attachments": len(message.attachments),
        "notes": list(message.notes),
        "terms": terms.of_message(message),
        "thread": message.thread_root,
    }
    return head, message.to_json().encode()


def _part(raw: bytes, options: dict[str, Any]) -> Answer:
    index = int(options["index"])
    part = next((one for one in parse(raw).parts if one.index == index), None)
    if part is None:
        return {"missing": True}, b""
    try:
        return {"part": asdict(part)}, part_content(raw, index)
    except PartMissingError:
        return {"missing": True}, b""


def _page(raw: bytes, options: dict[str, Any]) -> Answer:
    page = render.page(raw, **options)
    return {"blocked_images": page.blocked_images, "is_html": page.is_html}, page.document.encode()


JOBS: dict[str, Callable[[bytes, dict[str, Any]], Answer]] = {"parse": _parse, "part": _part, "page": _page}


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        os._exit(0)  # the parent is gone
    return data


def _leave_with_parent() -> None:
    poll = select.poll()
    poll.register(0, 0)  # reports only that the other end was closed
    poll.poll()
    os._exit(0)


def _limit(memory: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is the parent's business
    for kind, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
    ):
        with suppress(ValueError, OSError):  # the outer limit is already lower
            resource.setrlimit(kind, (value, value))


def _start_clock(seconds: int) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = int(used.ru_utime + used.ru_stime) + seconds + 1
    if hard == resource.RLIM_INFINITY or soft < hard:
        resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))
    signal.alarm(seconds + GRACE)


def _say(stdout: BinaryIO, head: dict[str, Any], body: bytes) -> None:
    octets = json.dumps(head).encode()
    stdout.write(FRAME.pack(len(octets), len(body)) + octets)
    stdout.write(body)
    stdout.flush()


def serve(stdin: BinaryIO, stdout: BinaryIO, seconds: int) -> None:
    """Answer jobs until the input ends. After an error that may have hurt the process it ends itself."""
    while True:
        head_size, body_size = FRAME.unpack(_exactly(stdin, FRAME.size))
        job = json.loads(_exactly(stdin, head_size))
        raw = _exactly(stdin, body_size)
        _start_clock(seconds)
        failed = False
        try:
            answer, octets = JOBS[job.pop("job")](raw, job)
        except BaseException as error:  # noqa: BLE001 - a panic of the sanitiser is no Exception
            answer, octets, failed = {"error": type(error).__name__}, b"", True
        signal.alarm(0)
        _say(stdout, answer, octets)
        if failed:
            os._exit(1)


def main() -> None:
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    seconds, memory = int(sys.argv[1]), int(sys.argv[2])
    _limit(memory)
    # Buffers that hold the usual job and its answer: fewer calls of the system, fewer wake-ups of the parent.
    with open(0, "rb", BUFFER, closefd=False) as jobs, open(1, "wb", BUFFER, closefd=False) as answers:
        _say(answers, {}, b"")  # ready: no job pays for the start
        serve(jobs, answers, seconds)


if __name__ == "__main__":
    main()
