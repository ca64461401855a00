#!/usr/bin/env python
"""Command-line entry of einbox: `python manage.py help` lists the commands."""

import sys


def main() -> None:
    if sys.version_info < (3, 11):  # noqa: UP036 - said in a sentence to whoever runs it with an older one
        sys.exit("einbox needs Python 3.11 or newer; this is Python %d.%d." % sys.version_info[:2])  # noqa: UP031
    try:
        from einbox import entry  # noqa: PLC0415 - its packages may be missing
    except ImportError as error:
        sys.exit(f"{error.name or error} is not installed; `make run` and `make manage` install what einbox needs.")
    entry.run(sys.argv)


if __name__ == "__main__":
    main()
