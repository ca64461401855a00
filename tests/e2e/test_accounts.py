"""From the link in the letter to the inbox, and back in with a code, as a person does it in a browser."""

import base64
import re
from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.utils import timezone
from django_otp.oath import totp
from playwright.sync_api import Page, expect

from accounts import provision
from accounts.models import TOTPDevice
from tests.accounts.conftest import quick_hashes  # noqa: F401 - a fixture: ten recovery codes are ten hashes
from tests.e2e.conftest import Tab

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
MakeTab = Callable[..., Tab]
SERIOUS = {"serious", "critical"}
PASSWORD = "four quiet otters sail"


def serious(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found if one["impact"] in {"serious", "critical"}
    ]


def seed_on(page: Page) -> bytes:
    uri = page.locator("a[href^='otpauth']").get_attribute("href") or ""
    found = re.search(r"secret=([A-Z2-7]+)", uri)
    assert found
    return base64.b32decode(found[1])


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "dark")])
def test_from_the_letter_to_the_inbox_and_in_again(tab: MakeTab, width: int, scheme: str) -> None:
    user = provision.create_user(email="tilda.kranich@example.org", name="Tilda Kranich")
    link = provision.invite(user, now=timezone.now())
    visitor = tab(width=width, scheme=scheme)
    page = visitor.open(re.sub(r"^https?://[^/]+", "", link))
    assert serious(page) == []
    page.get_by_label("New einbox password").fill(PASSWORD)
    page.get_by_role("button", name="Continue").click()
    assert serious(page) == []
    seed = seed_on(page)
    page.get_by_label("Six digits").fill(f"{totp(seed):06d}")
    page.get_by_role("button", name="Finish").click()
    expect(page.locator(".codes li")).to_have_count(10)
    assert serious(page) == []
    page.get_by_role("link", name="I have them").click()
    expect(page).to_have_title(re.compile("Inbox"))

    page.context.clear_cookies()
    TOTPDevice.objects.update(last_step=0)  # the half minute has passed
    page = visitor.open("/account/login/")
    assert serious(page) == []
    page.get_by_label("Work e-mail address").fill(user.email)
    page.locator("#id_password").fill(PASSWORD)
    page.get_by_role("button", name="Show the password").click()
    expect(page.locator("#id_password")).to_have_attribute("type", "text")
    page.get_by_role("button", name="Continue").click()
    assert serious(page) == []
    page.get_by_label("Six digits").press_sequentially(f"{totp(seed):06d}")
    clip = page.locator(".code__clip").evaluate("box => [box.scrollLeft, box.querySelector('input').scrollLeft]")
    assert clip == [0, 0], "the digits left their slots"
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_title(re.compile("Inbox"))
    assert visitor.complaints == []
    assert visitor.foreign == []
