"""Tags and filters of the design system: icons, times as a person reads them, sizes. Touches no database."""

from datetime import datetime, timedelta

from django import template
from django.templatetags.static import static
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

register = template.Library()
KILO = 1000


@register.simple_tag
def icon(name: str, size: str = "") -> SafeString:
    """One drawing of icons.svg; decoration only, so a word or an accessible name stands beside it."""
    return format_html(
        '<svg class="icon{}" aria-hidden="true" focusable="false"><use href="{}#{}"></use></svg>',
        f" icon--{size}" if size else "",
        static("einbox/icons.svg"),
        name,
    )


@register.filter
def breakable(address: str) -> SafeString:
    """An address that breaks before its @ when the line is short, never inside a name if that can be helped."""
    local, at, domain = address.rpartition("@")
    return format_html("{}<wbr>{}{}", local, at, domain) if at else format_html("{}", address)


@register.filter
def clock(moment: datetime | None) -> str:
    """`13:16` today, `23 Nov` before; in the reader's time zone."""
    if moment is None:
        return ""
    local = timezone.localtime(moment)
    if local.date() == timezone.localdate():
        return f"{local:%H:%M}"
    return date_format(local, "j M" if local.year == timezone.localdate().year else "j M Y")


@register.filter
def clock_exact(moment: datetime | None) -> str:
    """`13:16:05` today, `23 Nov, 13:16` before: for stories and evidence."""
    if moment is None:
        return ""
    local = timezone.localtime(moment)
    return f"{local:%H:%M:%S}" if local.date() == timezone.localdate() else date_format(local, "j M, H:i")


@register.filter
def moment_words(moment: datetime | None) -> str:
    """`Today 13:16` or `23 November, 13:16`."""
    if moment is None:
        return ""
    local = timezone.localtime(moment)
    if local.date() == timezone.localdate():
        return _("Today %(time)s") % {"time": f"{local:%H:%M}"}
    return date_format(local, "j F, H:i" if local.year == timezone.localdate().year else "j F Y, H:i")


@register.filter
def ago(moment: datetime | None) -> str:
    """`4 s`, `2 min`, `2 h 36 min`, `3 days` since `moment`; empty for none."""
    return "" if moment is None else span_words(timezone.now() - moment)


@register.filter
def span_words(span: timedelta) -> str:
    """A time span in at most two units."""
    seconds = max(0, int(span.total_seconds()))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 60:
        return _("%(n)d s") % {"n": seconds}
    if minutes < 60:
        return _("%(n)d min") % {"n": minutes}
    if hours < 24:
        return _("%(h)d h %(m)d min") % {"h": hours, "m": minutes % 60}
    return _("1 day") if days == 1 else _("%(n)d days") % {"n": days}


@register.filter
def octets(size: int | None) -> str:
    """`412 KB`: decimal units, as people's file managers show them."""
    number = float(size or 0)
    if number < KILO:
        return _("%(n)d bytes") % {"n": number}
    for unit in ("KB", "MB"):
        number /= KILO
        if number < KILO - 0.5:
            return f"{number:.1f} {unit}" if number < 10 and unit != "KB" else f"{number:.0f} {unit}"
    return f"{number / KILO:.1f} GB"


@register.filter
def initials(name: str) -> str:
    """`Tilda Kranich` becomes `TK`; an address gives its first letter."""
    words = [word for word in name.split("@", maxsplit=1)[0].replace(".", " ").split() if word[:1].isalnum()]
    return "".join(word[0] for word in (words[:1] + words[-1:] if len(words) > 1 else words)).upper() or "?"
