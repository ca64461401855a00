"""The pages to write on, over HTTP: seeds, ownership, conflicts, files, sending once, and what nobody may see."""

import re
import threading
from dataclasses import dataclass, replace
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.urls import reverse

from accounts.models import User
from audit.models import Event
from spool.models import Delivery, Draft, Mailbox, Message, Route
from spool.queue import content, drafts
from tests.factories.accounts import log_in, make_user
from tests.factories.spool import make_domain, make_mailbox, make_message, make_route

MAIL = (
    b"From: Ottilie Regenpfeifer <ottilie@outside.example>\r\n"
    b'To: Tilda <tilda+x@example.test>, "Kieselstein, Hannes" <hannes@example.test>\r\n'
    b"Cc: sales@example.test, o2@outside.example\r\nSubject: AW: Re: Pump\r\n"
    b"Message-ID: <one@outside.example>\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n'
    b"--b\r\nContent-Type: text/plain\r\n\r\nPlease confirm.\r\n"
    b"--b\r\nContent-Type: application/pdf; name=drawing.pdf\r\n"
    b"Content-Disposition: attachment; filename=drawing.pdf\r\n\r\n%PDF-1.7 drawing\r\n--b--\r\n"
)


def people() -> tuple[User, Mailbox]:
    user = make_user(email="tilda@example.test", name="Tilda Kranich")
    route = make_route(name="example.test", state="down")
    mailbox = make_mailbox("tilda@example.test", domain=make_domain("example.test", route=route), user=user)
    make_mailbox("hannes@example.test", name="Hannes Kieselstein")
    make_mailbox("sales@example.test", shared=True).members.create(user=user)
    return user, mailbox


@pytest.fixture
def user(db: None) -> User:
    return people()[0]


@pytest.fixture
def client(user: User) -> Client:
    return log_in(Client(), user)


@pytest.fixture
def mail(user: User) -> Message:
    return make_message(MAIL, mailbox=Mailbox.objects.get(address="tilda@example.test"))


@dataclass
class Page:
    """A page to write on as a browser has it: where its buttons post to, and what stands on it."""

    draft: Draft
    fields: drafts.Fields
    version: str
    url: str
    save_url: str

    @property
    def stored(self) -> drafts.Opened:
        return drafts.get(self.draft.user, self.draft.public_id)


def open_draft(client: Client, url: str) -> Page:
    answer = client.get(url, follow=True)
    assert answer.status_code == 200
    opened, here = answer.context["opened"], answer.context
    return Page(opened.draft, opened.fields, opened.version, here["page_url"], here["save_url"])


def post(client: Client, opened: Page, act: str = "send", **typed: Any) -> Any:
    fields = {name: getattr(opened.fields, name) for name in ("to", "cc", "bcc", "subject", "body")}
    data = {**fields, "version": opened.version, "act": act, "with_quote": "on", **typed}
    return client.post(opened.url, data)


def test_looking_at_a_page_stores_nothing_and_its_address_stays_its_own(client: Client, mail: Message) -> None:
    """A browser that prefetches or reloads leaves no draft behind; nor does Save before anything is written."""
    for url in (reverse("spool:compose"), reverse("spool:forward", args=[mail.public_id])):
        opened = open_draft(client, url)
        assert b"Draft saved" not in client.get(opened.url).content
        assert post(client, opened, act="save").headers["Location"] == opened.url
        assert not Draft.objects.exists()
        post(client, opened, act="save", body="first words")
        page = client.get(opened.url)
        assert b"first words" in page.content
        assert page.context["page_url"] == reverse("spool:draft", args=[opened.draft.public_id])
        post(client, opened, act="discard")


def test_a_page_begins_for_its_person_and_at_its_own_address_only(client: Client, user: User) -> None:
    opened, other = (open_draft(client, reverse("spool:compose")) for _ in range(2))
    start = opened.url.partition("?")[2]
    stranger = make_user()
    make_mailbox("eve@example.test", user=stranger)
    for reader, url in (
        (log_in(Client(), stranger), opened.url),
        (client, reverse("spool:draft", args=[other.draft.public_id]) + "?" + start),
        (client, opened.url[:-3]),
        (client, reverse("spool:draft", args=[opened.draft.public_id])),
    ):
        assert reader.get(url).status_code == 404
        assert reader.post(url, {"body": "x", "version": ""}).status_code == 404
    assert not Draft.objects.exists()


def test_a_page_that_was_sent_or_thrown_away_begins_no_second_draft(client: Client) -> None:
    opened = open_draft(client, reverse("spool:compose"))
    version = client.post(opened.save_url, {"version": "", "body": "words"}).json()["version"]
    post(client, opened, act="discard")
    late = client.post(opened.save_url, {"version": version, "body": "late words"})
    assert late.status_code == 404
    opened = open_draft(client, reverse("spool:compose"))
    post(client, opened, to="ottilie@outside.example")
    assert client.get(opened.url).headers["Location"] == reverse("spool:sent", args=[opened.draft.public_id])
    assert post(client, opened, act="save", body="late words").status_code == 302
    assert not Draft.objects.exists()


def test_two_pages_that_answer_one_message_keep_both_texts(client: Client, mail: Message) -> None:
    first, second = (open_draft(client, reverse("spool:reply", args=[mail.public_id])) for _ in range(2))
    post(client, first, act="save", body="first tab")
    response = post(client, second, act="save", body="second tab")
    assert response.status_code == 409
    assert b"first tab" in response.content
    assert b"second tab" in response.content
    assert response.context["page_url"] == reverse("spool:draft", args=[first.draft.public_id])
    assert open_draft(client, reverse("spool:reply", args=[mail.public_id])).fields.body == "first tab"
    assert Draft.objects.count() == 1


def test_a_file_that_came_along_can_be_taken_off_before_the_first_save(client: Client, mail: Message) -> None:
    opened = open_draft(client, reverse("spool:forward", args=[mail.public_id]))
    page = client.get(opened.url).content.decode()
    assert "drawing.pdf" in page
    [act] = re.findall(r'value="(remove:\w+)"', page)
    assert post(client, opened, act=act, body="See below.").status_code == 302
    assert opened.stored.files == []
    assert opened.stored.fields.body == "See below."


@pytest.mark.parametrize("kind", ["reply", "forward"])
def test_words_outlive_the_right_to_read_what_they_answer(client: Client, mail: Message, kind: str) -> None:
    opened = open_draft(client, reverse(f"spool:{kind}", args=[mail.public_id]))
    Delivery.objects.update(state="removed", finished_at=mail.accepted_at)  # withdrawn by security
    assert client.get(opened.url).status_code == 404
    assert client.post(opened.save_url, {"version": "", "body": "my own words"}).status_code == 200
    kept = opened.stored
    assert (kept.fields.body, kept.fields.quote, kept.files, kept.draft.in_reply_to) == ("my own words", "", [], None)


def test_keys_of_the_same_moment_are_not_those_of_files_that_come_along(client: Client, mail: Message) -> None:
    opened = open_draft(client, reverse("spool:forward", args=[mail.public_id]))
    other = drafts.begin(opened.draft.user, opened.draft.mailbox, drafts.Fields(), now=mail.accepted_at).draft
    for step in range(1, 30):
        file = drafts.describe("x", "text/plain", 1, key=opened.draft.pk + step)
        file.draft, file.sealed = other, b""
        file.save(force_insert=True)
    assert post(client, opened, act="save", body="See below.").status_code == 302
    assert [file.name for file in opened.stored.files] == ["drawing.pdf"]


def test_a_reply_starts_with_sender_subject_and_quote(client: Client, mail: Message) -> None:
    opened = open_draft(client, reverse("spool:reply", args=[mail.public_id]))
    assert opened.fields.to == "Ottilie Regenpfeifer <ottilie@outside.example>"
    assert opened.fields.cc == ""
    assert opened.fields.subject == "Re: Pump"
    assert "> Please confirm." in opened.fields.quote
    assert Event.objects.filter(tag="mail.message.read").count() == 1


def test_reply_to_all_leaves_out_oneself_with_subaddress_and_shared_mailboxes(client: Client, mail: Message) -> None:
    opened = open_draft(client, reverse("spool:reply-all", args=[mail.public_id]))
    everybody = 'Ottilie Regenpfeifer <ottilie@outside.example>, "Kieselstein, Hannes" <hannes@example.test>'
    assert opened.fields.to == everybody
    assert opened.fields.cc == "o2@outside.example"


def test_a_forward_carries_the_files(client: Client, mail: Message) -> None:
    opened = open_draft(client, reverse("spool:forward", args=[mail.public_id]))
    assert opened.fields.to == ""
    assert opened.fields.subject.startswith("Fwd: ")
    post(client, opened, act="save", body="See")
    assert [file.name for file in opened.stored.files] == ["drawing.pdf"]
    opened = replace(opened, version=opened.stored.version)
    response = post(client, opened, to="greta@outside.example", body="See below.")
    assert response.status_code == 302
    raw = content.read(Message.objects.get(pk=opened.draft.pk))
    assert b"drawing.pdf" in raw
    assert b"Please confirm." in raw
    assert b"In-Reply-To" not in raw


def test_the_panel_says_what_happens_to_each_recipient(client: Client) -> None:
    opened = open_draft(client, reverse("spool:compose"))
    url = opened.save_url
    data = {"version": opened.version, "to": "hannes@example.test, ottilie@outside.example"}
    answer = client.post(url, data).json()
    assert "reads it at once" in answer["fate"]
    assert "when the server is back" in answer["fate"]
    assert re.fullmatch(r"Draft saved \d\d:\d\d", answer["said"])
    answer = client.post(url, {"version": answer["version"], "to": "nobody@example.test"}).json()
    assert "Nobody has the address nobody@example.test here." in answer["fate"]


def test_a_draft_is_saved_once_its_writer_wrote(client: Client) -> None:
    opened = open_draft(client, reverse("spool:compose"))
    page, save = opened.url, opened.save_url
    assert client.post(save, {"version": opened.version}).json()["said"] == ""
    assert "Draft saved" not in client.get(page).content.decode()
    assert client.post(save, {"version": opened.version, "body": "Hello"}).json()["said"]
    assert "Draft saved" in client.get(page).content.decode()


def test_sending_leads_to_a_page_that_says_where_it_is(client: Client) -> None:
    opened = open_draft(client, reverse("spool:compose"))
    response = post(client, opened, to="ottilie@outside.example", subject="Hello", body="Text")
    page = client.get(response.headers["Location"])
    assert b"Waiting for the server" in page.content
    assert b"ottilie@outside.example" in page.content
    outbox = client.get(reverse("spool:outbox")).content
    assert b"Hello" in outbox
    assert b"Waiting for the server" in outbox
    back = client.get(reverse("spool:draft", args=[opened.draft.public_id]))
    assert back.status_code == 302
    assert back.headers["Location"] == reverse("spool:sent", args=[opened.draft.public_id])


def test_a_refused_recipient_shows_the_servers_words(client: Client) -> None:
    opened = open_draft(client, reverse("spool:compose"))
    post(client, opened, to="ottilie@outside.example", subject="Hello", body="Text")
    Delivery.objects.update(state="review", last_code=550, last_reply="550 5.1.1 user <unknown>")
    for url in (reverse("spool:outbox"), reverse("spool:sent", args=[opened.draft.public_id])):
        page = client.get(url).content.decode()
        assert "efused" in page
        assert "550 5.1.1 user &lt;unknown&gt;" in page


def test_a_wrong_address_is_said_and_nothing_is_sent(client: Client) -> None:
    opened = open_draft(client, reverse("spool:compose"))
    response = post(client, opened, to="nobody@example.test", body="kept words")
    assert response.status_code == 422
    assert b"Nobody has the address nobody@example.test here." in response.content
    assert b"kept words" in response.content
    assert not Message.objects.exists()


def test_a_forged_sender_is_refused(client: Client) -> None:
    opened = open_draft(client, reverse("spool:compose"))
    foreign = Mailbox.objects.get(address="hannes@example.test")
    for value in (foreign.pk, "0", "x' OR 1=1", "9" * 40):
        response = post(client, opened, to="o@outside.example", mailbox=value)
        assert response.status_code == 422
    assert not Message.objects.exists()


def test_two_tabs_keep_both_texts(client: Client) -> None:
    opened = open_draft(client, reverse("spool:compose"))
    assert post(client, opened, act="save", body="first tab").status_code == 302
    response = post(client, opened, act="save", body="second tab")
    assert response.status_code == 409
    assert b"first tab" in response.content
    assert b"second tab" in response.content
    assert opened.stored.fields.body == "first tab"


def test_oversized_files_get_a_sentence_and_the_text_stays(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drafts, "MAX_OCTETS", 1000)
    opened = open_draft(client, reverse("spool:compose"))
    file = SimpleUploadedFile("plan.bin", b"x" * 1001)
    response = post(client, opened, act="attach", body="kept words", files=file)
    assert response.status_code == 422
    assert b"plan.bin was not added: all files together may have 25 MB at most." in response.content
    assert b"kept words" in response.content


def test_files_are_added_and_taken_off_without_a_script(client: Client) -> None:
    opened = open_draft(client, reverse("spool:compose"))
    file = SimpleUploadedFile("../../etc/plan.pdf", b"%PDF-1.7", content_type="application/pdf")
    assert post(client, opened, act="attach", files=file).status_code == 302
    [stored] = opened.stored.files
    assert "/" not in stored.name
    opened = replace(opened, version=opened.stored.version)
    page = client.get(reverse("spool:draft", args=[opened.draft.public_id])).content.decode()
    [act] = re.findall(r'value="(remove:\w+)"', page)
    assert post(client, opened, act=act).status_code == 302
    assert opened.stored.files == []


def test_a_draft_can_be_thrown_away(client: Client) -> None:
    opened = open_draft(client, reverse("spool:compose"))
    post(client, opened, act="save", body="words")
    assert post(client, opened, act="discard").status_code == 302
    assert not Draft.objects.exists()
    assert Event.objects.filter(tag="mail.draft.discarded").exists()


def test_others_drafts_and_mail_are_not_there(client: Client, mail: Message) -> None:
    opened = open_draft(client, reverse("spool:compose"))
    post(client, opened, to="o@outside.example")
    mine = open_draft(client, reverse("spool:compose"))
    post(client, mine, act="save", body="mine")
    other = make_user()
    make_mailbox("eve@example.test", user=other)
    stranger = log_in(Client(), other)
    for name, key in (
        ("draft", mine.draft.public_id),
        ("sent", opened.draft.public_id),
        ("draft", "garbage"),
        ("sent", "garbage"),
        ("reply", mail.public_id),
        ("reply-all", mail.public_id),
        ("forward", mail.public_id),
    ):
        assert stranger.get(reverse(f"spool:{name}", args=[key])).status_code == 404, name
    for name in ("draft", "draft-save"):
        assert stranger.post(reverse(f"spool:{name}", args=[mine.draft.public_id]), {"body": "x"}).status_code == 404
    assert stranger.get(reverse("spool:outbox"), {"before": "garbage"}).status_code == 404


def test_writing_needs_the_token_and_a_login(user: User, client: Client) -> None:
    opened = open_draft(client, reverse("spool:compose"))
    post(client, opened, act="save", body="mine")
    strict = log_in(Client(enforce_csrf_checks=True), user)
    for name in ("draft", "draft-save"):
        url = reverse(f"spool:{name}", args=[opened.draft.public_id])
        assert strict.post(url, {"body": "forged"}).status_code == 403
        assert client.post(url, {"body": "forged"}, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
        assert Client().post(url, {"body": "forged"}).status_code in {302, 303}
    assert opened.stored.fields.body == "mine"


def test_writing_closes_with_the_outage(client: Client, mail: Message) -> None:
    opened = open_draft(client, reverse("spool:compose"))
    Route.objects.update(state="up")
    for url in (reverse("spool:compose"), reverse("spool:reply", args=[mail.public_id]), opened.url):
        page = client.get(url)
        assert page.status_code == 200
        assert b"The mail server works, so writing here is closed." in page.content
    response = post(client, opened, to="ottilie@outside.example", body="unsent words")
    assert response.status_code == 409
    assert b"unsent words" in response.content
    assert not Message.objects.filter(author__isnull=False).exists()


def test_autosave_after_sending_leads_to_the_sent_page(client: Client) -> None:
    opened = open_draft(client, reverse("spool:compose"))
    post(client, opened, to="ottilie@outside.example")
    response = client.post(opened.save_url, {"version": opened.version, "body": "late"})
    assert response.status_code == 410
    assert response.json()["sent"] == reverse("spool:sent", args=[opened.draft.public_id])


@pytest.mark.django_db(transaction=True)
def test_sixteen_posts_of_one_page_are_one_message() -> None:
    user, _mailbox = people()
    clients = [log_in(Client(), user) for _ in range(16)]
    opened = open_draft(clients[0], reverse("spool:compose"))
    start, answers = threading.Barrier(16), []

    def press(client: Client) -> None:
        try:
            start.wait()
            answers.append(post(client, opened, to="ottilie@outside.example", body="once"))
        finally:
            connection.close()

    threads = [threading.Thread(target=press, args=[client]) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Message.objects.filter(author=user).count() == 1
    assert Delivery.objects.count() == 1
    assert {response.status_code for response in answers} == {302}
