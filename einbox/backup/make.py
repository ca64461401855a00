"""`backup`: an image of the database first, then every content file that image names. Safe under load."""

import os
import shutil
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.core.files.storage import default_storage
from django.db import transaction

from audit.record import Target, record
from audit.tags import Tag
from einbox import __version__
from einbox.backup import database, manifest
from einbox.backup.manifest import BackupError, Manifest
from einbox.durable import sync

ATTEMPTS = 3  # a file named by the image may be erased before it is copied; then the image is taken again


def storage_root() -> Path:
    return Path(default_storage.path(""))


def make(target: Path, *, now: datetime) -> Manifest:
    """Write a complete backup to `target`, which must not exist or be empty. Raises BackupError."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        message = f"{target} is not empty. A backup goes into a new directory."
        raise BackupError(message)
    partial = target.with_name(f".{target.name}.partial-{os.getpid()}")
    try:
        partial.mkdir(mode=0o700, parents=True)
        result = _fill(partial, now)
        if target.exists():
            target.rmdir()
        partial.rename(target)
        sync(target.parent)
    except OSError as error:
        message = f"The backup cannot be written to {target} ({os.strerror(error.errno or 0)})."
        raise BackupError(message) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    _record(result, target)
    return result


def _record(result: Manifest, target: Path) -> None:
    size = sum(octets for _, octets in result.files.values())
    with transaction.atomic():
        record(Tag.BACKUP_MADE, target=Target("backup", result.made_at, target.name), detail={"size": size})


def _fill(folder: Path, now: datetime) -> Manifest:
    for _attempt in range(ATTEMPTS):
        image = database.dump(folder)
        missing = _copy_content(folder / "content", image.content_files)
        if not missing:
            break
        (folder / image.file).unlink()
    else:
        message = f"{len(missing)} content files are missing from the storage, for example {missing[0]}."
        raise BackupError(message)
    _drop_surplus(folder / "content", set(image.content_files))
    names = [image.file, *(f"content/{name}" for name in image.content_files)]
    result = Manifest(
        version=__version__,
        made_at=now.isoformat(timespec="seconds"),
        engine=database.engine(),
        key_ids=list(settings.FIELD_KEYS),
        counts=image.counts,
        files={name: manifest.digest(folder / name) for name in names},
    )
    manifest.write(folder, result)
    return result


def _copy_content(folder: Path, names: list[str]) -> list[str]:
    """Link or copy the named files; those that are gone. Content files never change once written."""
    missing = []
    for name in names:
        source, target = storage_root() / name, folder / name
        if target.exists():
            continue
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            _link_or_copy(source, target)
        except FileNotFoundError:
            missing.append(name)
    return missing


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)
        target.chmod(0o600)
        sync(target)


def _drop_surplus(folder: Path, wanted: set[str]) -> None:
    """Remove what only an earlier attempt's image named."""
    for path in folder.rglob("*"):
        if path.is_file() and str(path.relative_to(folder)) not in wanted:
            path.unlink()
