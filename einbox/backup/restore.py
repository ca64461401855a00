"""`restore`: a whole, unaltered backup into an empty installation that holds the keys. Content first, database last."""

import os
import shutil
from datetime import datetime
from pathlib import Path

from django.core.management import call_command
from django.db import transaction

from audit.record import Target, record
from audit.tags import Tag
from einbox.backup import database, manifest
from einbox.backup.make import storage_root
from einbox.backup.manifest import BackupError, Manifest
from einbox.durable import sync
from spool.models import Heartbeat


def restore(source: Path, *, now: datetime) -> Manifest:
    """Bring the installation to the state of the backup. Raises BackupError and changes nothing before it is sure."""
    found = manifest.read(source)
    if found.engine != database.engine():
        message = f"This backup is of {found.engine}; the settings name {database.engine()}. Both must be the same."
        raise BackupError(message)
    if not database.is_empty():
        raise BackupError("The database is not empty. A restore goes into a new one; move the old one away first.")
    root = storage_root()
    if root.exists() and any(path.is_file() for path in root.rglob("*")):
        message = f"The content storage {root} is not empty. A restore goes into an empty one."
        raise BackupError(message)
    manifest.check(source, found)
    _copy_content(source, found, root)
    image = next(name for name in found.files if not name.startswith("content/"))
    database.load(source / image)
    call_command("migrate", interactive=False, verbosity=0)
    with transaction.atomic():
        Heartbeat.objects.all().delete()  # of processes that ran when the backup was made
        record(
            Tag.RESTORED, target=Target("backup", found.made_at, source.name), detail={"made_at": found.made_at}, at=now
        )
    return found


def _copy_content(source: Path, found: Manifest, root: Path) -> None:
    try:
        for name in found.files:
            if not name.startswith("content/"):
                continue
            target = root / name.removeprefix("content/")
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.copyfile(source / name, target)  # never a link: the backup stays what it is
            target.chmod(0o600)
            sync(target)
    except OSError as error:
        message = f"The content cannot be written to {root} ({os.strerror(error.errno or 0)})."
        raise BackupError(message) from error
