"""Make, invite, deactivate and reset people; every act with its event, in its transaction.

The one way to change a person from outside log-in. Knows no mailboxes: those are spool's.
"""

import base64
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from urllib.parse import quote, urlencode

from django.conf import settings
from django.contrib.auth import password_validation
from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from accounts import sessions
from accounts.enums import Role
from accounts.models import Invite, RecoveryDevice, TOTPDevice, User
from accounts.models.device import SEED_OCTETS
from accounts.passwords import normalise
from accounts.sessions import target_of
from audit.escape import UNSAFE, UNSTORABLE
from audit.record import record
from audit.tags import Tag

INVITE_LIFE = timedelta(hours=72)


class ProvisionError(Exception):
    """The act is not possible; the text is a sentence for the operator."""


@dataclass(frozen=True)
class Enrolled:
    """A fresh TOTP factor: base32 secret and otpauth URI, never stored in clear and never shown again."""

    secret: str
    uri: str


def find(email: str) -> User:
    """Raises ProvisionError."""
    user = User.objects.filter(email=email.strip().lower()).first()
    if user is None:
        message = f"There is no person with the address {email.strip().lower()!r}."
        raise ProvisionError(message)
    return user


def clean_email(email: str) -> str:
    """Lower case, valid. Raises ProvisionError."""
    email = email.strip().lower()
    try:
        validate_email(email)
        if UNSAFE.search(email):
            raise ValidationError("steering characters")
    except ValidationError:
        message = f"{email!r} is not an e-mail address."
        raise ProvisionError(message) from None
    return email


def clean_name(name: str) -> str:
    """Without spaces around it; one line that steers nothing. Raises ProvisionError."""
    name = name.strip()[:200]
    if UNSAFE.search(name) or UNSTORABLE.search(name):
        raise ProvisionError("The name holds a line break or another character that cannot be shown.")
    return name


def hash_password(password: str, user: User) -> str:
    """Check against the rules and hash: slow, so call it outside transactions. Raises ProvisionError."""
    password = normalise(password)
    try:
        password_validation.validate_password(password, user)
    except ValidationError as error:
        raise ProvisionError(" ".join(error.messages)) from None
    return make_password(password)


def create_user(
    *,
    email: str,
    name: str = "",
    role: Role = Role.EMPLOYEE,
    password: str | None = None,
    demo: bool = False,
    drill: bool = False,
) -> User:
    """A person without a factor, who therefore cannot log in yet. Raises ProvisionError."""
    user = User(email=clean_email(email), name=clean_name(name), role=role, is_demo=demo, is_drill=drill)
    user.password = make_password(None) if password is None else hash_password(password, user)
    with transaction.atomic():
        if User.objects.filter(email=user.email).exists():
            message = f"There is already a person with the address {user.email!r}."
            raise ProvisionError(message)
        user.save()
        record(Tag.USER_CREATED, target=target_of(user), detail={"role": role})
        if password is not None:
            record(Tag.PASSWORD_SET, target=target_of(user))
    return user


def new_seed() -> bytes:
    return secrets.token_bytes(SEED_OCTETS)


def base32(seed: bytes) -> str:
    return base64.b32encode(seed).decode()


def otpauth_uri(user: User, seed: bytes) -> str:
    """Key URI of authenticator apps; the entry is called "einbox <host>"."""
    issuer = f"{settings.OTP_TOTP_ISSUER} {settings.PUBLIC_HOST}"
    label = f"{quote(issuer)}:{quote(user.email)}"
    return f"otpauth://totp/{label}?{urlencode({'secret': base32(seed), 'issuer': issuer}, quote_via=quote)}"


def add_totp(user: User, seed: bytes) -> TOTPDevice:
    """The person's only app from now on, inside the caller's transaction."""
    TOTPDevice.objects.filter(user=user).delete()
    device = TOTPDevice(user=user, name="app")
    device.seed = seed
    device.save()
    record(Tag.FACTOR_ENROLLED, target=target_of(user), detail={"factor": "totp"})
    return device


@transaction.atomic
def enrol_totp(user: User) -> Enrolled:
    """Enrol without the person: for operators at the command line, demo and drill."""
    seed = new_seed()
    add_totp(user, seed)
    return Enrolled(base32(seed), otpauth_uri(user, seed))


def has_factor(user: User) -> bool:
    """Recovery codes alone are no factor: they stand in for a lost one."""
    return bool(TOTPDevice.objects.filter(user=user, confirmed=True).exists())


def token_hash(token: str) -> str:
    return sha256(token.encode("utf-8", "replace")).hexdigest()


@transaction.atomic
def invite(user: User, *, now: datetime) -> str:
    """The absolute one-time link for enrolment; earlier links end. Raises ProvisionError."""
    user = User.objects.select_for_update().get(pk=user.pk)
    if not user.is_active:
        message = f"{user.email} is deactivated and cannot be invited."
        raise ProvisionError(message)
    if has_factor(user):
        message = f"{user.email} has a second factor already; reset it first."
        raise ProvisionError(message)
    revoke_invites(user, now=now)
    token = secrets.token_urlsafe(32)
    expires_at = now + INVITE_LIFE
    Invite.objects.create(user=user, token_hash=token_hash(token), created_at=now, expires_at=expires_at)
    record(Tag.INVITE_CREATED, target=target_of(user), detail={"expires_at": expires_at.isoformat()})
    return settings.PUBLIC_URL + reverse("accounts:invite", args=[token])


def revoke_invites(user: User, *, now: datetime) -> None:
    Invite.objects.filter(user=user, used_at__isnull=True, revoked_at__isnull=True).update(revoked_at=now)


@transaction.atomic
def deactivate(user: User, *, reason: str) -> None:
    """Close the account: sessions and links end at once, history stays. Raises ProvisionError."""
    now = timezone.now()
    if not User.objects.filter(pk=user.pk, is_active=True).update(is_active=False):
        message = f"{user.email} is deactivated already."
        raise ProvisionError(message)
    user.is_active = False
    revoke_invites(user, now=now)
    sessions.end(user, cause="deactivated", now=now)
    record(Tag.USER_DEACTIVATED, target=target_of(user), detail={"reason": reason})


@transaction.atomic
def reset_mfa(user: User, *, reason: str) -> None:
    """Take all factors away; sessions and links end at once. The person needs a new invite."""
    now = timezone.now()
    TOTPDevice.objects.filter(user=user).delete()
    RecoveryDevice.objects.filter(user=user).delete()
    revoke_invites(user, now=now)
    sessions.end(user, cause="factors reset", now=now)
    record(Tag.FACTOR_RESET, target=target_of(user), detail={"reason": reason})
