"""Reading in a real browser: policies hold, nothing leaves, keys work, the list lives, axe finds nothing serious.

UPDATE_SCREENSHOTS=1 writes the pictures of the README to docs/images.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import time_machine
from axe_playwright_python.sync_playwright import Axe
from django.utils import timezone
from playwright.sync_api import Page, expect

from spool.enums import RouteState
from spool.models import Overlay
from spool.queue import parsing
from tests.e2e.conftest import Tab
from tests.e2e.scene import deliver, letter, play
from tests.factories.spool import make_message

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
MakeTab = Callable[..., Tab]
SERIOUS = {"serious", "critical"}


def serious(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found if one["impact"] in SERIOUS]


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (390, "dark"), (1280, "light"), (1280, "dark")])
def test_pages_keep_their_policy_load_nothing_foreign_and_pass_axe(tab: MakeTab, width: int, scheme: str) -> None:
    scene = play()
    visitor, reader = tab(width=width, scheme=scheme), tab(scene.tilda, width=width, scheme=scheme)
    joris = scene.messages["joris"].public_id
    assert serious(visitor.open("/")) == []
    for path in ("/", "/starred/", f"/m/{joris}/", f"/m/{joris}/story", f"/m/{joris}/headers"):
        page = reader.open(path)
        assert serious(page) == [], path
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{path} scrolls sideways by {wide} px"
    assert reader.complaints + visitor.complaints == []
    assert reader.foreign + visitor.foreign == []


def test_the_page_without_mail_passes_axe(tab: MakeTab) -> None:
    scene = play(state=RouteState.UP, mails=False)
    reader = tab(scene.tilda, width=390)
    page = reader.open("/")
    expect(page.get_by_role("heading", name="Nothing to do here")).to_be_visible()
    assert page.get_by_role("link", name="Write").count() == 0
    assert (serious(page), reader.complaints) == ([], [])


HOSTILE = """<html><head><meta http-equiv="refresh" content="0;url=http://t.example.test/refresh">
<link rel="stylesheet" href="http://t.example.test/s.css"><link rel="dns-prefetch" href="//t.example.test">
<style>@import url(http://t.example.test/i.css); body{background:url(http://t.example.test/b.png)}</style></head>
<body onload="fetch('http://t.example.test/onload')">
<script>top.document.title='owned';fetch('http://t.example.test/x')</script>
<img src="http://t.example.test/p.png" onerror="top.document.title='owned'">
<svg onload="top.document.title='owned'"></svg>
<iframe src="http://t.example.test/f"></iframe><p id="said">Still readable</p></body></html>"""


LOOK = """frame => { const look = getComputedStyle(frame);
  return [look.filter, parseFloat(look.borderTopWidth), look.backgroundColor] }"""


def test_a_hostile_body_runs_nothing_and_fetches_nothing(tab: MakeTab) -> None:
    scene = play(mails=False)
    raw = letter("Mallory <m@evil.example.com>", "Invoice", "x", html=HOSTILE)
    message = make_message(raw, mailbox=scene.own)
    reader = tab(scene.tilda)
    page = reader.open(f"/m/{message.public_id}/")
    body = page.frame_locator("iframe.letter__body")
    expect(body.get_by_text("Still readable")).to_be_visible()
    expect(page.get_by_text("2 remote pictures not loaded")).to_be_visible()
    assert page.title() == "Invoice · einbox"
    assert (reader.foreign, reader.complaints) == ([], [])


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize(
    ("scheme", "chosen", "dim"),
    [("light", "", False), ("dark", "", True), ("dark", "light", False), ("light", "dark", True)],
)
def test_html_mail_keeps_light_paper_that_is_dimmed_on_a_mat_in_the_dark(
    tab: MakeTab, width: int, scheme: str, chosen: str, dim: bool
) -> None:
    scene = play(mails=False)
    message = make_message(letter("Otto <o@x.example.com>", "Avis", "x", html="<p>On white.</p>"), mailbox=scene.own)
    reader = tab(scene.tilda, width=width, scheme=scheme)
    if chosen:
        reader.page.context.add_cookies([{"name": "einbox_theme", "value": chosen, "url": reader.base}])
    page = reader.open(f"/m/{message.public_id}/")
    expect(page.frame_locator("iframe.letter__body").get_by_text("On white.")).to_be_visible()
    frame = page.locator("iframe.letter__body")
    lit, mat, paper = frame.evaluate(LOOK)
    assert (lit != "none", mat > 2, paper) == (dim, dim, "rgb(255, 255, 255)")
    box, around = frame.bounding_box(), page.locator(".reader__page").bounding_box()
    assert box is not None
    assert around is not None
    assert around["x"] < box["x"] < box["x"] + box["width"] < around["x"] + around["width"]


def test_the_body_in_its_frame_may_not_reach_the_page(tab: MakeTab) -> None:
    scene = play()
    reader = tab(scene.tilda)
    page = reader.open(f"/m/{scene.messages['ottilie'].public_id}/")
    expect(page.frame_locator("iframe.letter__body").get_by_text("Guten Tag Frau Kranich")).to_be_visible()
    reach = "() => { try { return document.querySelector('iframe').contentDocument } catch { return 'refused' } }"
    assert page.evaluate(reach) in (None, "refused")


def test_keys_move_open_mark_and_stay_out_of_fields(tab: MakeTab) -> None:
    scene = play()
    page = tab(scene.tilda).open("/")
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator(".row__link").nth(1)).to_be_focused()
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(scene.messages["ottilie"].public_id))
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.keyboard.press("e")
    expect(page).to_have_url(re.compile(r":\d+/$"))
    expect(page.locator(".row__link").first).to_contain_text("Emil Zweiglein")
    mark = Overlay.objects.get(user=scene.tilda, message=scene.messages["ottilie"])
    assert mark.archived


def test_the_first_stop_of_the_tab_key_leads_to_the_content(tab: MakeTab) -> None:
    page = tab(play().tilda).open("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"


def test_the_list_lives(tab: MakeTab) -> None:
    scene = play()
    reader = tab(scene.tilda)
    page = reader.open("/")
    expect(page.locator(".row__link")).to_have_count(7)
    page.locator(".row__link").nth(2).focus()
    make_message(letter("Nora <nora@example.org>", "Just in", "Hello\n"), mailbox=scene.own)
    parsing.sweep(now=timezone.now())
    expect(page.locator(".row__link").first).to_contain_text("Just in")
    assert "joris" in str(page.evaluate("document.activeElement.textContent")).lower()
    deliver(scene.messages["joris"], now=timezone.now())
    expect(page.locator(".line--leaving")).to_contain_text("delivered")
    expect(page.locator(".row__link").nth(3)).to_be_focused()
    expect(page.locator(".line--leaving")).to_have_count(0)
    assert reader.complaints == []


def test_new_mail_waits_while_somebody_reads_further_down(tab: MakeTab) -> None:
    scene = play()
    page = tab(scene.tilda, width=390).open("/")
    page.mouse.wheel(0, 400)
    page.wait_for_function("scrollY > 100")
    make_message(letter("Nora <nora@example.org>", "Just in", "Hello\n"), mailbox=scene.own)
    pill = page.get_by_role("button", name="1 new")
    expect(pill).to_be_visible(timeout=4000)
    expect(page.get_by_text("Just in")).to_be_hidden()
    pill.click()
    expect(page.get_by_text("Just in")).to_be_visible()


def test_an_open_message_that_goes_home_says_so_and_stays(tab: MakeTab) -> None:
    scene = play()
    page = tab(scene.tilda).open(f"/m/{scene.messages['ottilie'].public_id}/")
    deliver(scene.messages["ottilie"], now=timezone.now())
    expect(page.locator(".band")).to_contain_text("It is now in your normal mailbox")
    expect(page.frame_locator("iframe.letter__body").get_by_text("Guten Tag")).to_be_visible()


def test_the_colour_switch_overrides_the_system(tab: MakeTab) -> None:
    page = tab(play().tilda).open("/")
    page.locator(".side").get_by_role("button", name="Dark colours").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(24, 26, 30)"


def test_pictures_for_the_readme(tab: MakeTab, tmp_path: Path) -> None:
    """Always taken, so that they can be; kept only on demand."""
    folder = IMAGES if os.environ.get("UPDATE_SCREENSHOTS") else tmp_path
    day = timezone.now().replace(hour=13, minute=18, second=0)
    with time_machine.travel(day, tick=True):
        scene = play(now=day)
        ottilie = scene.messages["ottilie"].public_id
        for scheme in ("light", "dark"):
            for width, path, name in ((1280, f"/m/{ottilie}/", "inbox"), (390, "/", "inbox-phone")):
                page = tab(scene.tilda, width=width, scheme=scheme, scale=1.5).open(path)
                page.screenshot(path=str(folder / f"{name}-{scheme}.png"))
    assert (folder / "inbox-dark.png").stat().st_size > 20_000


def test_the_open_message_is_in_sight_in_the_list_beside_it(tab: MakeTab) -> None:
    scene = play()
    for number in range(8):
        make_message(letter("Nora <nora@example.org>", f"Just in {number}", "Hello\n"), mailbox=scene.own)
    page = tab(scene.tilda).open(f"/m/{scene.messages['ada'].public_id}/")
    expect(page.locator(".list [aria-current]")).to_be_in_viewport(ratio=1)
    expect(page.get_by_role("searchbox", name="Search mail")).to_be_in_viewport(ratio=1)
    expect(page.locator("#subject")).to_be_in_viewport()
