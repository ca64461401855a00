"""Many at once: one code, one recovery code, one invite opens one session, and nobody sees an error."""

from copy import deepcopy

import pytest
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone
from django_otp.oath import totp

from accounts import crypto, enrolment, provision, recovery
from accounts.models import Throttle, User, UserSession
from audit.models import Event
from audit.tags import Tag
from tests.accounts.pages import ENROL, RECOVERY, VERIFY, enter_password, post
from tests.accounts.parallel import at_once
from tests.factories.accounts import code_for, make_user

pytestmark = pytest.mark.django_db(transaction=True)
THREADS = 16


def same_browser(client: Client) -> list[Client]:
    """Copies that send the same cookies."""
    copies = [Client() for _ in range(THREADS)]
    for copy in copies:
        copy.cookies = deepcopy(client.cookies)
    return copies


def assert_one_success(answers: list[HttpResponse], user: User) -> None:
    statuses = [answer.status_code for answer in answers]
    assert sum(answer.status_code == 302 and answer["Location"] == "/" for answer in answers) == 1, statuses
    assert set(statuses) <= {200, 302, 429}, statuses
    assert UserSession.objects.filter(user=user).count() == 1
    assert Event.objects.filter(tag=Tag.LOGIN_SUCCEEDED.value).count() == 1


def test_sixteen_posts_of_one_code_from_one_browser(client: Client) -> None:
    user = make_user()
    enter_password(client, user.email)
    code, copies = code_for(user), same_browser(client)
    assert_one_success(at_once(lambda number: post(copies[number], VERIFY, {"code": code}), threads=THREADS), user)


def test_sixteen_posts_of_one_code_from_as_many_browsers() -> None:
    user = make_user()
    clients = [Client() for _ in range(THREADS)]
    for client in clients:
        enter_password(client, user.email)
    code = code_for(user)
    assert_one_success(at_once(lambda number: post(clients[number], VERIFY, {"code": code}), threads=THREADS), user)


def test_sixteen_posts_of_one_recovery_code(client: Client) -> None:
    user = make_user()
    codes = recovery.new_codes()
    recovery.store(user, recovery.hashes(codes))
    enter_password(client, user.email)
    copies = same_browser(client)
    answers = at_once(lambda number: post(copies[number], RECOVERY, {"code": codes[0]}), threads=THREADS)
    assert_one_success(answers, user)
    assert recovery.left(user) == recovery.COUNT - 1


def test_one_invite_enrols_once(client: Client) -> None:
    user = provision.create_user(email="new@example.org")
    client.get(provision.invite(user, now=timezone.now()))
    client.post(ENROL, {"password": "four quiet otters sail"})
    state = client.session[enrolment.STATE]
    seed = crypto.unseal(bytes.fromhex(state["seed"]), f"enrolment:{state['invite']}")
    code, copies = f"{totp(seed):06d}", same_browser(client)
    answers = at_once(lambda number: post(copies[number], ENROL, {"code": code}), threads=4)
    assert sorted(answer.status_code for answer in answers) == [200, 410, 410, 410]
    assert UserSession.objects.filter(user=user).count() == 1


def test_parallel_wrong_passwords_never_pass_the_limit() -> None:
    user = make_user()
    answers = at_once(lambda _number: enter_password(Client(), user.email, "wrong"), threads=THREADS)
    assert 1 <= sum(answer.status_code == 200 for answer in answers) <= 10
    assert {answer.status_code for answer in answers} <= {200, 429}
    assert Throttle.objects.count() == 3
