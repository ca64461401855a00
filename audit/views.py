"""Pages of the security team: the list of events and one event. Every look is an event itself."""

from urllib.parse import urlencode

from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET

from audit.access import SECURITY, roles_required
from audit.chart import draw
from audit.models import Event
from audit.queries import CursorError, Filter, chain_state, counts_by_hour, page
from audit.record import Target, record
from audit.tags import Tag
from audit.wording import details, row

CHARTS = {"wide": (720, 160), "narrow": (350, 140)}  # px; the stylesheet shows one of them


class FilterForm(forms.Form):
    """The filter above the list; what is not one of the choices asks for everything."""

    group = forms.ChoiceField(
        label=_("What"),
        required=False,
        choices=[
            ("", _("Everything")),
            ("people", _("Log-ins and people")),
            ("mail", _("Reading and writing")),
            ("spool", _("Queue and outages")),
            ("log", _("This log")),
            ("system", _("Installation")),
        ],
    )
    person = forms.CharField(label=_("Person"), required=False, max_length=200)
    outcome = forms.ChoiceField(
        label=_("Outcome"),
        required=False,
        choices=[("", _("Any")), ("ok", _("Done")), ("other", _("Refused or failed"))],
    )
    period = forms.ChoiceField(
        label=_("When"),
        required=False,
        choices=[
            ("", _("Any time")),
            ("hour", _("Last hour")),
            ("day", _("Last 24 hours")),
            ("week", _("Last 7 days")),
            ("month", _("Last 30 days")),
        ],
    )

    def filter(self) -> Filter:
        self.is_valid()  # a field that is not valid is absent from cleaned_data, and so asks for everything
        return Filter(**self.cleaned_data)


@require_GET
@roles_required(SECURITY)
def dashboard(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    form = FilterForm(request.GET)
    wanted = form.filter()
    cursor = request.GET.get("before", "")
    try:
        found = page(wanted, now=now, cursor=cursor)
    except CursorError as error:
        raise Http404 from error
    counts = counts_by_hour(wanted, now=now)
    record(Tag.AUDIT_VIEWED, detail={"filter": wanted.asked()}, at=now)
    return render(
        request,
        "audit/dashboard.html",
        {
            "nav_here": "audit",
            "form": form,
            "rows": [row(event) for event in found.events],
            "older": urlencode(wanted.asked() | {"before": found.older}) if found.older else "",
            "filtered": bool(wanted.asked()),
            "first_page": not cursor,
            "newest": urlencode(wanted.asked()),
            "chain": chain_state(),
            "charts": {name: draw(counts, width=width, height=height) for name, (width, height) in CHARTS.items()},
            "counted": sum(count for _hour, count in counts),
        },
    )


@require_GET
@roles_required(SECURITY)
def event(request: HttpRequest, event_id: int) -> HttpResponse:
    """One event with everything that was hashed, and its neighbours in the chain."""
    found = get_object_or_404(Event, pk=event_id)
    neighbours = {}
    if found.seq is not None:
        beside = Event.objects.filter(seq__in=(found.seq - 1, found.seq + 1)).in_bulk(field_name="seq")
        neighbours = {"before": beside.get(found.seq - 1), "after": beside.get(found.seq + 1)}
    record(Tag.AUDIT_VIEWED, target=Target("event", str(found.pk)), detail={"filter": {}})
    context = {"nav_here": "audit", "event": found, "row": row(found), "details": details(found)}
    return render(request, "audit/event.html", context | neighbours)
