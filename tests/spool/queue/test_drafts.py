"""Drafts: sealed, one person's only, and never silently overwritten."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import User
from audit.models import Event
from spool.ids import encode, new_id
from spool.models import Draft, DraftAttachment, Mailbox
from spool.queue import drafts
from spool.queue.drafts import DraftConflictError, DraftError, DraftMissingError, Fields
from tests.factories.accounts import make_user
from tests.factories.spool import make_mailbox, make_message

NOW = timezone.now()


@pytest.fixture
def user(db: None) -> User:
    return make_user(email="tilda@example.test")


@pytest.fixture
def mailbox(user: User) -> Mailbox:
    return make_mailbox("tilda@example.test", user=user)


def begin(user: User, mailbox: Mailbox, **fields: str) -> Draft:
    return drafts.begin(user, mailbox, Fields(**fields), now=NOW).draft  # type: ignore[arg-type]


def test_words_are_sealed_in_the_database(user: User, mailbox: Mailbox) -> None:
    draft = begin(user, mailbox, body="confidential words", subject="secret subject")
    drafts.attach(user, draft, name="a.txt", content_type="text/plain", data=b"confidential file")
    row = Draft.objects.get()
    file = DraftAttachment.objects.get()
    assert b"confidential" not in bytes(row.sealed)
    assert b"secret" not in bytes(row.sealed)
    assert b"confidential" not in bytes(file.sealed)
    assert drafts.open_file(file) == b"confidential file"
    assert drafts.get(user, draft.public_id).fields.body == "confidential words"


def test_a_draft_is_one_persons_only(user: User, mailbox: Mailbox) -> None:
    draft = begin(user, mailbox)
    other = make_user()
    for text in (draft.public_id, "nonsense", "0" * 13):
        with pytest.raises(DraftMissingError):
            drafts.get(other, text)
    with pytest.raises(DraftMissingError):
        drafts.save(other, draft, Fields(body="x"), version=draft.updated_at.isoformat(), now=NOW)
    drafts.discard(other, draft, now=NOW)
    drafts.detach(other, draft, "0" * 13)
    assert Draft.objects.filter(pk=draft.pk).exists()


def test_saving_the_same_words_again_changes_nothing(user: User, mailbox: Mailbox) -> None:
    draft = begin(user, mailbox)
    version = drafts.get(user, draft.public_id).version
    first = drafts.save(user, draft, Fields(body="a"), version=version, now=NOW + timedelta(seconds=1))
    second = drafts.save(user, draft, Fields(body="a"), version=version, now=NOW + timedelta(seconds=2))
    assert first.version == second.version != version


def test_two_tabs_do_not_silently_overwrite(user: User, mailbox: Mailbox) -> None:
    draft = begin(user, mailbox)
    version = drafts.get(user, draft.public_id).version
    drafts.save(user, draft, Fields(body="first tab"), version=version, now=NOW)
    with pytest.raises(DraftConflictError) as caught:
        drafts.save(user, draft, Fields(body="second tab"), version=version, now=NOW)
    assert caught.value.theirs.fields.body == "first tab"
    assert drafts.get(user, draft.public_id).fields.body == "first tab"


def test_a_page_that_missed_an_answer_overwrites_its_own_words_only(user: User, mailbox: Mailbox) -> None:
    draft = begin(user, mailbox)
    version = drafts.get(user, draft.public_id).version
    drafts.save(user, draft, Fields(body="a"), version=version, now=NOW, tab="one")
    drafts.save(user, draft, Fields(body="ab"), version=version, now=NOW, tab="one")
    with pytest.raises(DraftConflictError):
        drafts.save(user, draft, Fields(body="other"), version=version, now=NOW, tab="two")
    assert drafts.get(user, draft.public_id).fields.body == "ab"


def test_autosaves_of_ten_minutes_are_one_event(user: User, mailbox: Mailbox) -> None:
    draft = begin(user, mailbox)
    version = drafts.get(user, draft.public_id).version
    for number in range(5):
        moment = NOW + timedelta(seconds=3 * number)
        version = drafts.save(user, draft, Fields(body=str(number)), version=version, now=moment).version
    assert Event.objects.filter(tag="mail.draft.saved").count() == 1
    assert "0" not in str(Event.objects.get(tag="mail.draft.saved").detail)


def test_an_answer_begun_before_is_found_again_and_never_begun_twice(user: User, mailbox: Mailbox) -> None:
    parent = make_message(mailbox=mailbox)
    first = drafts.begin(user, mailbox, Fields(kind="reply", body="one"), now=NOW, parent=parent).draft
    found = drafts.answer_to(user, parent, "reply")
    assert found is not None
    assert found.draft.pk == first.pk
    with pytest.raises(DraftConflictError) as caught:
        drafts.begin(user, mailbox, Fields(kind="reply", body="two"), now=NOW, parent=parent)
    assert caught.value.theirs.fields.body == "one"
    drafts.begin(user, mailbox, Fields(kind="forward"), now=NOW, parent=parent)
    assert Draft.objects.count() == 2


def test_a_page_saved_twice_at_once_is_one_draft(user: User, mailbox: Mailbox) -> None:
    key = new_id()
    drafts.begin(user, mailbox, Fields(body="a"), now=NOW, key=key, tab="one")
    drafts.begin(user, mailbox, Fields(body="ab"), now=NOW, key=key, tab="one")
    with pytest.raises(DraftConflictError):
        drafts.begin(user, mailbox, Fields(body="other"), now=NOW, key=key, tab="two")
    assert drafts.get(user, encode(key)).fields.body == "ab"


def test_a_page_that_was_sent_is_not_begun_again(user: User, mailbox: Mailbox) -> None:
    message = make_message(mailbox=mailbox)
    with pytest.raises(DraftMissingError):
        drafts.begin(user, mailbox, Fields(body="late"), now=NOW, key=message.pk)
    assert not Draft.objects.exists()


def test_files_that_come_along_are_stored_with_the_first_words_or_not_at_all(user: User, mailbox: Mailbox) -> None:
    file = drafts.describe("a.txt", "text/plain", 6)
    draft = drafts.begin(user, mailbox, Fields(kind="forward"), now=NOW, files=[(file, b"octets")]).draft
    [stored] = DraftAttachment.objects.filter(draft=draft)
    assert drafts.open_file(stored) == b"octets"
    big = [(drafts.describe(f"{number}", "", drafts.MAX_OCTETS), b"") for number in range(2)]
    with pytest.raises(DraftError, match="25 MB"):
        drafts.begin(user, mailbox, Fields(), now=NOW, files=big)
    assert Draft.objects.count() == 1


def test_files_beyond_25_mb_or_20_are_refused_with_a_sentence(user: User, mailbox: Mailbox) -> None:
    draft = begin(user, mailbox)
    drafts.attach(user, draft, name="big.bin", content_type="", data=bytes(24_999_990))
    with pytest.raises(DraftError, match="25 MB"):
        drafts.attach(user, draft, name="more.bin", content_type="", data=bytes(11))
    for number in range(19):
        drafts.attach(user, draft, name=f"{number}", content_type="text/plain", data=b"")
    with pytest.raises(DraftError, match="20 files"):
        drafts.attach(user, draft, name="x", content_type="text/plain", data=b"")


def test_one_may_write_from_his_own_and_shared_mailboxes_only(user: User, mailbox: Mailbox) -> None:
    shared = make_mailbox("sales@example.test", shared=True)
    foreign = make_mailbox("hannes@example.test", user=make_user())
    shared.members.create(user=user)
    assert [box.address for box in drafts.senders(user)] == ["tilda@example.test", "sales@example.test"]
    for wrong in (foreign.pk, "", "x", "9" * 30, -1):
        with pytest.raises(DraftError):
            drafts.sender(user, wrong)
    with pytest.raises(DraftError):
        drafts.begin(user, foreign, Fields(), now=NOW)


def test_adding_and_taking_off_a_file_are_events_without_its_name(user: User, mailbox: Mailbox) -> None:
    draft = begin(user, mailbox)
    file = drafts.attach(user, draft, name="salaries.txt", content_type="text/plain", data=b"12345")
    drafts.detach(make_user(), draft, encode(file.pk))
    drafts.detach(user, draft, encode(file.pk))
    drafts.detach(user, draft, encode(file.pk))
    found = Event.objects.filter(tag__startswith="mail.draft.file").order_by("id")
    assert [event.tag for event in found] == ["mail.draft.file_added", "mail.draft.file_removed"]
    for event in found:
        assert event.detail == {"mailbox": mailbox.address, "size": 5, "type": "text/plain"}
        assert "salaries" not in str(event.detail) + event.target_label
