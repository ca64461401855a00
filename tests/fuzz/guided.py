"""The engine that watches coverage: Atheris, where it is installed (docs/testing.md). Runs in a process of its own."""

import os
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fuzz.target import broken, digest

if TYPE_CHECKING:
    from tests.fuzz.target import Target

SLOWER = 10.0  # what watching costs the code, at most
HANG = 120  # seconds
MEMORY = 2_048  # MiB
WATCHED = ["spool"]
FAULT = 77  # exit status


def installed() -> bool:
    return find_spec("atheris") is not None


def fuzz(name: str, *, seconds: float, seed: int, found: Path) -> None:
    """Run the target of this name; never returns. Ends with status FAULT and an input in `found` if one breaks it."""
    import atheris

    with atheris.instrument_imports(include=WATCHED):
        from tests.fuzz.registry import TARGETS
    target: Target = TARGETS[name]
    tried = 0

    def one(data: bytes) -> None:
        nonlocal tried
        tried += 1
        error = broken(target, data, slower=SLOWER)
        if error is not None:
            (found / f"{name}-{digest(data)}").write_bytes(data)
            print(f"#{tried} FAULT {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(FAULT)

    with tempfile.TemporaryDirectory(prefix="einbox-fuzz-") as folder:
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        for data in target.seeds():
            (corpus / digest(data)).write_bytes(data[: target.longest])
        words = Path(folder) / "tokens"
        words.write_text("".join(f'"{_quoted(token)}"\n' for token in target.tokens), encoding="ascii")
        options = {
            "max_total_time": int(seconds), "max_len": target.longest, "seed": seed, "dict": words, "timeout": HANG,
            "rss_limit_mb": MEMORY, "artifact_prefix": f"{found}/{name}-", "print_final_stats": 1, "len_control": 20,
            "report_slow_units": HANG,
        }  # fmt: skip
        arguments = [f"-{option}={value}" for option, value in options.items()]
        atheris.Setup([sys.argv[0], *arguments, str(corpus)], one)
        atheris.Fuzz()


def _quoted(token: bytes) -> str:
    """A token in the form of libFuzzer's dictionaries."""
    return "".join(f"\\x{octet:02x}" for octet in token)
