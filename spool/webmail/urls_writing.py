"""URLs of writing: compose, reply, forward, drafts, outbox."""

from django.urls import URLPattern, path

from spool.webmail import outbox, starting, writing

urlpatterns: list[URLPattern] = [
    path("write/", starting.compose, name="compose"),
    path("write/<str:public_id>/", writing.draft, name="draft"),
    path("write/<str:public_id>/save", writing.save, name="draft-save"),
    path("m/<str:public_id>/reply", starting.answer_to, {"kind": "reply"}, name="reply"),
    path("m/<str:public_id>/reply-all", starting.answer_to, {"kind": "reply-all"}, name="reply-all"),
    path("m/<str:public_id>/forward", starting.answer_to, {"kind": "forward"}, name="forward"),
    path("outbox/", outbox.outbox, name="outbox"),
    path("outbox/<str:public_id>/", outbox.sent, name="sent"),
]
