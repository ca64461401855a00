"""What a person is told at log-in: acts on their account since the last time that they may not have done themselves.

Read from the audit log; nothing is kept for it.
"""

from datetime import datetime

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import User, UserSession
from audit.models import Event
from audit.tags import Tag

MOST = 5
TOLD = (Tag.FACTOR_RESET, Tag.FACTOR_ENROLLED, Tag.PASSWORD_SET, Tag.USER_CHANGED)


def _when(at: datetime) -> str:
    return date_format(timezone.localtime(at), "j M Y, H:i")


def _sentence(event: Event) -> str:
    words = {"when": _when(event.at), "who": event.actor_label}
    if event.tag == Tag.FACTOR_RESET.value:
        return _("%(when)s: %(who)s reset your second factor.") % words
    if event.tag == Tag.FACTOR_ENROLLED.value:
        return _("%(when)s: %(who)s set up a second factor for you.") % words
    if event.tag == Tag.PASSWORD_SET.value:
        return _("%(when)s: %(who)s set your password.") % words
    return _("%(when)s: %(who)s changed your account.") % words


def since_last_log_in(user: User, *, now: datetime) -> list[str]:
    """Sentences, oldest first. Call it after the new session is open. Made-up people are told nothing."""
    if user.is_demo or user.is_drill:
        return []
    before = UserSession.objects.filter(user=user, created_at__lt=now).order_by("-created_at").first()
    since = before.created_at if before else user.date_joined
    events = Event.objects.filter(target_kind="user", target_id=str(user.pk), at__gte=since, at__lt=now)
    acts = events.filter(tag__in=[tag.value for tag in TOLD]).exclude(actor_kind="user", actor_id=user.pk)
    told = [_sentence(event) for event in acts.order_by("at", "id")[:MOST]]
    recovered = events.filter(tag=Tag.RECOVERY_CODE_USED.value).order_by("at").last()
    if recovered is not None:
        told.append(_("%(when)s: a recovery code was used.") % {"when": _when(recovered.at)})
    wrong = events.filter(tag=Tag.LOGIN_REFUSED.value, detail__cause="code").count()
    if wrong > MOST:
        told.append(
            ngettext(
                "%(count)d wrong code was entered with your password. Was it you?",
                "%(count)d wrong codes were entered with your password. Was it you?",
                wrong,
            )
            % {"count": wrong}
        )
    return told
