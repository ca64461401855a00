"""The full-text index of hashed terms (docs/adr/0013), and the key by which messages of one thread meet.

No foreign key: the index has no model, and emptying spool_message must not stumble over it. A trigger takes the row
of a message that is deleted.
"""

from django.db import migrations, models

SQLITE = [
    "CREATE VIRTUAL TABLE spool_searchindex USING fts5"
    "(subject, sender, recipients, files, body, beginnings, tokenize='ascii', detail=full, columnsize=0)",
    "CREATE TRIGGER spool_searchindex_gone AFTER DELETE ON spool_message "
    "BEGIN DELETE FROM spool_searchindex WHERE rowid = old.id; END",
]
SQLITE_BACK = ["DROP TRIGGER spool_searchindex_gone", "DROP TABLE spool_searchindex"]
POSTGRESQL = [
    "CREATE TABLE spool_searchindex (message_id bigint PRIMARY KEY, terms tsvector NOT NULL)",
    "CREATE INDEX spool_searchindex_terms ON spool_searchindex USING gin (terms)",
    "CREATE FUNCTION spool_searchindex_gone() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN IF TG_OP = 'TRUNCATE' THEN TRUNCATE spool_searchindex; "
    "ELSE DELETE FROM spool_searchindex WHERE message_id = old.id; END IF; RETURN NULL; END $$",
    "CREATE TRIGGER spool_searchindex_gone AFTER DELETE ON spool_message "
    "FOR EACH ROW EXECUTE FUNCTION spool_searchindex_gone()",
    "CREATE TRIGGER spool_searchindex_emptied AFTER TRUNCATE ON spool_message "
    "FOR EACH STATEMENT EXECUTE FUNCTION spool_searchindex_gone()",
]
POSTGRESQL_BACK = [
    "DROP TRIGGER spool_searchindex_gone ON spool_message",
    "DROP TRIGGER spool_searchindex_emptied ON spool_message",
    "DROP FUNCTION spool_searchindex_gone()",
    "DROP TABLE spool_searchindex",
]


def _run(schema_editor, sqlite, postgresql):
    for statement in sqlite if schema_editor.connection.vendor == "sqlite" else postgresql:
        schema_editor.execute(statement, params=None)


def forward(_apps, schema_editor):
    _run(schema_editor, SQLITE, POSTGRESQL)


def back(_apps, schema_editor):
    _run(schema_editor, SQLITE_BACK, POSTGRESQL_BACK)


class Migration(migrations.Migration):
    dependencies = [("spool", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="message",
            name="thread",
            field=models.BigIntegerField(null=True),
        ),
        migrations.RunPython(forward, back),
    ]
