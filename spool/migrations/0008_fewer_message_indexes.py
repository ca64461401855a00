"""Four indexes that every accepted mail paid for and hardly a query needed; two small ones for the rows that count.

Dropped by name, not by AlterField, which on SQLite would write the whole table anew. Deliveries are found by the unique
constraint over message and forward-path, an author's messages by `message_outbox`.
"""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

DROPPED = {
    "spool_message_author_id_b59f2daf": ("spool_message", "author_id"),
    "spool_message_author_mailbox_id_61b6a86f": ("spool_message", "author_mailbox_id"),
    "spool_message_in_reply_to_id_5bd098a4": ("spool_message", "in_reply_to_id"),
    "spool_delivery_message_id_c714fde5": ("spool_delivery", "message_id"),
}


class Migration(migrations.Migration):
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("spool", "0007_index_storage"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="message",
            index=models.Index(
                condition=models.Q(("author_mailbox__isnull", False)),
                fields=["author_mailbox"],
                name="message_mailbox",
            ),
        ),
        migrations.AddIndex(
            model_name="message",
            index=models.Index(
                condition=models.Q(("in_reply_to__isnull", False)),
                fields=["in_reply_to"],
                name="message_replies",
            ),
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(f'DROP INDEX "{name}"', f'CREATE INDEX "{name}" ON "{table}" ("{column}")')
                for name, (table, column) in DROPPED.items()
            ],
            state_operations=[
                migrations.AlterField(
                    model_name="message",
                    name="author",
                    field=models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                migrations.AlterField(
                    model_name="message",
                    name="author_mailbox",
                    field=models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="spool.mailbox",
                    ),
                ),
                migrations.AlterField(
                    model_name="message",
                    name="in_reply_to",
                    field=models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="replies",
                        to="spool.message",
                    ),
                ),
                migrations.AlterField(
                    model_name="delivery",
                    name="message",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="deliveries",
                        to="spool.message",
                    ),
                ),
            ],
        ),
    ]
