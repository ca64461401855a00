"""The immutable thing accepted, and what was read out of it later."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from spool.enums import ParseState
from spool.ids import encode, new_id


class Message(models.Model):
    """Raw octets as accepted, their envelope, and list columns from a byte scan.

    Envelope and list columns are clear; content is encrypted under the message's own content key
    (accounts.crypto). Content up to 64 KiB lies inline, larger content is one file; exactly one of
    `content`, `content_file` and chunks holds it until it is purged (then all are empty and
    `content_key` is null).
    """

    id = models.BigIntegerField(primary_key=True, default=new_id, editable=False)
    accepted_at = models.DateTimeField()
    # Written here by one of our users; null for mail that came in by SMTP, which therefore stands in none of the
    # partial indexes below and pays for none.
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+", db_index=False
    )
    author_mailbox = models.ForeignKey(
        "spool.Mailbox", on_delete=models.PROTECT, null=True, related_name="+", db_index=False
    )
    in_reply_to = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, related_name="replies", db_index=False
    )

    reverse_path = models.CharField(max_length=320, blank=True)  # empty: the null reverse-path
    peer = models.GenericIPAddressField(null=True)
    helo = models.CharField(max_length=255, blank=True)
    tls = models.CharField(max_length=64, blank=True)  # "TLSv1.3 TLS_AES_256_GCM_SHA384", empty: none
    smtputf8 = models.BooleanField(default=False)
    body_8bit = models.BooleanField(default=False)

    size = models.PositiveBigIntegerField()  # octets as accepted
    content_hash = models.BinaryField(max_length=32)  # HMAC, accounts.crypto.content_hash
    content_key = models.BinaryField(max_length=80, null=True)  # wrapped
    content = models.BinaryField(null=True)
    content_file = models.CharField(max_length=100, blank=True)
    purged_at = models.DateTimeField(null=True)

    # List columns, cut to their length; a value that cannot be stored is stored empty.
    message_id = models.CharField(max_length=255, blank=True)
    subject = models.CharField(max_length=255, blank=True)
    from_name = models.CharField(max_length=255, blank=True)
    from_address = models.CharField(max_length=320, blank=True)
    snippet = models.BinaryField(null=True)  # encrypted, label "snippet"; written by ingestion
    attachment_count = models.PositiveIntegerField(default=0)

    # Keyed hash of the Message-ID its thread began with (searchindex.thread); written by ingestion.
    thread = models.BigIntegerField(null=True)

    parse_state = models.CharField(max_length=16, choices=ParseState, default=ParseState.PENDING)
    parse_attempts = models.PositiveSmallIntegerField(default=0)
    parse_lease_until = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["content_hash", "accepted_at"], name="message_merge"),
            models.Index(fields=["id"], condition=Q(parse_state="pending"), name="message_unparsed"),
            models.Index(fields=["author", "-id"], condition=Q(author__isnull=False), name="message_outbox"),
            models.Index(fields=["author_mailbox"], condition=Q(author_mailbox__isnull=False), name="message_mailbox"),
            models.Index(fields=["in_reply_to"], condition=Q(in_reply_to__isnull=False), name="message_replies"),
            models.Index(fields=["accepted_at"], condition=Q(purged_at__isnull=True), name="message_kept"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(parse_state__in=ParseState.values), name="message_parse_state_known"),
            models.CheckConstraint(
                condition=Q(content__isnull=True) | Q(content_file=""), name="message_content_one_home"
            ),
        ]

    def __str__(self) -> str:
        return encode(self.pk)

    @property
    def public_id(self) -> str:
        """The 13 characters shown to people and used in URLs."""
        return encode(self.pk)


class MessageText(models.Model):
    """What ingestion read: encrypted JSON of spool.mime.parse.ParsedMessage (labels "text")."""

    message = models.OneToOneField(Message, on_delete=models.CASCADE, primary_key=True, related_name="text")
    parsed = models.BinaryField()
    note = models.CharField(max_length=255, blank=True)  # why something could not be decoded
    parsed_at = models.DateTimeField()


class ContentChunk(models.Model):
    """Content that waits in the database because the content storage failed (rule 4); 256 KiB each, encrypted."""

    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="chunks")
    position = models.PositiveIntegerField()
    data = models.BinaryField()

    class Meta:
        ordering = ["position"]
        constraints = [models.UniqueConstraint(fields=["message", "position"], name="chunk_position")]
