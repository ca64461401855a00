"""Searching in a real browser: the key, a hit, nothing found; on a phone and a desk, light and dark."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.utils import timezone
from playwright.sync_api import Page, expect

from spool.queue import parsing
from tests.e2e.conftest import Tab
from tests.e2e.scene import play

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
SERIOUS = {"serious", "critical"}
MakeTab = Callable[..., Tab]


def serious(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found if one["impact"] in {"serious", "critical"}
    ]


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "dark")])
def test_search_pages_keep_their_policy_fit_and_pass_axe(tab: MakeTab, width: int, scheme: str) -> None:
    scene = play()
    parsing.sweep(now=timezone.now())
    reader = tab(scene.tilda, width=width, scheme=scheme)
    shots = os.environ.get("SEARCH_SHOTS", "")
    for name, path in (
        ("inbox", "/"),
        ("empty", "/search"),
        ("hits", "/search?q=from:joris"),
        ("none", "/search?q=xylophone"),
        ("long", "/search?q=" + "x" * 500),
    ):
        page = reader.open(path)
        if shots:
            page.screenshot(path=str(Path(shots) / f"{name}-{width}-{scheme}.png"))
        assert serious(page) == [], path
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{path} scrolls sideways by {wide} px"
    assert (reader.complaints, reader.foreign) == ([], [])
    parsing.stop()


def test_a_key_leads_to_the_box_and_enter_to_the_hits(tab: MakeTab) -> None:
    scene = play()
    parsing.sweep(now=timezone.now())
    page = tab(scene.tilda, width=1280).open("/")
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox", name="Search mail")).to_be_focused()
    page.keyboard.type("joris")
    page.keyboard.press("Enter")
    expect(page.locator("[data-line]").first).to_be_visible()
    expect(page.get_by_role("searchbox", name="Search mail")).to_have_value("joris")
    parsing.stop()
