"""Pages of log-in and log-out. They ask and show; accounts.login decides."""

from collections.abc import Callable
from datetime import datetime

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout as end_django_session
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import browser, login, notices, passwords, sessions
from accounts.forms import CodeForm, LoginForm, RecoveryForm
from accounts.login import Outcome, Passed, Wait
from accounts.middleware import safe_next
from accounts.models import User
from accounts.network import client_of
from accounts.views.pages import render_gate


def wait_text(seconds: int) -> str:
    """How long to wait, in seconds below two minutes."""
    if seconds < 120:
        return ngettext(
            "Too many tries. Try again in %(count)d second.", "Too many tries. Try again in %(count)d seconds.", seconds
        ) % {"count": seconds}
    return _("Too many tries. Try again in %(count)d minutes.") % {"count": -(-seconds // 60)}


def show(
    request: HttpRequest, template: str, context: dict[str, object], outcome: Outcome | None = None, wrong: str = ""
) -> HttpResponse:
    """The form again, with the one sentence that says what to do."""
    refused = outcome is not None
    context["error"] = wait_text(outcome.seconds) if isinstance(outcome, Wait) else wrong if refused else ""
    response = render_gate(request, template, context)
    if isinstance(outcome, Wait):
        response.status_code = 429
        response.headers["Retry-After"] = str(outcome.seconds)
    return response


def is_verified(request: HttpRequest) -> bool:
    return isinstance(request.user, User) and request.user.is_verified()  # type: ignore[attr-defined]


def enter(request: HttpRequest, passed: Passed, now: datetime) -> HttpResponse:
    for sentence in notices.since_last_log_in(passed.user, now=now):
        messages.warning(request, sentence)
    response = HttpResponseRedirect(safe_next(passed.next_url))
    browser.remember(request, response, passed.user)
    return response


@require_http_methods(["GET", "HEAD", "POST"])
def log_in(request: HttpRequest) -> HttpResponse:
    """First step: address and password."""
    if is_verified(request):
        return HttpResponseRedirect(safe_next(request.GET.get("next")))
    if request.method != "POST":
        passwords.decoy()  # made before the first try is timed
        context = {"form": LoginForm(), "next": request.GET.get("next", ""), "late": "late" in request.GET}
        return show(request, "accounts/login.html", context)
    form = LoginForm(request.POST)
    next_url = request.POST.get("next", "")
    outcome: Outcome = login.Wrong()
    if form.is_valid():
        outcome = login.check_password(
            request,
            email=form.cleaned_data["username"],
            password=form.cleaned_data["password"],
            next_url=next_url,
            client=client_of(request),
            browsers=browser.read(request),
            now=timezone.now(),
        )
    if isinstance(outcome, Passed):
        return redirect("accounts:verify")
    wrong = _("Address or password is not right. Check both and try again.")
    return show(request, "accounts/login.html", {"form": form, "next": next_url}, outcome, wrong)


@require_http_methods(["GET", "HEAD", "POST"])
def verify(request: HttpRequest) -> HttpResponse:
    """Second step: six digits of the app."""
    wrong = _("That code is not right or was used already. Wait for the next one and try again.")
    return _second_step(request, CodeForm, login.check_totp, "accounts/verify.html", wrong)


@require_http_methods(["GET", "HEAD", "POST"])
def recovery(request: HttpRequest) -> HttpResponse:
    """Second step: a code from paper."""
    wrong = _("That code is not right or was used already. Take the next one on your sheet.")
    return _second_step(request, RecoveryForm, login.check_recovery, "accounts/recovery.html", wrong)


def _second_step(
    request: HttpRequest,
    form_class: type[CodeForm] | type[RecoveryForm],
    check: Callable[..., Outcome],
    template: str,
    wrong: str,
) -> HttpResponse:
    now = timezone.now()
    passed = login.pending(request, now=now)
    if passed is None:
        return late(request)
    form = form_class(request.POST or None)
    outcome: Outcome | None = None
    if request.method == "POST":
        outcome = login.Wrong()
        if form.is_valid():
            code = form.cleaned_data["code"]
            outcome = check(request, passed, code, client=client_of(request), now=now)
    if isinstance(outcome, Passed):
        return enter(request, outcome, now)
    return show(request, template, {"form": form}, outcome, wrong)


def late(request: HttpRequest) -> HttpResponse:
    """The first step is missing or older than five minutes: begin again, nothing to see here."""
    if is_verified(request):
        return redirect(settings.LOGIN_REDIRECT_URL)
    response: HttpResponse = redirect("accounts:login")
    if login.STAGE in request.session:
        request.session.flush()
        response.headers["Location"] += "?late"
    return response


@require_POST
def log_out(request: HttpRequest) -> HttpResponse:
    """End the session on the server, then forget it in the browser."""
    assert isinstance(request.user, User)
    now = timezone.now()
    row = sessions.live(request.user, request.session.session_key, now=now)
    if row is not None:
        sessions.end(request.user, cause="log-out", now=now, only=row)
    end_django_session(request)
    response: HttpResponse = redirect("accounts:logged-out")
    response.headers["Clear-Site-Data"] = '"cache", "storage"'
    return response


@require_safe
def logged_out(request: HttpRequest) -> HttpResponse:
    return render_gate(request, "accounts/logged_out.html")
