"""Pages of enrolment: the invite link, then password, app and recovery codes. accounts.enrolment decides."""

import segno
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from accounts import browser, enrolment, provision
from accounts.enrolment import Enrolment
from accounts.forms import CodeForm, PasswordForm
from accounts.network import client_of
from accounts.views.pages import render_gate


def refused(request: HttpRequest) -> HttpResponse:
    return render_gate(request, "accounts/invite_refused.html", status=410)


def without_referrer(response: HttpResponse) -> HttpResponse:
    """For answers to the URL that holds the token. The steps keep same-origin: under no-referrer browsers post
    `Origin: null`, which the CSRF check must refuse, and their URL holds nothing."""
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


@require_safe
def invite(request: HttpRequest, token: str) -> HttpResponse:
    """The link from IT: the token leaves the address bar at once."""
    if not enrolment.begin(request, token, client=client_of(request), now=timezone.now()):
        return without_referrer(refused(request))
    return without_referrer(redirect("accounts:enrol"))


@require_http_methods(["GET", "HEAD", "POST"])
def enrol(request: HttpRequest) -> HttpResponse:
    """Whichever step is next: password, or app and code."""
    state = enrolment.current(request, now=timezone.now())
    if state is None:
        return refused(request)
    if not state.password_hash:
        return password(request, state)
    return app(request, state)


def password(request: HttpRequest, state: Enrolment) -> HttpResponse:
    form = PasswordForm(state.user, request.POST or None, initial={"username": state.user.email})
    if request.method == "POST" and form.is_valid():
        enrolment.choose_password(request, form.cleaned_data["password"])
        return redirect("accounts:enrol")
    return render_gate(request, "accounts/enrol_password.html", {"form": form, "person": state.user})


def app(request: HttpRequest, state: Enrolment) -> HttpResponse:
    form = CodeForm(request.POST or None)
    error = ""
    if request.method == "POST" and "code" in request.POST:
        now = timezone.now()
        code = form.cleaned_data["code"] if form.is_valid() else ""
        done = enrolment.confirm(request, state, code, client=client_of(request), now=now)
        if done is not None:
            response = render_gate(request, "accounts/enrol_codes.html", {"codes": done.codes, "person": done.user})
            browser.remember(request, response, done.user)
            return response
        if enrolment.current(request, now=now) is None:
            return refused(request)
        error = _("That code is not right. Wait for the next one and try again.")
    context = {"form": form, "error": error, "person": state.user, **setup(state)}
    return render_gate(request, "accounts/enrol_app.html", context)


def setup(state: Enrolment) -> dict[str, object]:
    """What the app needs: a picture to scan, or the same key to type, in groups of four."""
    uri = provision.otpauth_uri(state.user, state.seed)
    secret = provision.base32(state.seed)
    groups = " ".join(secret[start : start + 4] for start in range(0, len(secret), 4))
    return {"picture": qr_picture(uri), "uri": uri, "secret": groups}


def qr_picture(uri: str) -> str:
    """A data: URI of an SVG, dark on light in every colour scheme, with the quiet zone that scanners need."""
    return str(segno.make(uri, error="m").svg_data_uri(scale=6, border=4, dark="#000", light="#fff"))
