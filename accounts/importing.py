"""People from a CSV file: all lines or none. Mailboxes are spool's business."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.enums import Role
from accounts.models import User
from accounts.provision import ProvisionError, clean_email, create_user
from audit.record import record
from audit.tags import Tag

COLUMNS = frozenset({"email", "name", "role"})


@dataclass(frozen=True)
class Imported:
    """People made, and addresses that existed already (left as they are)."""

    created: tuple[User, ...]
    skipped: tuple[str, ...]


@transaction.atomic
def import_people(lines: Iterable[str]) -> Imported:
    """Columns email, name, role, in any order; name and role may be missing. Nobody gets a password.

    The first bad line is a ProvisionError that names it, and then nothing is imported.
    """
    try:
        return _import_rows(csv.DictReader(lines))
    except csv.Error as error:
        raise ProvisionError(_("This is no CSV file: %(why)s.") % {"why": error}) from error


def _import_rows(reader: "csv.DictReader[str]") -> Imported:
    columns = set(reader.fieldnames or ())
    if "email" not in columns or not columns <= COLUMNS:
        raise ProvisionError(_("The first line must name the columns: email, name, role."))
    created: list[User] = []
    skipped: list[str] = []
    for number, row in enumerate(reader, start=2):
        try:
            user = _import_row(row)
        except ProvisionError as error:
            raise ProvisionError(_("Line %(number)d: %(why)s") % {"number": number, "why": error}) from error
        if user is None:
            skipped.append(str(row["email"]).strip().lower())
        else:
            created.append(user)
    record(Tag.USER_IMPORTED, detail={"created": len(created), "skipped": len(skipped)})
    return Imported(tuple(created), tuple(skipped))


def _import_row(row: dict[str, str | None]) -> User | None:
    if None in row:
        raise ProvisionError(_("it has more fields than the first line."))
    email = clean_email(row["email"] or "")
    role = (row.get("role") or Role.EMPLOYEE).strip().lower()
    if role not in Role.values:
        raise ProvisionError(_("the role must be employee, security or admin."))
    if User.objects.filter(email=email).exists():
        return None
    return create_user(email=email, name=row.get("name") or "", role=Role(role))
