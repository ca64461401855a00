"""What makes smtpd read the addresses again: any change of them, two at once included."""

import pytest

from spool.models import MailboxAlias
from spool.smtpd.view import fingerprint
from tests.factories.spool import make_mailbox

pytestmark = pytest.mark.django_db


def test_one_mailbox_removed_and_another_restored_at_once_are_a_change() -> None:
    anna, ben = make_mailbox("anna@example.test"), make_mailbox("ben@example.test")
    ben.is_active = False
    ben.save()
    before = fingerprint()
    anna.is_active, ben.is_active = False, True
    anna.save()
    ben.save()
    assert fingerprint() != before


def test_two_aliases_that_change_places_are_a_change() -> None:
    anna, ben = make_mailbox("anna@example.test"), make_mailbox("ben@example.test")
    one = MailboxAlias.objects.create(address="one@example.test", mailbox=anna)
    two = MailboxAlias.objects.create(address="two@example.test", mailbox=ben)
    before = fingerprint()
    one.mailbox, two.mailbox = ben, anna
    one.save()
    two.save()
    assert fingerprint() != before
