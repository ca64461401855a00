"""Inputs of log-in and enrolment, with the autocomplete values that password managers know."""

from typing import Any

from django import forms
from django.contrib.auth import password_validation
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.models.device import DIGITS
from accounts.passwords import MAX_LENGTH, normalise


class LoginForm(forms.Form):
    username = forms.CharField(
        label=_("Work e-mail address"),
        max_length=320,
        widget=forms.EmailInput(attrs={"autocomplete": "username", "autocapitalize": "none", "spellcheck": "false"}),
    )
    password = forms.CharField(
        label=_("einbox password"),
        max_length=MAX_LENGTH,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )


class CodeForm(forms.Form):
    """Spaces are forgiven: apps show the six digits in two groups."""

    code = forms.CharField(
        label=_("Six digits"),
        max_length=32,
        widget=forms.TextInput(
            attrs={
                "autocomplete": "one-time-code",
                "inputmode": "numeric",
                "class": "code__input",
                "spellcheck": "false",
            }
        ),
    )

    def clean_code(self) -> str:
        return "".join(str(self.cleaned_data["code"]).split())[: DIGITS + 1]


class RecoveryForm(forms.Form):
    code = forms.CharField(
        label=_("Recovery code"),
        max_length=64,
        widget=forms.TextInput(
            attrs={"autocomplete": "off", "autocapitalize": "characters", "spellcheck": "false", "class": "input mono"}
        ),
    )


class PasswordForm(forms.Form):
    """A new password, typed once: it can be shown, so a second field would only be copied into."""

    username = forms.CharField(required=False, widget=forms.HiddenInput(attrs={"autocomplete": "username"}))
    password = forms.CharField(
        label=_("New einbox password"),
        max_length=MAX_LENGTH,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def clean_password(self) -> str:
        password = normalise(str(self.cleaned_data["password"]))
        password_validation.validate_password(password, self.user)
        return password
