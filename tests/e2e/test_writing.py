"""Writing and the console in a real browser: autosave, a reply by keyboard, no script needed, axe and policy."""

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from accounts.enums import Role
from spool.models import Delivery, Domain, Draft, Message, RouteChange
from spool.queue import content, drafts
from tests.e2e.conftest import Tab
from tests.e2e.scene import Scene, deliver, play
from tests.e2e.test_reading import serious
from tests.factories.accounts import make_user
from tests.factories.spool import make_message
from tests.waiting import wait_for

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
MakeTab = Callable[..., Tab]
LOOKS = [(390, "light"), (390, "dark"), (1280, "light"), (1280, "dark")]
SHOTS = os.environ.get("KEEP_SCREENSHOTS")


def shot(page: Page, name: str, width: int, scheme: str) -> None:
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}-{width}-{scheme}.png", full_page=width > 700)


def calm(tab: Tab, name: str) -> None:
    """No serious finding, no sideways scrolling, nothing foreign, no violated policy."""
    page = tab.page
    assert serious(page) == [], name
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, f"{name} scrolls sideways by {wide} px"
    assert (tab.complaints, tab.foreign) == ([], []), name


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_reply_autosave_send(tab: MakeTab, width: int, scheme: str) -> None:
    scene = play()
    writer = tab(scene.tilda, width=width, scheme=scheme)
    page = writer.open(f"/m/{scene.messages['ottilie'].public_id}/reply-all")
    expect(page.get_by_role("heading", name="Reply to all")).to_be_visible()
    expect(page.get_by_text("when the server is back")).to_be_visible()
    page.get_by_label("To", exact=True).press("Control+End")
    page.get_by_label("To", exact=True).type(", Nora Federkiel <nora.federkiel@example.org>")
    page.get_by_label("Text").fill("Guten Tag Frau Regenpfeifer,\n\nbestätigt: 4 Stück.\n\nTilda Kranich")
    expect(page.get_by_text("reads it at once")).to_be_visible()
    expect(page.locator("#saved")).to_contain_text("Draft saved")
    with page.expect_navigation():
        page.locator("input[type=file]").set_input_files(
            {"name": "Bestellung 88-2041.pdf", "mimeType": "application/pdf", "buffer": b"%PDF-1.7" + b"0" * 1_400_000}
        )
    expect(page.get_by_text("Bestellung 88-2041.pdf", exact=True)).to_be_visible()
    shot(page, "compose", width, scheme)
    calm(writer, "compose")
    page.get_by_label("Text").press("Control+Enter")
    expect(page.get_by_role("heading", name="Waiting for the server")).to_be_visible()
    shot(page, "sent", width, scheme)
    calm(writer, "sent")
    page.goto(f"{writer.base}/outbox/")
    shot(page, "outbox", width, scheme)
    calm(writer, "outbox")
    [message] = Message.objects.filter(author=scene.tilda)
    raw = content.read(message)
    assert b"Bestellung" in raw
    assert not Draft.objects.exists()


def test_a_reply_at_390_by_keyboard_alone(tab: MakeTab) -> None:
    scene = play()
    writer = tab(scene.tilda, width=390)
    page = writer.open(f"/m/{scene.messages['ottilie'].public_id}/")
    page.keyboard.press("r")
    expect(page.get_by_role("heading", name="Reply", exact=True)).to_be_visible()
    expect(page.get_by_label("Text")).to_be_focused()
    page.keyboard.type("Yes.")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("heading", name="Waiting for the server")).to_be_visible()
    assert Message.objects.filter(author=scene.tilda, in_reply_to=scene.messages["ottilie"]).count() == 1


def test_enter_in_a_line_saves_and_never_sends(tab: MakeTab) -> None:
    scene = play(mails=False)
    page = tab(scene.tilda).open("/write/")
    page.get_by_label("To", exact=True).fill("o@outside.example")
    page.get_by_label("Subject").fill("Half a thou")
    page.get_by_label("Subject").press("Enter")
    wait_for(lambda: [one.fields.subject for one in drafts.kept(scene.tilda)] == ["Half a thou"], seconds=5)
    assert not Message.objects.filter(author=scene.tilda).exists()


def test_a_reload_shows_what_was_saved_by_itself(tab: MakeTab) -> None:
    scene = play()
    writer = tab(scene.tilda)
    page = writer.open(f"/m/{scene.messages['ottilie'].public_id}/reply")
    expect(page.get_by_label("Text")).to_be_focused()
    assert not Draft.objects.exists()
    page.get_by_label("Text").fill("half a sent")
    expect(page.locator("#saved")).to_contain_text("Draft saved")
    page.get_by_label("Text").fill("half a sentence")
    wait_for(lambda: [one.fields.body for one in drafts.kept(scene.tilda)] == ["half a sentence"], seconds=10)
    page.reload()
    expect(page.get_by_label("Text")).to_have_value("half a sentence")
    assert Draft.objects.count() == 1
    assert (writer.complaints, writer.foreign) == ([], [])


def test_a_wrong_address_stays_on_the_page(tab: MakeTab) -> None:
    scene = play(mails=False)
    writer = tab(scene.tilda, width=390)
    page = writer.open("/write/")
    page.get_by_label("To", exact=True).fill("nobody@example.org")
    page.get_by_label("Text").fill("kept words")
    expect(page.get_by_text("An address needs a fix")).to_be_visible()
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("alert")).to_contain_text("Nobody has the address nobody@example.org here.")
    expect(page.get_by_label("Text")).to_have_value("kept words")
    shot(page, "compose-wrong", 390, "light")
    assert serious(page) == []


def crowd(scene: Scene) -> None:
    """A drain half done: what the picture of the console shows."""
    assert scene.outage is not None
    route, outage, now = scene.route, scene.outage, timezone.now()
    for number in range(60):
        message = make_message(mailbox=scene.own, now=outage.opened_at + timedelta(minutes=2.4 * number))
        if number < 34:
            deliver(message, now=now - timedelta(minutes=9 - number / 4))
    refused = Delivery.objects.filter(state="queued").earliest("pk")
    refused.state, refused.last_code, refused.last_reply = "review", 550, "550 5.1.1 user unknown"
    refused.save()
    changes = [
        ("up", "suspect", 0, "1 of 1 probe failed. mx1.example.org:25, connect timed out after 10 s."),
        ("suspect", "down", 1, "3 of 3 probes failed."),
        ("down", "recovering", 146, "3 good probes. mx1.example.org:25 answers in 90 ms."),
    ]
    for old, new, minutes, evidence in changes:
        at = outage.opened_at + timedelta(minutes=minutes)
        RouteChange.objects.create(route=route, outage=outage, at=at, old=old, new=new, evidence=evidence)
    Domain.objects.get_or_create(name="second.example", route=route)


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_the_console(tab: MakeTab, width: int, scheme: str) -> None:
    scene = play(state="recovering")
    crowd(scene)
    admin = make_user(email="hannes@example.org", name="Hannes Kieselstein", role=Role.ADMIN)
    desk = tab(admin, width=width, scheme=scheme)
    page = desk.open("/console/")
    expect(page.get_by_text("It adds up")).to_be_visible()
    shot(page, "console", width, scheme)
    calm(desk, "console")
    page.locator("summary", has_text="Announce").click()
    page.get_by_label("What shall everybody read in the status line?").fill("Power is back.")
    shot(page, "console-act", width, scheme)
    assert serious(page) == []
    page.get_by_role("button", name="Announce").click()
    expect(page.get_by_text("Everybody sees it in the status line now.")).to_be_visible()
    page.goto(f"{desk.base}/console/queue/")
    shot(page, "queue", width, scheme)
    calm(desk, "queue")
