"""`python -m tests.fuzz [target …] [--minutes M]`: runs fuzzers and prints one JSON row for each.

Atheris watches coverage where it is installed; else inputs are mutated blindly. What breaks a promise lands in
build/fuzz, shrunk, and ends the run with status 1. `--try FILE TARGET` tries one input again.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

FOUND = Path(__file__).resolve().parents[2] / "build" / "fuzz"
COVERED = re.compile(r"^#(\d+)\s.*?cov: (\d+) ft: (\d+)", re.M)
TRIED = re.compile(r"stat::number_of_executed_units:\s*(\d+)|^#(\d+) FAULT", re.M)


def prepare() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django

    django.setup()


def child(options: argparse.Namespace) -> None:
    """One target in this process; prints what the parent reads."""
    name, seconds = options.targets[0], options.minutes * 60
    if options.engine == "atheris":
        import atheris

        from tests.fuzz import guided

        with atheris.instrument_imports(include=guided.WATCHED):
            prepare()
        guided.fuzz(name, seconds=seconds, seed=options.seed, found=FOUND)
    prepare()
    from tests.fuzz import plain
    from tests.fuzz.registry import TARGETS
    from tests.fuzz.target import digest

    tried, data, error = plain.fuzz(TARGETS[name], seconds=seconds, seed=options.seed)
    print(f"stat::number_of_executed_units: {tried}", file=sys.stderr)
    if data is not None:
        (FOUND / f"{name}-{digest(data)}").write_bytes(data)
        sys.exit(f"{type(error).__name__}: {error}")


def run(name: str, options: argparse.Namespace) -> dict[str, object]:
    """One target in a process of its own, whose end, whatever it is, is a row."""
    before, began = set(FOUND.iterdir()), time.monotonic()
    command = [
        sys.executable, "-m", "tests.fuzz", name, "--engine", options.engine, "--minutes", str(options.minutes),
        "--seed", str(options.seed), "--child",
    ]  # fmt: skip
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, errors="replace", check=False)
    inputs = sorted(set(FOUND.iterdir()) - before)
    covered, tried = COVERED.findall(done.stderr), TRIED.findall(done.stderr)
    row: dict[str, object] = {
        "target": name,
        "engine": options.engine,
        "seconds": round(time.monotonic() - began),
        "executions": int(next(filter(None, tried[-1]))) if tried else None,
        "edges": int(covered[-1][1]) if covered else None,
        "crashes": len(inputs),
    }
    if done.returncode or inputs:
        row["crashes"] = max(1, len(inputs))
        row["fault"] = done.stderr[-1500:]
        row["inputs"] = [
            str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path) for path in inputs
        ]
    return row


def again(path: Path, name: str) -> None:
    """Shrink one input and say how it fails."""
    prepare()
    from tests.fuzz.registry import TARGETS
    from tests.fuzz.shrink import shrink

    least, error = shrink(TARGETS[name], path.read_bytes())
    if error is None:
        print("this input breaks nothing")
        return
    print(repr(least))
    raise error


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*")
    parser.add_argument("--minutes", type=float, default=1.0, help="for each target")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--engine", choices=("atheris", "plain"))
    parser.add_argument("--try", dest="path", type=Path, metavar="FILE", help="an input to try again and to shrink")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    from tests.fuzz import guided

    options.engine = options.engine or ("atheris" if guided.installed() else "plain")
    FOUND.mkdir(parents=True, exist_ok=True)
    if options.child:
        child(options)
        return
    names = _names()
    wrong = set(options.targets) - set(names)
    if wrong or (options.path and len(options.targets) != 1):
        parser.error(f"name {'one' if options.path else 'some'} of the targets: {', '.join(names)}")
    if options.path:
        again(options.path, options.targets[0])
        return
    rows = []
    for name in options.targets or names:
        rows.append(run(name, options))
        print(json.dumps(rows[-1]), flush=True)
    sys.exit(any(row["crashes"] for row in rows))


def _names() -> list[str]:
    prepare()
    from tests.fuzz.registry import TARGETS

    return list(TARGETS)


main()
