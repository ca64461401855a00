"""Every mail of the public corpora and of CPython's own tests is read, shown and taken apart without an exception."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from spool.mime.headers import scan
from spool.mime.parse import ParsedMessage, parse, part_content
from spool.mime.render import page
from spool.mime.walk import walk
from tests.corpora import CORPORA, cpython_files, mail_files

pytestmark = pytest.mark.pure


def read_all(files: Sequence[Path]) -> int:
    for path in files:
        raw = path.read_bytes()
        for form in (raw, raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")):
            found = parse(form)
            assert ParsedMessage.from_json(found.to_json()) == found, path
            for part in found.parts:
                assert len(part_content(form, part.index)) == part.size, path
            assert page(form).document.startswith("<!doctype html>"), path
            columns = scan(form)
            assert columns.subject == found.subject[:255], path
    return len(files)


@pytest.mark.corpora
def test_public_corpora(capsys: pytest.CaptureFixture[str]) -> None:
    count = read_all(mail_files())
    with capsys.disabled():
        print(f"\npublic corpora: {count} files read, 0 exceptions")
    assert count > 300


def test_cpythons_own_mail(capsys: pytest.CaptureFixture[str]) -> None:
    files = cpython_files()
    count = read_all(files)
    with capsys.disabled():
        print(f"\nCPython's test mail: {count} files read, 0 exceptions")


@pytest.mark.corpora
def test_structures_agree_with_another_parser(capsys: pytest.CaptureFixture[str]) -> None:
    """The number of leaves of each mail against the expectation that ships with the Stalwart corpus."""
    mails = [
        path for path in sorted((CORPORA / "mime" / "stalwart").rglob("*.eml")) if path.with_suffix(".json").exists()
    ]
    equal = 0
    for path in mails:
        expected = json.loads(path.with_suffix(".json").read_text())["parts"]
        leaves = [node for node in walk(path.read_bytes()).nodes if not node.is_multipart]
        equal += len(leaves) == sum("Multipart" not in part["body"] for part in expected)
    with capsys.disabled():
        print(f"\nstructure equal to the expected one: {equal} of {len(mails)}")
    assert equal >= 40
