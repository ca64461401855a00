"""A real browser on a real server. Chromium is the machine's own; nothing is downloaded, nothing remote is asked."""

import os
from collections.abc import Callable, Iterator

import pytest
from django.conf import settings
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect, sync_playwright
from pytest_django.live_server_helper import LiveServer

from accounts.models import User
from tests.conftest import chromium_path
from tests.factories.accounts import log_in

# Playwright's loop runs in the test's thread; the tests themselves are plain synchronous code.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
# A process for each site, sandboxed frames included, as the browser with windows has by itself.
ARGUMENTS = ["--no-sandbox", "--site-per-process"]
expect.set_options(timeout=30_000)  # milliseconds; a busy machine is slow, and speed is asserted nowhere


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium_path(), args=ARGUMENTS)
        yield found
        found.close()


@pytest.fixture(scope="session", autouse=True)
def product_serves_static_files() -> Iterator[None]:
    """Leave /static/ to the product's own WhiteNoise: pytest-django's server knows no hashed names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StaticFilesHandler, "_should_handle", lambda _self, _path: False)
        yield


class Tab:
    """One page and what it complained of: console errors, policy violations, requests that left the server."""

    def __init__(self, page: Page, base: str) -> None:
        self.page, self.base = page, base
        self.complaints: list[str] = []
        self.foreign: list[str] = []
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.context.on("request", self._asked)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((self.base, "data:", "about:", "blob:")):
            self.foreign.append(request.url)

    def open(self, path: str) -> Page:
        self.page.goto(self.base + path, wait_until="load")
        return self.page


@pytest.fixture
def tab(browser: Browser, live_server: LiveServer) -> Iterator[Callable[..., Tab]]:
    """tab(user, width=…, scheme=…): a browser of its own, logged in as `user` (nobody without one)."""
    contexts: list[BrowserContext] = []

    def make(user: User | None = None, *, width: int = 1280, scheme: str = "light", scale: float = 1) -> Tab:
        context = browser.new_context(
            viewport={"width": width, "height": 800 if width > 700 else 844},
            color_scheme=scheme,  # type: ignore[arg-type]
            device_scale_factor=scale,
            has_touch=width < 700,
            reduced_motion="no-preference",
        )
        contexts.append(context)
        if user is not None:
            client = log_in(Client(), user)
            value = client.cookies[settings.SESSION_COOKIE_NAME].value
            context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": value, "url": live_server.url}])
        return Tab(context.new_page(), live_server.url)

    yield make
    for context in contexts:
        context.close()
