"""URLs of reading: inbox, folders, message page, body, attachments, raw download, story."""

from django.urls import URLPattern, path

from spool.webmail import inbox, marks, message, search, theme

urlpatterns: list[URLPattern] = [
    path("", inbox.inbox, name="inbox"),
    path("starred/", inbox.inbox, {"folder": "starred"}, name="starred"),
    path("archive/", inbox.inbox, {"folder": "archive"}, name="archive"),
    path("junk/", inbox.inbox, {"folder": "junk"}, name="junk"),
    path("trash/", inbox.inbox, {"folder": "trash"}, name="trash"),
    path("box/<int:box_id>/", inbox.inbox, name="box"),
    path("search", search.search, name="search"),
    path("live", inbox.live, name="live"),
    path("theme", theme.switch, name="theme"),
    path("m/<str:public_id>/", message.show, name="message"),
    path("m/<str:public_id>/body", message.body, name="body"),
    path("m/<str:public_id>/part/<int:index>", message.part, name="part"),
    path("m/<str:public_id>/raw", message.raw, name="raw"),
    path("m/<str:public_id>/headers", message.headers, name="headers"),
    path("m/<str:public_id>/story", message.where, name="story"),
    path("m/<str:public_id>/band", message.band, name="band"),
    path("m/<str:public_id>/mark", marks.mark, name="mark"),
]
