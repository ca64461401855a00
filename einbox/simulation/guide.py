"""What `make run` prints about the demo: log-ins, the codes of this moment, how to send a mail, the switch."""

import base64
import time

from django.conf import settings
from django_otp.oath import totp

from einbox.simulation import switch
from einbox.simulation.organisation import log_ins, primary_address
from einbox.simulation.post import DOMAIN

STEP = 30  # seconds a code lasts (RFC 6238)


def code_for(secret: str) -> str:
    """The six digits of this moment for a base32 TOTP secret."""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    return f"{totp(key, step=STEP):06d}"


def text() -> str:
    """Everything a person needs to try the demo."""
    left = STEP - int(time.time()) % STEP
    rows = "\n".join(
        f"  {email:<34} {role:<9} {password:<22} {code_for(secret)}  {secret}"
        for email, role, password, secret in log_ins()
    )
    state = "on" if switch.is_on(settings.HOME) else "off"
    host, port = settings.SMTP.host, settings.SMTP.port
    to = f"mara.lindqvist@{DOMAIN}"
    mail = f'"you@sender.example", "{to}", "Subject: Hello\\r\\n\\r\\nIt works."'
    again = (
        '\n  With it on there is no outage. To begin again: make manage ARGS="primary off", then '
        f'make manage ARGS="demo post";\n  or stop einbox and remove {settings.HOME}.'
        if switch.is_on(settings.HOME)
        else ""
    )
    return f"""
Demo organisation Kranich ({DOMAIN}). All people are invented; the accounts work on this machine only.

  {"e-mail":<34} {"role":<9} {"password":<22} code    TOTP secret
{rows}

  The codes are those of now ({left} s left); for fresh ones: make manage ARGS="demo"
  The simulated primary on {primary_address()} is {state}; switch it: make manage ARGS="primary on" (or off){again}

Send a mail:
  swaks --server {host}:{port} --from you@sender.example --to {to} --header "Subject: Hello" --body "It works."
  python3 -c 'import smtplib; smtplib.SMTP("{host}", {port}).sendmail({mail})'
"""
