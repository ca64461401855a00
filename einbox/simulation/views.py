"""The switch of the simulated primary, for admins, on the console of the demo. Mounted only with EINBOX_DEMO=1."""

from django.conf import settings
from django.contrib import messages as notes
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from accounts.access import AuthenticatedRequest, role_required
from accounts.enums import Role
from einbox.simulation import switch


@require_http_methods(["GET", "HEAD", "POST"])
@role_required(Role.ADMIN)
def primary(request: AuthenticatedRequest) -> HttpResponse:
    """GET: a fragment that says whether the primary is on. POST `on` (1 or 0): the wish, and back to the console."""
    if request.method == "POST":
        on = request.POST.get("on") == "1"
        switch.turn(settings.HOME, on=on)
        said = _("The simulated server is switched on.") if on else _("The simulated server is switched off.")
        notes.success(request, said)
        return HttpResponseRedirect(reverse("spool:console"))
    return render(request, "einbox/demo_primary.html", {"is_on": switch.is_on(settings.HOME)})
