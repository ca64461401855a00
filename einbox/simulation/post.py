"""The mail that arrives in the demo: what people outside write during an outage, sent by real SMTP.

All senders are invented and live in reserved domains (RFC 2606).
"""

import smtplib
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid

from einbox.env import HostPort

DOMAIN = "kranich.example"
MARA, JONAS, INFO = f"mara.lindqvist@{DOMAIN}", f"jonas.achterberg@{DOMAIN}", f"info@{DOMAIN}"
RETRY_SECONDS = 0.5
GIVE_UP_SECONDS = 90.0

HTML_QUOTE = """<html><body style="font-family: sans-serif"><h2>Quote 4411</h2>
<p>Dear Mara,</p><p>as discussed, our offer for the <b>new loading bay</b>:</p>
<table border="1" cellpadding="6"><tr><th>Item</th><th>Price</th></tr>
<tr><td>Hydraulic ramp</td><td align="right">€ 8,400</td></tr>
<tr><td>Installation</td><td align="right">€ 1,950</td></tr></table>
<p>The offer stands until Friday.</p><p>Ruben Castellanos<br>Nordwall Ramps</p></body></html>"""

HTML_NEWS = """<html><body><h1>Harbour News</h1>
<img src="https://pixel.harbour-news.example/open.gif?id=42" width="1" height="1" alt="">
<p>Three new cranes, one old lighthouse, and what the tide tables say about May.</p>
<p><a href="https://harbour-news.example/may">Read on</a> · <a href="https://harbour-news.example/leave">Leave</a></p>
</body></html>"""

INVITATION = """BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Fjordline//EN\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r
UID:berth-12@fjordline.example\r\nDTSTAMP:20260105T080000Z\r\nDTSTART:20260112T090000Z\r\nDTEND:20260112T093000Z\r
SUMMARY:Berth 12: handover\r\nORGANIZER:mailto:ines.dahl@fjordline.example\r
ATTENDEE:mailto:jonas.achterberg@kranich.example\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"""


def _mail(sender: str, to: str, subject: str, text: str, *, at: datetime) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = sender, to, subject
    mail["Date"] = format_datetime(at)
    mail["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2].strip(">"))
    mail.set_content(text)
    return mail


def letters(now: datetime) -> Iterator[EmailMessage]:
    """The demo's mail, oldest first, dated within the hour before `now`."""
    makers = (_customs, _quote, _delivery, _fraud, _meeting, _news, _school, _weights)
    for minutes, make in zip(range(56, 0, -7), makers, strict=True):
        yield make(now - timedelta(minutes=minutes))


def _customs(at: datetime) -> EmailMessage:
    return _mail(
        "Oskar Brandt <o.brandt@baltic-feed.example>",
        f"{MARA}, {JONAS}",
        "Container MSKU 443120: customs papers",
        "Hello both,\n\nthe papers for MSKU 443120 came back with a question about line 7. Which tariff code\n"
        "did you use? The ship leaves at 18:00, so I need it before four.\n\nOskar\n",
        at=at,
    )


def _quote(at: datetime) -> EmailMessage:
    quote = _mail(
        "Ruben Castellanos <ruben@nordwall-ramps.example>", MARA, "Quote 4411", "Quote 4411: 10,350 euros.\n", at=at
    )
    quote.add_alternative(HTML_QUOTE, subtype="html")
    quote.add_attachment(_pdf(), maintype="application", subtype="pdf", filename="Quote 4411.pdf")
    return quote


def _delivery(at: datetime) -> EmailMessage:
    return _mail(
        "Hanna Grünwald <hanna.gruenwald@muellerei-suedhof.example>",
        MARA,
        "Änderung der Lieferung am Donnerstag",
        "Guten Morgen Frau Lindqvist,\n\nkönnen wir die Lieferung auf 11 Uhr verschieben? Unser Lager hat\n"
        "am Vormittag Inventur. Größe und Menge bleiben gleich: 24 Paletten.\n\nFreundliche Grüße\nHanna Grünwald\n",
        at=at,
    )


def _fraud(at: datetime) -> EmailMessage:
    fraud = _mail(
        "Tobias Okafor <tobias.okafor@kranlch.example>",
        MARA,
        "Urgent: confirm your password before noon",
        "Mara,\n\nbecause of the mail failure every account must be confirmed before noon, or it is closed:\n"
        "https://kranlch.example/confirm\n\nTobias, IT\n",
        at=at,
    )
    fraud["Reply-To"] = "helpdesk-4421@webmail.invalid"
    return fraud


def _meeting(at: datetime) -> EmailMessage:
    meeting = _mail(
        "Ines Dahl <ines.dahl@fjordline.example>", JONAS, "Berth 12: handover", "Monday, 10:00, berth 12.\n", at=at
    )
    meeting.add_attachment(INVITATION.encode(), maintype="text", subtype="calendar", filename="handover.ics")
    return meeting


def _news(at: datetime) -> EmailMessage:
    news = _mail("Harbour News <news@harbour-news.example>", MARA, "The tide in May", "Read on the web.\n", at=at)
    news.add_alternative(HTML_NEWS, subtype="html")
    news["List-Unsubscribe"] = "<https://harbour-news.example/leave>"
    return news


def _school(at: datetime) -> EmailMessage:
    return _mail(
        "Schulamt Küstenstadt <poststelle@schulamt.example>",
        INFO,
        "Besichtigung mit zwei Schulklassen",
        "Sehr geehrte Damen und Herren,\n\nwäre eine Führung durch das Lager am 14. möglich? Es sind 41 Kinder und\n"
        "vier Lehrkräfte.\n\nMit freundlichen Grüßen\nPoststelle\n",
        at=at,
    )


def _weights(at: datetime) -> EmailMessage:
    table = _mail(
        "Li Wenjing <wenjing.li@eastgate-trading.example>",
        f"{MARA}, {INFO}",
        "Re: Weights for week 21",
        "Dear Mara,\n\nthe table you asked for is attached. Two rows differ from yours; they are marked.\n\nWenjing\n",
        at=at,
    )
    table.add_attachment(
        "container,kg\nMSKU 443120,21840\nTGHU 118204,19995\n", filename="weights-21.csv", subtype="csv"
    )
    return table


def _pdf() -> bytes:
    """A one-page PDF with one line of text."""
    text = b"BT /F1 18 Tf 72 720 Td (Quote 4411: 10,350 EUR) Tj ET"
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(text), text),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    body, offsets = b"%PDF-1.4\n", []
    for number, item in enumerate(objects, 1):
        offsets.append(len(body))
        body += b"%d 0 obj%s endobj\n" % (number, item)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return body + b"xref\n0 6\n0000000000 65535 f \n%strailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (
        table,
        len(body),
    )


def send(address: HostPort) -> int:
    """Send every letter to einbox as strangers' servers would, trying again while it says 4xx; how many went.

    Raises OSError or smtplib.SMTPException when one is refused for good or the time is up.
    """
    sent = 0
    deadline = time.monotonic() + GIVE_UP_SECONDS
    for mail in letters(datetime.now(UTC)):
        while not _try(address, mail):
            if time.monotonic() > deadline:
                message = f"{address} did not take the demo's mail within {GIVE_UP_SECONDS:.0f} s"
                raise TimeoutError(message)
            time.sleep(RETRY_SECONDS)
        sent += 1
    return sent


def _try(address: HostPort, mail: EmailMessage) -> bool:
    sender = str(mail["From"].addresses[0].addr_spec)
    recipients = [address.addr_spec for address in mail["To"].addresses]
    try:
        with smtplib.SMTP(address.host, address.port, local_hostname="mx.sender.example", timeout=10) as client:
            client.send_message(mail, sender, recipients)
    except smtplib.SMTPRecipientsRefused as error:
        if all(400 <= code < 500 for code, _ in error.recipients.values()):
            return False
        raise
    except (smtplib.SMTPServerDisconnected, smtplib.SMTPConnectError, OSError) as error:
        if isinstance(error, smtplib.SMTPResponseException) and error.smtp_code >= 500:
            raise
        return False
    return True
