"""URLs of the accounts: log-in, enrolment, log-out."""

from django.urls import URLPattern, path

from accounts.views import enrol, login

app_name = "accounts"
urlpatterns: list[URLPattern] = [
    path("login/", login.log_in, name="login"),
    path("verify/", login.verify, name="verify"),
    path("recovery/", login.recovery, name="recovery"),
    path("logout/", login.log_out, name="logout"),
    path("logged-out/", login.logged_out, name="logged-out"),
    path("enrol/", enrol.enrol, name="enrol"),
    path("enrol/<str:token>/", enrol.invite, name="invite"),
]
