"""Empties the database after a test whose commits were real: the tables that hold rows, in one transaction.

Django's own flush empties every table, each audit trigger a transaction of its own, and makes content types and
permissions anew. No test changes those, so they stay. The audit log's triggers know no exception that a product could
use by mistake; they are taken away and put back.
"""

from contextlib import nullcontext

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from audit import guards

KEPT = {"django_content_type", "auth_permission"}


def empty(connection: BaseDatabaseWrapper) -> None:
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        names = set(connection.introspection.django_table_names(only_existing=False)) - KEPT
        quoted = {name: connection.ops.quote_name(name) for name in sorted(names)}
        looks = (f"SELECT '{name}' WHERE EXISTS (SELECT 1 FROM {table})" for name, table in quoted.items())
        cursor.execute(" UNION ALL ".join(looks))
        filled = [row[0] for row in cursor.fetchall()]
        with guards.lifted(connection) if guards.TABLE in filled else nullcontext():
            for name in filled:
                cursor.execute(f"DELETE FROM {quoted[name]}")
