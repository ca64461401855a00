"""The list of a backup's files with their SHA-256, signed with the installation's oldest field key.

The signature shows that the list was written by this installation and not changed since; without the field keys a
backup can be neither read nor forged. Touches files only.
"""

import hashlib
import hmac
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from django.conf import settings

from accounts.crypto import derive_key
from einbox.durable import sync

NAME = "manifest.json"
FORMAT = 1
BLOCK = 2**20  # octets read at once


class BackupError(Exception):
    """A backup or restore cannot be done; the text is a sentence for the operator."""


@dataclass(frozen=True)
class Manifest:
    """What a backup holds. `files` maps a path inside it to (SHA-256 in hex, octets)."""

    version: str
    made_at: str
    engine: str
    key_ids: list[str]
    counts: dict[str, int]
    files: dict[str, tuple[str, int]] = field(default_factory=dict)


def digest(path: Path) -> tuple[str, int]:
    """SHA-256 in hex and size in octets."""
    total, state = 0, hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            state.update(block)
            total += len(block)
    return state.hexdigest(), total


def _signature(body: str) -> str:
    return hmac.digest(derive_key("backup manifest"), body.encode(), hashlib.sha256).hex()


def write(folder: Path, manifest: Manifest) -> None:
    """Write and sync the manifest; the backup is complete from here on."""
    body = json.dumps({"format": FORMAT, **asdict(manifest)}, sort_keys=True)
    path = folder / NAME
    path.write_text(json.dumps({"body": body, "hmac": _signature(body)}, indent=1) + "\n", encoding="ascii")
    sync(path)
    sync(folder)


def read(folder: Path) -> Manifest:
    """The manifest, its signature checked. Raises BackupError."""
    try:
        outer = json.loads((folder / NAME).read_text(encoding="ascii"))
        body, claimed = str(outer["body"]), str(outer["hmac"])
        content = json.loads(body)
        wanted = list(content["key_ids"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f"{folder} holds no complete backup: its {NAME} is missing or cannot be read."
        raise BackupError(message) from error
    if missing := sorted(set(wanted) - set(settings.FIELD_KEYS)):
        message = (
            f"This backup needs the field keys {', '.join(missing)}, which this installation does not have. "
            "Put the keys of the recovery sheet into EINBOX_FIELD_KEYS, or into keys/field_keys of EINBOX_HOME."
        )
        raise BackupError(message)
    if not hmac.compare_digest(claimed, _signature(body)):
        message = f"The {NAME} was altered, or the backup is of another installation: its signature does not verify."
        raise BackupError(message)
    if content.pop("format") != FORMAT:
        message = "This backup was made by a newer einbox. Restore it with that version."
        raise BackupError(message)
    content["files"] = {name: tuple(entry) for name, entry in content["files"].items()}
    return Manifest(**content)


def check(folder: Path, manifest: Manifest) -> None:
    """Compare every file with the manifest. Raises BackupError naming the first that differs."""
    for name, (expected, size) in manifest.files.items():
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
            message = f"The backup is not whole: {name} is missing."
            raise BackupError(message)
        if digest(path) != (expected, size):
            message = f"The backup is damaged: {name} is not what the manifest says."
            raise BackupError(message)
