"""Enrolment through the one-time link, and every link that opens nothing."""

import base64
import re
from collections.abc import Iterator

import pytest
import time_machine
from django.conf import settings
from django.test import Client
from django.utils import timezone
from django_otp.oath import totp

from accounts import provision, recovery
from accounts.models import Invite, TOTPDevice, User
from accounts.provision import ProvisionError
from audit.models import Event
from audit.tags import Tag
from tests.accounts.pages import ENROL, RECOVERY, enter_code, enter_password, is_in
from tests.factories.accounts import code_for, make_user

pytestmark = pytest.mark.django_db
PASSWORD = "seven slow snails dance"


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(1_780_000_020, tick=False) as traveller:
        yield traveller


@pytest.fixture
def link() -> str:
    user = provision.create_user(email="new@example.org", name="Nora Federkiel")
    return provision.invite(user, now=timezone.now())


def seed_on(page: str) -> bytes:
    found = re.search(r"secret=([A-Z2-7]+)", page)
    assert found
    return base64.b32decode(found[1])


def enrol(client: Client, link: str) -> list[str]:
    """All steps; the recovery codes that were shown."""
    client.get(link)
    client.post(ENROL, {"password": PASSWORD})
    page = client.get(ENROL).content.decode()
    done = client.post(ENROL, {"code": f"{totp(seed_on(page)):06d}"})
    assert done.status_code == 200
    return re.findall(r'<li class="mono">([-0-9A-Z]+)</li>', done.content.decode())


def test_the_link_leads_to_a_verified_session(client: Client, link: str) -> None:
    codes = enrol(client, link)
    assert len(set(codes)) == recovery.COUNT
    assert is_in(client)
    tags = list(Event.objects.filter(actor_label="new@example.org").order_by("at", "id").values_list("tag", flat=True))
    wanted = [Tag.INVITE_USED, Tag.PASSWORD_SET, Tag.FACTOR_ENROLLED, Tag.RECOVERY_CODES_MADE, Tag.LOGIN_SUCCEEDED]
    assert set(tags) == {tag.value for tag in wanted}


def test_afterwards_password_and_either_factor_work(client: Client, link: str, clock: time_machine.Traveller) -> None:
    codes = enrol(Client(), link)
    user = User.objects.get(email="new@example.org")
    enter_password(client, user.email, PASSWORD)
    enter_code(client, code_for(user))
    assert not is_in(client)  # the code of the enrolment is used up
    clock.shift(30)
    enter_code(client, code_for(user))
    assert is_in(client)
    other = Client()
    enter_password(other, user.email, PASSWORD)
    other.post(RECOVERY, {"code": codes[7]})
    assert is_in(other)


def test_the_address_is_the_public_one(link: str) -> None:
    assert link.startswith(f"{settings.PUBLIC_URL}/account/enrol/")
    assert len(link.rstrip("/").rpartition("/")[2]) >= 43


def test_the_token_is_not_stored_and_leaves_the_address_bar(client: Client, link: str) -> None:
    answer = client.get(link)
    token = link.rstrip("/").rpartition("/")[2]
    assert (answer["Location"], answer["Referrer-Policy"]) == (ENROL, "no-referrer")
    kept = [*Invite.objects.values(), *Event.objects.values(), client.session.items(), client.get(ENROL).content]
    assert token not in str(kept)


def test_looking_at_a_link_uses_nothing_up(link: str) -> None:
    for _ in range(5):
        assert Client().get(link)["Location"] == ENROL
    assert len(enrol(Client(), link)) == recovery.COUNT


@pytest.mark.parametrize("case", ["used", "expired", "replaced", "deactivated", "garbage", "altered"])
def test_a_link_that_opens_nothing(client: Client, link: str, case: str, clock: time_machine.Traveller) -> None:
    user = User.objects.get(email="new@example.org")
    Invite.objects.update(created_at=timezone.now(), expires_at=timezone.now() + provision.INVITE_LIFE)
    if case == "used":
        enrol(Client(), link)
    elif case == "expired":
        clock.shift(provision.INVITE_LIFE)
    elif case == "replaced":
        provision.invite(user, now=timezone.now())
    elif case == "deactivated":
        provision.deactivate(user, reason="left")
    elif case == "garbage":
        link = "/account/enrol/nul\x00-%F0%9F%A6%A6/"
    else:
        link = link[:-2] + ("A/" if link[-2] != "A" else "B/")
    answer = client.get(link)
    assert (answer.status_code, answer["Referrer-Policy"]) == (410, "no-referrer")
    assert client.get(ENROL).status_code == 410
    assert Event.objects.filter(tag=Tag.INVITE_REFUSED.value).count() == 1


def test_an_invite_that_ends_between_the_steps(client: Client, link: str, clock: time_machine.Traveller) -> None:
    Invite.objects.update(expires_at=timezone.now() + provision.INVITE_LIFE)
    client.get(link)
    client.post(ENROL, {"password": PASSWORD})
    seed = seed_on(client.get(ENROL).content.decode())
    clock.shift(provision.INVITE_LIFE)
    assert client.post(ENROL, {"code": f"{totp(seed):06d}"}).status_code == 410
    assert not TOTPDevice.objects.exists()


def test_half_an_enrolment_leaves_no_trace(client: Client, link: str) -> None:
    client.get(link)
    client.post(ENROL, {"password": PASSWORD})
    client.post(ENROL, {"code": "000000"})
    user = User.objects.get(email="new@example.org")
    assert not user.has_usable_password()
    assert not TOTPDevice.objects.exists()
    assert not is_in(client)
    assert enter_password(Client(), user.email, PASSWORD).status_code == 200


def test_a_password_alone_enrols_nothing(client: Client) -> None:
    user = make_user(factor=False)
    enter_password(client, user.email)
    assert client.get(ENROL).status_code == 410
    assert client.post(ENROL, {"password": PASSWORD}).status_code == 410


WEAK = ["short", "", "fourteen chars", "111111111111111", "new@example.org", "Nora Federkiel!"]


@pytest.mark.parametrize("password", WEAK)
def test_weak_passwords_are_refused(client: Client, link: str, password: str) -> None:
    client.get(link)
    assert client.post(ENROL, {"password": password}).status_code == 200
    assert "Set up your phone" not in client.get(ENROL).content.decode()


@pytest.mark.parametrize(
    "password", ["x y z " * 12, "ein langer Satz ohne Regeln", "密码密码密码密码密码密码密码密码", "🦦" * 20]
)
def test_long_and_foreign_passwords_are_welcome(client: Client, link: str, password: str) -> None:
    client.get(link)
    assert client.post(ENROL, {"password": password}).status_code == 302


def test_who_has_a_factor_is_not_invited() -> None:
    with pytest.raises(ProvisionError, match="reset it first"):
        provision.invite(make_user(), now=timezone.now())


def test_the_picture_stays_within_the_policy(client: Client, link: str) -> None:
    client.get(link)
    client.post(ENROL, {"password": PASSWORD})
    page = client.get(ENROL)
    assert '<img src="data:image/svg+xml' in page.content.decode()
    assert "img-src 'self' data:" in page["Content-Security-Policy"]
    assert page["Cache-Control"] == "no-store"
