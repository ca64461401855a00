"""Hostile HTML in a real browser: what it runs and fetches behind each defence and behind both (C30, C32).

Every page is answered from memory; whatever else the browser asks for is counted and refused.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, Dialog, Error, Page, Route

from spool.mime.sanitize import document, sanitize
from spool.webmail.message import BODY_CSP
from tests.conftest import chromium_path
from tests.corpora import CORPORA

BATCH = 8
THRIFTY = ["--no-sandbox", "--disable-site-isolation-trials", "--disable-features=IsolateSandboxedIframes"]
BASE = "http://mail.test/"
COUNTERS = """
window.ran = 0;
for (const name of ["alert", "confirm", "prompt", "print", "open"])
  window[name] = () => { window.ran += 1; };
window.addEventListener("click", event => event.preventDefault(), true);
"""
POKE = """() => {
  for (const element of [...document.querySelectorAll("*")].slice(0, 500))
    for (const kind of ["click", "mouseover", "mouseenter", "focus", "error", "load", "pointerenter", "toggle"])
      element.dispatchEvent(new Event(kind, {bubbles: true, cancelable: true}));
  return window.ran;
}"""
REMOTE = (
    "<img src=http://t.test/a><img srcset='http://t.test/b 1x'><p style='background:url(http://t.test/c)'>x"
    "<table background=http://t.test/d><tr><td>x</table><style>p{background:url(http://t.test/e)}</style>"
    "<link rel=stylesheet href=http://t.test/f><iframe src=http://t.test/g></iframe><video poster=http://t.test/h></video>"
    "<input type=image src=http://t.test/i><object data=http://t.test/j></object><embed src=http://t.test/k>"
    "<svg><image href=http://t.test/l /></svg><meta http-equiv=refresh content='0;url=http://t.test/m'>"
    "<p style='list-style:url(http://t.test/n)'>x<p style=\"background:image-set('http://t.test/o' 1x)\">x"
)


@dataclass
class Result:
    ran: int = 0
    fetched: int = 0


class Gallery:
    """Shows one document after another in one tab."""

    def __init__(self, page: Page) -> None:
        self.page, self.html, self.headers = page, "", {"Content-Type": "text/html; charset=utf-8"}
        self.result = Result()
        page.add_init_script(COUNTERS)
        page.on("dialog", self._spoke)  # behind the sandbox our counters cannot run, so a dialog is the sign
        page.route("**/*", self._answer)
        page.set_default_timeout(2_000)

    def _spoke(self, dialog: Dialog) -> None:
        self.result.ran += 1
        dialog.dismiss()

    def _answer(self, route: Route) -> None:
        if route.request.url.startswith(BASE + "mail-"):
            route.fulfill(body=self.html, headers=self.headers)
        else:
            self.result.fetched += 1
            route.abort()

    def show(self, number: int, html: str, policy: str = "") -> None:
        self.html = html
        self.headers = {"Content-Type": "text/html; charset=utf-8"} | (
            {"Content-Security-Policy": policy} if policy else {}
        )
        try:
            self.page.goto(f"{BASE}mail-{number}", wait_until="load")
            if not policy:
                self.result.ran += int(self.page.evaluate(POKE) or 0)
        except Error:  # it navigated away or hangs: only mail without a defence does that
            with suppress(Error):
                self.page.goto("about:blank")


@pytest.fixture(scope="module")
def thrifty(browser: Browser) -> Iterator[Browser]:
    """A browser that gives no sandboxed page a process of its own: policies are looked at here, not its isolation."""
    found = browser.browser_type.launch(executable_path=chromium_path(), args=THRIFTY)
    yield found
    found.close()


@pytest.fixture
def gallery(thrifty: Browser) -> Iterator[Gallery]:
    context = thrifty.new_context(service_workers="block")
    yield Gallery(context.new_page())
    context.close()


def payloads() -> list[str]:
    found = [item["payload"] for item in json.loads((CORPORA / "html" / "dompurify-expect.json").read_text())]
    found += [path.read_text().partition("--")[0] for path in sorted((CORPORA / "html" / "bleach").glob("*.test"))]
    return [payload for payload in found if isinstance(payload, str)] + [REMOTE]


@pytest.mark.pure
@pytest.mark.browser
@pytest.mark.corpora
@pytest.mark.slow
@pytest.mark.parametrize(
    ("clean", "policy"),
    [(True, ""), (True, BODY_CSP), (False, BODY_CSP)],
    ids=["cleaned", "cleaned and policy", "policy"],
)
def test_hostile_html_neither_runs_nor_fetches(
    gallery: Gallery, capsys: pytest.CaptureFixture[str], clean: bool, policy: str
) -> None:
    pages = payloads()
    if clean:  # what is clean cannot disturb its neighbour
        safe = [sanitize(payload).html for payload in pages]
        pages = [document("".join(safe[start : start + BATCH])) for start in range(0, len(safe), BATCH)]
    for number, html in enumerate(pages):
        gallery.show(number, html, policy)
    with capsys.disabled():
        print(f"\n{len(payloads())} payloads: {gallery.result}")
    assert gallery.result == Result()


@pytest.mark.pure
@pytest.mark.browser
@pytest.mark.corpora
@pytest.mark.slow
def test_the_same_html_runs_and_fetches_without_a_defence(gallery: Gallery, capsys: pytest.CaptureFixture[str]) -> None:
    """The positive control: this arrangement sees what it is meant to see."""
    for number, payload in enumerate(payloads()):
        gallery.show(number, payload)
    with capsys.disabled():
        print(f"\ncontrol, {len(payloads())} payloads: {gallery.result}")
    assert gallery.result.ran > 30
    assert gallery.result.fetched > 30
