"""People made, imported, deactivated and reset: each act with its event, none by halves."""

from io import StringIO

import pytest
from django.utils import timezone

from accounts import importing, provision
from accounts.enums import Role
from accounts.models import Invite, RecoveryDevice, TOTPDevice, User
from accounts.provision import ProvisionError
from audit.context import Actor, acting
from audit.models import Event
from audit.tags import Tag
from tests.factories.accounts import make_user

pytestmark = pytest.mark.django_db


def tags() -> list[str]:
    return list(Event.objects.order_by("at", "id").values_list("tag", flat=True))


def test_a_person_is_made_in_lower_case_and_cannot_log_in_yet() -> None:
    user = provision.create_user(email=" Tilda@Example.ORG ", name="Tilda", role=Role.SECURITY)
    assert (user.email, user.role, user.has_usable_password()) == ("tilda@example.org", Role.SECURITY, False)
    assert not provision.has_factor(user)
    assert tags() == [Tag.USER_CREATED.value]


@pytest.mark.parametrize(
    "email", ["", "tilda", "a@b@c.org", "a b@example.org", "a@example.org\nBcc: x", "x" * 400 + "@a.org"]
)
def test_what_is_no_address_makes_nobody(email: str) -> None:
    with pytest.raises(ProvisionError, match="not an e-mail address"):
        provision.create_user(email=email)
    assert not User.objects.exists()


def test_nobody_is_made_twice() -> None:
    provision.create_user(email="a@example.org")
    with pytest.raises(ProvisionError, match="already"):
        provision.create_user(email="A@example.org")


def test_operators_cannot_set_a_weak_password() -> None:
    with pytest.raises(ProvisionError, match="too short"):
        provision.create_user(email="a@example.org", password="short")
    assert not User.objects.exists()


def test_the_app_is_shown_once_and_replaces_the_one_before() -> None:
    user = make_user()
    first = TOTPDevice.objects.get(user=user).seed
    enrolled = provision.enrol_totp(user)
    assert provision.base32(TOTPDevice.objects.get(user=user).seed) == enrolled.secret != provision.base32(first)
    assert enrolled.uri.startswith("otpauth://totp/einbox%20localhost:")
    assert enrolled.secret in enrolled.uri
    assert enrolled.secret not in str(list(Event.objects.values()))


def test_deactivation_is_an_event_with_its_reason_and_actor() -> None:
    user = make_user()
    with acting(Actor("operator", None, "operator:root")):
        provision.deactivate(user, reason="left the company")
    event = Event.objects.get(tag=Tag.USER_DEACTIVATED.value)
    assert (event.actor_label, event.detail) == ("operator:root", {"reason": "left the company"})
    with pytest.raises(ProvisionError, match="already"):
        provision.deactivate(user, reason="again")


def test_a_reset_takes_every_factor_and_link() -> None:
    user = make_user(factor=False)
    provision.invite(user, now=timezone.now())
    provision.enrol_totp(user)
    RecoveryDevice.objects.create(user=user, name="paper")
    provision.reset_mfa(user, reason="lost phone")
    assert not TOTPDevice.objects.exists()
    assert not RecoveryDevice.objects.exists()
    assert not Invite.objects.filter(revoked_at__isnull=True).exists()
    assert Event.objects.get(tag=Tag.FACTOR_RESET.value).detail == {"reason": "lost phone"}


def test_people_come_from_a_file() -> None:
    make_user(email="known@example.org")
    lines = StringIO("role,email,name\nadmin,A@example.org,Ann\n,b@example.org,\n,known@example.org,New name\n")
    imported = importing.import_people(lines)
    assert [(user.email, user.role, user.name) for user in imported.created] == [
        ("a@example.org", "admin", "Ann"),
        ("b@example.org", "employee", ""),
    ]
    assert imported.skipped == ("known@example.org",)
    assert Event.objects.get(tag=Tag.USER_IMPORTED.value).detail == {"created": 2, "skipped": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must name the columns"),
        ("mail,name\na@example.org,A\n", "must name the columns"),
        ("email,password\na@example.org,x\n", "must name the columns"),
        ("email\na@example.org\nnonsense\n", "Line 3: 'nonsense' is not"),
        ("email,role\na@example.org,root\n", "Line 2: the role must be"),
        ("email\na@example.org,more,fields\n", "Line 2: it has more fields"),
    ],
)
def test_a_bad_file_imports_nobody(text: str, message: str) -> None:
    with pytest.raises(ProvisionError, match=message):
        importing.import_people(StringIO(text))
    assert not User.objects.exists()
    assert tags() == []
