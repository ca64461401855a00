"""`python -m tests.production_check`: Django's deployment checks under production settings, and missing migrations.

Run by `make check` and .ci/run; starts nothing and touches no database.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from einbox.keys import new_field_key

ROOT = Path(__file__).resolve().parents[1]


def environment(home: str) -> dict[str, str]:
    """A production installation by settings alone; nothing it names exists."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EINBOX_")}
    return kept | {
        "EINBOX_HOME": home,
        "EINBOX_PUBLIC_URL": "https://einbox.example.org",
        "EINBOX_TRUSTED_PROXIES": "10.0.0.0/8",
        "EINBOX_DATABASE_URL": "postgres://einbox@127.0.0.1:1/einbox",
        "EINBOX_BROKER_URL": "redis://127.0.0.1:1/0",
        "EINBOX_SECRET_KEY": os.urandom(40).hex(),
        "EINBOX_FIELD_KEYS": new_field_key(),
    }


def main() -> int:
    """0 when both are clean."""
    with tempfile.TemporaryDirectory() as home:
        deploy = environment(home)
        embedded = {name: value for name, value in os.environ.items() if not name.startswith("EINBOX_")}
        embedded["EINBOX_HOME"] = home
        runs = (
            (("check", "--deploy", "--fail-level", "INFO"), deploy),
            (("makemigrations", "--check", "--dry-run"), embedded),
        )
        for arguments, variables in runs:
            result = subprocess.run([sys.executable, str(ROOT / "manage.py"), *arguments], env=variables, check=False)
            if result.returncode:
                return result.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
