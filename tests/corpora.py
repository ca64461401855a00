"""Where the public test corpora lie: `shared/corpora` beside the checkout, or TEST_CORPORA. Data only, never copied."""

import os
from importlib import import_module
from pathlib import Path

CORPORA = Path(os.environ.get("TEST_CORPORA") or Path(__file__).resolve().parents[2] / "shared" / "corpora")


def mail_files() -> list[Path]:
    """Every file of the mail corpora, odd ones and licence texts included: whatever it is, it must be readable."""
    return sorted(path for path in (CORPORA / "mime").rglob("*") if path.is_file())


def cpython_files() -> list[Path]:
    """The mail CPython tests its own reader with, where the installation carries it."""
    try:
        package = import_module("test.test_email")
    except ModuleNotFoundError:
        return []
    return sorted(Path(package.__file__ or "").parent.joinpath("data").glob("msg_*.txt"))


def corpus_mails() -> list[Path]:
    """The mail of the public corpora and CPython's own."""
    return mail_files() + cpython_files()
