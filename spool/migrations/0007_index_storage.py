"""Cheaper writing of the full-text index; what it finds stays the same.

PostgreSQL tries to compress each tsvector, in vain, for it holds hashes: EXTERNAL leaves that out. SQLite merges its
segments when eight are of one level instead of four, so each is written again less often.
"""

from django.db import migrations

SQLITE = "INSERT INTO spool_searchindex (spool_searchindex, rank) VALUES ('automerge', 8)"
SQLITE_BACK = "INSERT INTO spool_searchindex (spool_searchindex, rank) VALUES ('automerge', 4)"
POSTGRESQL = "ALTER TABLE spool_searchindex ALTER COLUMN terms SET STORAGE EXTERNAL"
POSTGRESQL_BACK = "ALTER TABLE spool_searchindex ALTER COLUMN terms SET STORAGE EXTENDED"


def forward(_apps, schema_editor):
    schema_editor.execute(SQLITE if schema_editor.connection.vendor == "sqlite" else POSTGRESQL, params=None)


def back(_apps, schema_editor):
    schema_editor.execute(SQLITE_BACK if schema_editor.connection.vendor == "sqlite" else POSTGRESQL_BACK, params=None)


class Migration(migrations.Migration):
    dependencies = [("spool", "0006_removed_domains_and_dkim_keys")]

    operations = [migrations.RunPython(forward, back)]
