"""People from a CSV file: all lines or none. Mailboxes are spool's business."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import transaction
from django.utils.translation import gettext as _

from accounts import tables
from accounts.enums import Role
from accounts.models import User
from accounts.provision import ProvisionError, clean_email, create_user
from audit.record import record
from audit.tags import Tag

COLUMNS = ("email", "name", "role")


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
    created: list[User] = []
    skipped: list[str] = []
    try:
        for number, row in tables.rows(lines, COLUMNS):
            with tables.at_line(number, ProvisionError):
                user = _import_row(row)
            if user is None:
                skipped.append(row["email"].strip().lower())
            else:
                created.append(user)
    except tables.TableError as error:
        raise ProvisionError(str(error)) from error
    record(Tag.USER_IMPORTED, detail={"created": len(created), "skipped": len(skipped)})
    return Imported(tuple(created), tuple(skipped))


def _import_row(row: dict[str, str]) -> User | None:
    """None for somebody who is there already."""
    email = clean_email(row["email"])
    role = row["role"].strip().lower() or Role.EMPLOYEE
    if role not in Role.values:
        raise ProvisionError(_("the role must be employee, security or admin."))
    if User.objects.filter(email=email).exists():
        return None
    return create_user(email=email, name=row["name"], role=Role(role))
