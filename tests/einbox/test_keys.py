"""Recovery sheet, confirmation, rotation."""

import io
import os
import re
from pathlib import Path

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import models
from django.utils import timezone

from accounts import crypto
from audit.models import Event
from audit.tags import Tag
from einbox import recovery_sheet, rotation
from einbox.doctor.examination import examine
from einbox.finding import FAIL, OK
from einbox.keys import new_field_key, parse_field_keys
from spool.models import Message
from spool.queue import content
from tests.doubles.installation import Installation
from tests.factories.spool import make_message


def printed(*arguments: str) -> str:
    out = io.StringIO()
    call_command("keys", *arguments, stdout=out)
    return out.getvalue()


@pytest.mark.django_db
def test_the_sheet_holds_the_keys_and_printing_it_is_an_event() -> None:
    sheet = printed("show")
    assert os.environ["EINBOX_FIELD_KEYS"] in sheet
    assert os.environ["EINBOX_SECRET_KEY"] not in sheet
    event = Event.objects.get(tag=Tag.KEYS_SHOWN.value)
    assert event.actor_label.startswith("operator:")
    assert os.environ["EINBOX_FIELD_KEYS"].partition(":")[2] not in str(event.__dict__)


def copy_of_keys() -> str:
    return next(finding.state for finding in examine(now=timezone.now()) if finding.check == "keys copy")


@pytest.mark.django_db
def test_doctor_fails_until_the_fingerprint_of_the_sheet_was_typed_in() -> None:
    assert copy_of_keys() == FAIL
    with pytest.raises(CommandError, match="not the fingerprint"):
        printed("confirm", "--fingerprint", "AAAA-BBBB-CCCC-DDDD")
    assert copy_of_keys() == FAIL
    found = re.search(r"fingerprint\s+(\S+)", printed("show"))
    assert found
    printed("confirm", "--fingerprint", found[1].lower().replace("-", " "))
    assert copy_of_keys() == OK


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("stdin", "message"),
    [
        (io.StringIO(""), "ended before the fingerprint came"),
        (None, "ended before the fingerprint came"),  # `<&-`
        (io.TextIOWrapper(io.BytesIO(b"\xff\n"), "utf-8"), "no text"),
        (io.TextIOWrapper(io.BytesIO(b"\xff\n"), "utf-8", "surrogateescape"), "no text"),
    ],
)
def test_nothing_or_garbage_typed_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, stdin: io.TextIOBase | None, message: str
) -> None:
    monkeypatch.setattr("sys.stdin", stdin)
    with pytest.raises(CommandError, match=message):
        printed("confirm")
    assert copy_of_keys() == FAIL


@pytest.mark.django_db
def test_a_confirmation_counts_for_these_keys_only(settings) -> None:  # type: ignore[no-untyped-def]
    printed("confirm", "--fingerprint", recovery_sheet.fingerprint())
    settings.FIELD_KEYS = {"00000001": b"n" * 32, **settings.FIELD_KEYS}
    assert copy_of_keys() == FAIL


@pytest.mark.django_db
def test_a_new_key_is_a_key() -> None:
    assert len(parse_field_keys(printed("new"))) == 1


@pytest.mark.django_db
def test_after_rewrapping_the_old_key_is_needed_by_nothing(settings) -> None:  # type: ignore[no-untyped-def]
    old = settings.FIELD_KEYS
    kept = [make_message().pk for _ in range(3)]
    raw = {pk: content.read(Message.objects.get(pk=pk)) for pk in kept}
    fresh = parse_field_keys(new_field_key())
    try:
        settings.FIELD_KEYS = fresh | old
        crypto._ring.cache_clear()
        assert rotation.rewrap() == 3
        assert rotation.rewrap() == 0
        settings.FIELD_KEYS = fresh
        crypto._ring.cache_clear()
        assert {pk: content.read(Message.objects.get(pk=pk)) for pk in kept} == raw
    finally:
        settings.FIELD_KEYS = old
        crypto._ring.cache_clear()


def test_no_sealed_field_is_forgotten_by_the_rotation() -> None:
    ours = {"accounts", "spool", "audit"}
    binary = {
        (model.__name__, field.name)
        for model in apps.get_models()
        if model._meta.app_label in ours
        for field in model._meta.get_fields()
        if isinstance(field, models.BinaryField)
    }
    rotated = {(model.__name__, field) for model, field, _context in rotation.SEALED}
    assert binary == rotated | rotation.NOT_SEALED


@pytest.mark.pure
def test_rotating_an_embedded_installation_keeps_everything_readable(tmp_path: Path) -> None:
    box = Installation(tmp_path / "home", EINBOX_DEMO="1")
    with box:
        box.wait_until_up()
        refused = box.manage("keys", "rotate")
        assert refused.returncode != 0
        assert "already running" in refused.stderr
        box.stop()
    before = (box.home / "keys" / "field_keys").read_text().split()
    done = box.manage("keys", "rotate")
    assert done.returncode == 0, done.stderr
    after = (box.home / "keys" / "field_keys").read_text().split()
    assert after[1:] == before
    assert "secrets are now sealed under the newest key" in done.stdout
    seeds = (
        "from accounts.models import TOTPDevice as T; from accounts.crypto import key_id_of as k; "
        "print({k(d.sealed_seed) for d in T.objects.all()}, all(d.seed for d in T.objects.all()))"
    )
    shown = box.manage("shell", "--no-imports", "-c", seeds).stdout
    assert after[0].partition(":")[0] in shown
    assert before[0].partition(":")[0] not in shown
