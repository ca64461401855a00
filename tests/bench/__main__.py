"""`python -m tests.bench accept|drain|… [--json]`: runs the measurement of that name."""

import importlib
import sys
from pathlib import Path


def main() -> None:
    files = Path(__file__).parent.glob("[a-z]*.py")
    names = sorted(path.stem for path in files if "\ndef main()" in path.read_text())
    if len(sys.argv) < 2 or sys.argv[1] not in names:
        sys.exit(f"Name one of the measurements: {', '.join(names)}.")
    name = sys.argv.pop(1)
    importlib.import_module(f"tests.bench.{name}").main()


main()
