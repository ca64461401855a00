"""Verified sessions: opened by accounts.login, checked on every request, ended at once when they must be.

Django's session row holds the browser's state; the registry row (UserSession) decides whether it counts.
"""

from datetime import datetime, timedelta
from hashlib import sha256

from django.conf import settings
from django.contrib.auth import login
from django.db import transaction
from django.db.models import Q
from django.http import HttpRequest
from django_otp import login as otp_login
from django_otp.models import Device

from accounts.backends import PATH
from accounts.models import User, UserSession
from accounts.network import Client
from audit.context import Actor, acting
from audit.record import Target, record
from audit.tags import Tag

TOUCH = timedelta(seconds=60)  # how exact `seen_at` is; saves a write on most requests


def key_hash(session_key: str | None) -> str:
    return sha256((session_key or "").encode()).hexdigest()


def actor_of(user: User) -> Actor:
    return Actor("user", user.pk, user.email)


def target_of(user: User) -> Target:
    return Target("user", str(user.pk), user.email)


def open_session(
    request: HttpRequest, user: User, device: Device, *, factor: str, client: Client, now: datetime
) -> None:
    """Make the browser's session a verified one under a new key, inside the caller's transaction."""
    login(request, user, backend=PATH)  # a new key, and a new CSRF secret
    otp_login(request, device)
    known = UserSession.objects.filter(user=user, network=client.network).exists()
    UserSession.objects.create(
        user=user,
        key_hash=key_hash(request.session.session_key),
        factor=factor,
        network=client.network,
        user_agent=client.user_agent,
        created_at=now,
        seen_at=now,
        expires_at=now + timedelta(seconds=settings.SESSION_ABSOLUTE),
    )
    with acting(actor_of(user), drill=user.is_drill or None):
        record(
            Tag.LOGIN_SUCCEEDED,
            target=target_of(user),
            detail={"factor": factor, "new_network": not known},
            at=now,
        )


def _over(row: UserSession, now: datetime) -> str:
    """Why the session is over at `now`, or ""."""
    if now >= row.expires_at:
        return "absolute"
    if now >= row.seen_at + timedelta(seconds=settings.SESSION_IDLE):
        return "idle"
    return ""


def live(user: User, session_key: str | None, *, now: datetime, background: bool = False) -> UserSession | None:
    """The registry row of a session that counts at `now`. A request in the `background` is no sign of a person."""
    row = UserSession.objects.filter(key_hash=key_hash(session_key), user=user, ended_at__isnull=True).first()
    if row is None:
        return None
    if cause := _over(row, now):
        end(user, cause=cause, now=now, only=row)
        return None
    if not background and now - row.seen_at >= TOUCH:
        UserSession.objects.filter(pk=row.pk, seen_at__lt=now).update(seen_at=now)
    return row


@transaction.atomic
def end(user: User, *, cause: str, now: datetime, only: UserSession | None = None) -> int:
    """End all sessions of `user`, or `only` one; they are refused from the next request on. Returns how many."""
    rows = UserSession.objects.filter(user=user, ended_at__isnull=True)
    if only is not None:
        rows = rows.filter(pk=only.pk)
    count = rows.update(ended_at=now, end_cause=cause)
    if count:
        record(Tag.LOGOUT, target=target_of(user), detail={"cause": cause}, at=now)
    return count


def close_overdue(*, now: datetime, limit: int = 500) -> int:
    """End sessions that are over though nobody came back to notice; returns how many."""
    idle = now - timedelta(seconds=settings.SESSION_IDLE)
    over = UserSession.objects.filter(ended_at__isnull=True).filter(Q(expires_at__lte=now) | Q(seen_at__lte=idle))
    return sum(end(row.user, cause=_over(row, now), now=now, only=row) for row in over.select_related("user")[:limit])
