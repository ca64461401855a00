"""Log-in in stages: password, second factor, session. Decides and records; the views only ask and show.

Rules kept here: a try is counted before its work; a password is hashed outside any transaction (SQLite has one
writer); whoever has no factor, is inactive or unknown gets the answer and the work of a wrong password; what
burns a code and what opens the session commit together.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.http import HttpRequest
from django.middleware.csrf import rotate_token
from django.utils.crypto import constant_time_compare

from accounts import limits, passwords, recovery, sessions, throttle
from accounts.models import TOTPDevice, User
from accounts.network import Client
from accounts.provision import has_factor
from accounts.sessions import target_of
from accounts.throttle import Counter, Refused, Taken
from audit.context import ANONYMOUS, acting
from audit.record import record
from audit.tags import Tag

STAGE_LIFE = timedelta(minutes=5)
STAGE = "login_stage"  # session key: what is known after the password


@dataclass(frozen=True)
class Wrong:
    """The try was made and was not right."""


@dataclass(frozen=True)
class Wait:
    """The try was not made: too many before it. `seconds` until the next one."""

    seconds: int


@dataclass(frozen=True)
class Passed:
    """The stage is done; after the second one the session is open. `next_url` is not yet checked."""

    user: User
    next_url: str = ""


Outcome = Passed | Wrong | Wait


def _throttled(refused: Refused, *, stage: str, user: User | None, now: datetime) -> Wait:
    if refused.first:
        detail = {"stage": stage, "wait": refused.wait}
        record(Tag.LOGIN_THROTTLED, target=target_of(user) if user else None, detail=detail, outcome="denied", at=now)
    return Wait(refused.wait)


def _refused(*, stage: str, cause: str, user: User | None, now: datetime) -> Wrong:
    detail = {"stage": stage, "cause": cause}
    record(Tag.LOGIN_REFUSED, target=target_of(user) if user else None, detail=detail, outcome="denied", at=now)
    return Wrong()


def _password_counters(email: str, client: Client, browser: str) -> list[Counter]:
    """A browser that this person logged in from before has a counter of its own, so that strangers who use up the
    account's tries from elsewhere lock nobody out of it."""
    if browser:
        return [throttle.counter(limits.KNOWN_BROWSER, browser)]
    return [
        throttle.counter(limits.ACCOUNT, email),
        throttle.counter(limits.NETWORK, client.network),
        throttle.counter(limits.EVERYBODY, ""),
    ]


def _unfit(user: User | None) -> str:
    """Why this account cannot log in whatever the password, or ""."""
    if user is None:
        return "unknown"
    if not user.is_active:
        return "inactive"
    return "" if has_factor(user) else "no factor"


def check_password(
    request: HttpRequest,
    *,
    email: str,
    password: str,
    next_url: str,
    client: Client,
    browsers: dict[int, str],
    now: datetime,
) -> Outcome:
    """First stage. `browsers` are the people this browser belongs to (accounts.browser)."""
    email = email.strip().lower()
    user = User.objects.filter(email=email).first()
    browser = browsers.get(user.pk, "") if user else ""
    with acting(ANONYMOUS), transaction.atomic():
        taken = throttle.take(_password_counters(email, client, browser), now=now)
        if isinstance(taken, Refused):
            return _throttled(taken, stage="password", user=user, now=now)
    right = passwords.matches(password, user.password if user else None)
    cause = _unfit(user) or ("" if right else "password")
    if user is None or cause:
        with acting(ANONYMOUS), transaction.atomic():
            return _refused(stage="password", cause=cause, user=user, now=now)
    throttle.give_back(taken, now=now)
    request.session.flush()  # nothing planted before survives, and the key is new
    stage = {"user": user.pk, "binding": user.get_session_auth_hash(), "at": now.timestamp(), "next": next_url[:2000]}
    request.session[STAGE] = stage
    rotate_token(request)
    return Passed(user)


def pending(request: HttpRequest, *, now: datetime) -> Passed | None:
    """Who has passed the password stage: at most five minutes ago, and nothing has changed since."""
    stage = request.session.get(STAGE)
    if not isinstance(stage, dict):
        return None
    age = now.timestamp() - stage["at"]
    user = User.objects.filter(pk=stage["user"], is_active=True).first()
    if user is None or not 0 <= age <= STAGE_LIFE.total_seconds():
        return None
    if not constant_time_compare(stage["binding"], user.get_session_auth_hash()) or not has_factor(user):
        return None
    return Passed(user, stage["next"])


def _take_code(user: User, now: datetime) -> Taken | Refused:
    return throttle.take([throttle.counter(limit, str(user.pk)) for limit in limits.CODE], now=now)


@transaction.atomic
def check_totp(request: HttpRequest, passed: Passed, code: str, *, client: Client, now: datetime) -> Outcome:
    """Second stage with the app's six digits."""
    user = passed.user
    with acting(ANONYMOUS):
        taken = _take_code(user, now)
        if isinstance(taken, Refused):
            return _throttled(taken, stage="totp", user=user, now=now)
        devices = TOTPDevice.objects.filter(user=user, confirmed=True, user__is_active=True)
        device = next((device for device in devices if device.accept(code, now=now)), None)
        if device is None:
            return _refused(stage="totp", cause="code", user=user, now=now)
    throttle.give_back(taken, now=now)
    sessions.open_session(request, user, device, factor="totp", client=client, now=now)
    request.session.pop(STAGE, None)
    return passed


def check_recovery(request: HttpRequest, passed: Passed, typed: str, *, client: Client, now: datetime) -> Outcome:
    """Second stage with a code from paper, which is then used up."""
    user = passed.user
    with acting(ANONYMOUS), transaction.atomic():
        taken = _take_code(user, now)
        if isinstance(taken, Refused):
            return _throttled(taken, stage="recovery", user=user, now=now)
    code = recovery.match(user, typed)  # slow, so outside
    with transaction.atomic():
        active = User.objects.filter(pk=user.pk, is_active=True).exists()
        if code is None or not active or not recovery.burn(code, now=now):
            with acting(ANONYMOUS):
                return _refused(stage="recovery", cause="code", user=user, now=now)
        throttle.give_back(taken, now=now)
        with acting(sessions.actor_of(user)):
            record(Tag.RECOVERY_CODE_USED, target=target_of(user), detail={"left": recovery.left(user)}, at=now)
        sessions.open_session(request, user, code.device, factor="recovery", client=client, now=now)
        request.session.pop(STAGE, None)
    return passed
