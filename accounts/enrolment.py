"""Enrolment by invite: password, app, code, recovery codes. Nothing of it is stored until the code is right.

Between the steps the person's session holds the invite, the hash of the password and the sealed seed. What ends
the invite, sets the password and makes the factors commits together. Half an enrolment leaves no trace.
"""

from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.http import HttpRequest
from django.middleware.csrf import rotate_token

from accounts import crypto, limits, provision, recovery, sessions, throttle
from accounts.models import Invite, User
from accounts.models.device import matching_step
from accounts.network import Client
from accounts.sessions import actor_of, target_of
from audit.context import acting
from audit.record import record
from audit.tags import Tag

STATE = "enrolment"  # session key


@dataclass(frozen=True)
class Enrolment:
    """One person's way through the steps."""

    invite: Invite
    password_hash: str
    seed: bytes

    @property
    def user(self) -> User:
        return self.invite.user


@dataclass(frozen=True)
class Done:
    """The person is enrolled and logged in; the codes are shown once."""

    user: User
    codes: list[str]


def _usable(invite: Invite | None, now: datetime) -> str:
    """Why the invite opens nothing, or ""."""
    if invite is None:
        return "unknown"
    if invite.used_at:
        return "used"
    if invite.revoked_at or not invite.user.is_active:
        return "revoked"
    return "expired" if now >= invite.expires_at else ""


def begin(request: HttpRequest, token: str, *, client: Client, now: datetime) -> bool:
    """Take the token out of the URL into the session. Looking at a link uses nothing up (mail scanners look)."""
    invite = Invite.objects.select_related("user").filter(token_hash=provision.token_hash(token)).first()
    cause = _usable(invite, now)
    if invite is None or cause:
        _refuse(invite, cause, client=client, now=now)
        return False
    request.session.flush()
    seed = crypto.seal(provision.new_seed(), f"enrolment:{invite.pk}")
    request.session[STATE] = {"invite": invite.pk, "password": "", "seed": seed.hex()}
    rotate_token(request)
    return True


@transaction.atomic
def _refuse(invite: Invite | None, cause: str, *, client: Client, now: datetime) -> None:
    """An event for each of the first tries of a network; a flood of them says no more."""
    if isinstance(throttle.take([throttle.counter(limits.INVITE, client.network)], now=now), throttle.Taken):
        target = target_of(invite.user) if invite else None
        record(Tag.INVITE_REFUSED, target=target, detail={"cause": cause}, outcome="denied", at=now)


def current(request: HttpRequest, *, now: datetime) -> Enrolment | None:
    """Where this browser stands; None without a usable invite."""
    state = request.session.get(STATE)
    if not isinstance(state, dict):
        return None
    invite = Invite.objects.select_related("user").filter(pk=state["invite"]).first()
    if invite is None or _usable(invite, now):
        return None
    seed = crypto.unseal(bytes.fromhex(state["seed"]), f"enrolment:{invite.pk}")
    return Enrolment(invite, state["password"], seed)


def choose_password(request: HttpRequest, password: str) -> None:
    """Keep the hash of a password that PasswordForm found good."""
    request.session[STATE] = {**request.session[STATE], "password": make_password(password)}


def confirm(request: HttpRequest, state: Enrolment, code: str, *, client: Client, now: datetime) -> Done | None:
    """Finish with a code of the app just set up; None if it is not right or the invite has ended meanwhile.

    No limit on tries: the seed is on the person's own screen, so there is nothing to guess.
    """
    step = matching_step(state.seed, code, now=now)
    if step is None or not state.password_hash:
        return None
    codes = recovery.new_codes()
    hashed = recovery.hashes(codes)  # slow, so outside
    with transaction.atomic(), acting(actor_of(state.user)):
        if not _use_up(state.invite, now=now):
            return None
        _store(request, state, step, hashed, client=client, now=now)
    return Done(state.user, [recovery.shown(code) for code in codes])


def _use_up(invite: Invite, *, now: datetime) -> bool:
    """Whether this caller, of all at once, used the invite up.

    No condition of another table: Django would put all of them into a subquery, and PostgreSQL does not ask a
    subquery again after it has waited for the row.
    """
    fresh = Invite.objects.filter(pk=invite.pk, used_at__isnull=True, revoked_at__isnull=True, expires_at__gt=now)
    return bool(fresh.update(used_at=now)) and User.objects.filter(pk=invite.user_id, is_active=True).exists()


def _store(
    request: HttpRequest,
    state: Enrolment,
    step: int,
    hashed: list[tuple[str, str]],
    *,
    client: Client,
    now: datetime,
) -> None:
    user = state.user
    user.password = state.password_hash
    user.save(update_fields=["password"])
    sessions.end(user, cause="enrolled again", now=now)
    record(Tag.INVITE_USED, target=target_of(user), at=now)
    record(Tag.PASSWORD_SET, target=target_of(user), at=now)
    device = provision.add_totp(user, state.seed)
    device.last_step = step  # this code is used up
    device.save(update_fields=["last_step"])
    recovery.store(user, hashed)
    record(Tag.RECOVERY_CODES_MADE, target=target_of(user), detail={"count": len(hashed)}, at=now)
    request.session.flush()
    sessions.open_session(request, user, device, factor="totp", client=client, now=now)
