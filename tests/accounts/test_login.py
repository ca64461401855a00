"""Log-in by stages: what opens a session, and everything that must not."""

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from accounts import login, provision, recovery
from accounts.models import RecoveryCode, TOTPDevice, User
from accounts.models.device import MAX_FAILURES_IN_A_ROW
from audit.models import Event
from audit.tags import Tag
from tests.accounts.pages import LOGIN, RECOVERY, VERIFY, enter_code, enter_password, is_in, visible
from tests.factories.accounts import PASSWORD, code_for, make_user

pytestmark = pytest.mark.django_db
USED = "That code is not right or was used already. Wait for the next one and try again."


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    """Time stands still at the start of a code's half minute."""
    with time_machine.travel(1_780_000_020, tick=False) as coordinates:
        yield coordinates


def wrong_code(user: User) -> str:
    return f"{(int(code_for(user)) + 1) % 1_000_000:06d}"


def test_password_and_code_open_a_session(client: Client) -> None:
    user = make_user()
    assert enter_password(client, user.email.upper())["Location"] == VERIFY
    assert not is_in(client)
    assert enter_code(client, code_for(user))["Location"] == "/"
    assert is_in(client)
    event = Event.objects.get(tag=Tag.LOGIN_SUCCEEDED.value)
    assert (event.actor_id, event.detail) == (user.pk, {"factor": "totp", "new_network": True})


def test_a_code_may_be_typed_in_two_groups(client: Client) -> None:
    user = make_user()
    enter_password(client, user.email)
    code = code_for(user)
    enter_code(client, f" {code[:3]} {code[3:]} ")
    assert is_in(client)


def test_what_it_sends_is_called_a_link_on_every_page(client: Client) -> None:
    assert "the link from IT" in client.get(LOGIN).content.decode()
    enter_password(client, make_user().email)
    for path in (LOGIN, VERIFY, RECOVERY):
        assert "letter " not in client.get(path).content.decode(), path


def test_unknown_inactive_and_without_factor_look_like_a_wrong_password() -> None:
    make_user(email="known@example.org")
    make_user(email="bare@example.org", factor=False)
    make_user(email="gone@example.org", is_active=False)
    pages = {
        "wrong": enter_password(Client(), "known@example.org", "not the right password"),
        "unknown": enter_password(Client(), "nobody@example.org"),
        "without factor": enter_password(Client(), "bare@example.org"),
        "inactive": enter_password(Client(), "gone@example.org"),
        "empty": enter_password(Client(), "known@example.org", ""),
        "no password": enter_password(Client(), "known@example.org", "\x00"),
        "too long": enter_password(Client(), "known@example.org", "x" * 100_000),
    }
    bodies = {re.sub(r'value="\w+@example.org"', "", visible(page)) for page in pages.values()}
    assert len(bodies) == 1
    assert {page.status_code for page in pages.values()} == {200}
    assert {tuple(sorted(page.cookies)) for page in pages.values()} == {tuple(sorted(pages["wrong"].cookies))}
    causes = Event.objects.filter(tag=Tag.LOGIN_REFUSED.value).values_list("detail__cause", flat=True)
    assert set(causes) == {"password", "unknown", "no factor", "inactive"}


def test_the_typed_address_of_nobody_is_not_recorded(client: Client) -> None:
    enter_password(client, "my secret password typed here", "x")
    assert "secret" not in str(list(Event.objects.values()))


def test_the_code_works_once(client: Client, clock: time_machine.Traveller) -> None:
    user = make_user()
    enter_password(client, user.email)
    enter_code(client, code_for(user))
    other = Client()
    enter_password(other, user.email)
    page = enter_code(other, code_for(user))
    assert USED in page.content.decode()
    assert not is_in(other)
    clock.shift(30)
    assert enter_code(other, code_for(user))["Location"] == "/"


def test_an_older_code_than_the_last_is_refused(client: Client, clock: time_machine.Traveller) -> None:
    user = make_user()
    before = code_for(user, now=timezone.now() - timedelta(seconds=30))
    enter_password(client, user.email)
    enter_code(client, code_for(user))
    other = Client()
    enter_password(other, user.email)
    enter_code(other, before)
    assert not is_in(other)


@pytest.mark.parametrize(("steps", "accepted"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_clock_may_be_off_by_one_step(
    client: Client, clock: time_machine.Traveller, steps: int, accepted: bool
) -> None:
    user = make_user()
    enter_password(client, user.email)
    enter_code(client, code_for(user, now=timezone.now() + timedelta(seconds=30 * steps)))
    assert is_in(client) is accepted


def test_the_second_step_ends_after_five_minutes(client: Client, clock: time_machine.Traveller) -> None:
    user = make_user()
    enter_password(client, user.email)
    clock.shift(301)
    assert enter_code(client, code_for(user))["Location"] == f"{LOGIN}?late"
    assert not is_in(client)
    assert "over five minutes ago" in client.get(f"{LOGIN}?late").content.decode()


def test_the_second_step_needs_the_first(client: Client) -> None:
    user = make_user()
    assert enter_code(client, code_for(user))["Location"] == LOGIN
    assert client.get(RECOVERY)["Location"] == LOGIN
    assert not is_in(client)


@pytest.mark.parametrize("change", ["password", "deactivated", "reset", "factor deleted"])
def test_a_change_between_the_steps_ends_them(client: Client, change: str) -> None:
    user = make_user()
    code = code_for(user)
    enter_password(client, user.email)
    if change == "password":
        User.objects.filter(pk=user.pk).update(password=provision.hash_password("another good password", user))
    elif change == "deactivated":
        provision.deactivate(user, reason="left")
    elif change == "reset":
        provision.reset_mfa(user, reason="lost phone")
    else:
        TOTPDevice.objects.filter(user=user).delete()
    assert enter_code(client, code)["Location"].startswith(LOGIN)
    assert not is_in(client)


def test_the_session_key_changes_at_both_steps(client: Client) -> None:
    user = make_user()
    planted = Client()
    planted.session.save()
    keys = [planted.session.session_key]
    client.cookies = planted.cookies
    enter_password(client, user.email)
    keys.append(client.session.session_key)
    enter_code(client, code_for(user))
    keys.append(client.session.session_key)
    assert len(set(keys)) == 3
    for key in keys[:2]:
        thief = Client()
        thief.cookies["einbox_session"] = str(key)
        assert not is_in(thief)


def test_nothing_planted_in_a_session_survives_the_password(client: Client) -> None:
    session = client.session
    session["otp_device_id"] = "accounts.totpdevice/1"
    session.save()
    enter_password(client, make_user().email)
    assert list(client.session.keys()) == [login.STAGE]


def test_a_hundred_wrong_codes_are_slowed_down(client: Client, clock: time_machine.Traveller) -> None:
    user = make_user()
    enter_password(client, user.email)
    answers = [enter_code(client, wrong_code(user)) for _ in range(100)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 95
    assert "Too many tries. Try again in" in answers[-1].content.decode()
    assert 0 < int(answers[-1]["Retry-After"]) <= 330
    assert enter_code(client, code_for(user)).status_code == 429
    assert Event.objects.filter(tag=Tag.LOGIN_REFUSED.value).count() == 5
    assert Event.objects.filter(tag=Tag.LOGIN_THROTTLED.value).count() == 1


def test_after_the_wait_the_right_code_opens(client: Client, clock: time_machine.Traveller) -> None:
    user = make_user()
    enter_password(client, user.email)
    for _ in range(6):
        answer = enter_code(client, wrong_code(user))
    clock.shift(int(answer["Retry-After"]))
    enter_password(client, user.email)
    assert enter_code(client, code_for(user))["Location"] == "/"


def test_a_day_of_guessing_gets_fifty_codes(client: Client, clock: time_machine.Traveller) -> None:
    user = make_user()
    tried = 0
    enter_password(client, user.email)
    while timezone.now().timestamp() < 1_780_000_020 + 86_000:
        answer = enter_code(client, wrong_code(user))
        if answer.status_code == 302:
            enter_password(client, user.email)
            continue
        tried += answer.status_code == 200
        clock.shift(int(answer.headers.get("Retry-After", 1)))
    assert tried == 50


def test_a_factor_is_dead_after_a_hundred_failures_in_a_row(client: Client) -> None:
    user = make_user()
    TOTPDevice.objects.filter(user=user).update(failures=MAX_FAILURES_IN_A_ROW)
    enter_password(client, user.email)
    assert USED in enter_code(client, code_for(user)).content.decode()
    assert not is_in(client)


def test_wrong_passwords_are_slowed_down(clock: time_machine.Traveller) -> None:
    user = make_user()
    tried = 0
    for number in range(58):
        tried += enter_password(Client(), user.email, "wrong", ip=f"198.51.100.{number}").status_code == 200
        clock.shift(5)
    assert tried == 10


def test_throttling_does_not_tell_who_exists(clock: time_machine.Traveller) -> None:
    make_user(email="known@example.org")
    answers = []
    for email in ("known@example.org", "nobody@example.org"):
        client = Client()
        pages = [enter_password(client, email, "wrong") for _ in range(12)]
        answers.append([(page.status_code, visible(page).replace(email, "")) for page in pages])
    assert answers[0] == answers[1]
    assert 429 in [status for status, _body in answers[0]]


def test_a_stranger_cannot_lock_a_known_browser_out(client: Client, clock: time_machine.Traveller) -> None:
    user = make_user()
    enter_password(client, user.email)
    enter_code(client, code_for(user))
    client.post("/account/logout/")
    for number in range(30):
        enter_password(Client(), user.email, "wrong", ip=f"203.0.113.{number}")
    assert enter_password(Client(), user.email).status_code == 429
    assert enter_password(client, user.email)["Location"] == VERIFY


def test_one_network_cannot_try_many_accounts(clock: time_machine.Traveller) -> None:
    answers = [
        enter_password(Client(), f"p{number}@example.org", "wrong", ip=f"2001:db8::{number:x}").status_code
        for number in range(60)
    ]
    assert answers == [200] * 50 + [429] * 10


def test_logging_in_does_not_use_up_tries(clock: time_machine.Traveller) -> None:
    user = make_user()
    for _ in range(12):
        client = Client()
        enter_password(client, user.email)
        assert enter_code(client, code_for(user))["Location"] == "/"
        clock.shift(30)


def test_a_recovery_code_stands_in_once(client: Client) -> None:
    user = make_user()
    codes = recovery.new_codes()
    recovery.store(user, recovery.hashes(codes))
    enter_password(client, user.email)
    assert "Wait for the next" not in client.post(RECOVERY, {"code": "wrong"}).content.decode()
    typed = recovery.shown(codes[3]).lower().replace("-", " ")
    assert client.post(RECOVERY, {"code": typed})["Location"] == "/"
    assert is_in(client)
    event = Event.objects.get(tag=Tag.RECOVERY_CODE_USED.value)
    assert (event.actor_id, event.detail) == (user.pk, {"left": 9})
    other = Client()
    enter_password(other, user.email)
    assert "used already" in other.post(RECOVERY, {"code": codes[3]}).content.decode()
    assert not is_in(other)
    assert other.post(RECOVERY, {"code": codes[4]})["Location"] == "/"


def test_recovery_codes_are_kept_as_slow_hashes() -> None:
    codes = recovery.new_codes()
    recovery.store(make_user(), recovery.hashes(codes))
    stored = str(list(RecoveryCode.objects.values()))
    assert len(set(codes)) == recovery.COUNT == RecoveryCode.objects.filter(hash__startswith="argon2").count()
    assert not any(code[recovery.PREFIX :] in stored for code in codes)


def test_the_seed_is_stored_sealed() -> None:
    user = make_user()
    device = TOTPDevice.objects.get(user=user)
    assert len(device.seed) == 20
    assert device.seed not in bytes(device.sealed_seed)


def test_django_otp_has_no_side_door() -> None:
    from django_otp import match_token

    user = make_user()
    recovery.store(user, recovery.hashes(["0123456789ABCDEF"]))
    assert match_token(user, code_for(user)) is None
    assert match_token(user, "0123456789ABCDEF") is None


def test_wrong_codes_are_told_at_the_next_log_in(client: Client, clock: time_machine.Traveller) -> None:
    user = make_user()
    thief = Client()
    for _ in range(8):
        enter_password(thief, user.email)
        enter_code(thief, wrong_code(user))
        clock.shift(330)
    enter_password(client, user.email)
    enter_code(client, code_for(user))
    told = [str(message) for message in client.get("/no-such-page/").wsgi_request._messages]  # type: ignore[attr-defined]
    assert "8 wrong codes were entered with your password. Was it you?" in told


@pytest.mark.parametrize("page", [LOGIN, VERIFY, RECOVERY])
def test_fields_carry_their_autocomplete_values(client: Client, page: str) -> None:
    enter_password(client, make_user().email)
    wanted = {LOGIN: {"username", "current-password"}, VERIFY: {"one-time-code"}, RECOVERY: {"off"}}[page]
    assert wanted <= set(re.findall(r'autocomplete="([^"]+)"', client.get(page).content.decode()))


def test_a_password_is_the_same_however_it_is_composed(client: Client) -> None:
    user = make_user(email="umlaut@example.org")
    user.password = provision.hash_password("gru\u0308ne Seekühe schlafen", user)
    user.save()
    assert enter_password(client, user.email, "grüne Seekühe schlafen")["Location"] == VERIFY


def test_planted_secrets_are_in_no_event_and_no_log(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    user = make_user()
    recovery.store(user, recovery.hashes(codes := recovery.new_codes()))
    enter_password(client, user.email, "planted-wrong-password")
    enter_password(client, user.email)
    enter_code(client, wrong_code(user))
    client.post(RECOVERY, {"code": codes[0]})
    kept = str(list(Event.objects.values())) + caplog.text
    secrets = ["planted-wrong-password", PASSWORD, wrong_code(user), codes[0], recovery.shown(codes[0])]
    assert [secret for secret in secrets if secret in kept] == []
