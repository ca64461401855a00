"""An invented day at example.org: people, mailboxes, and mail as a reader would find it during an outage."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from accounts.models import User
from spool.enums import DeliveryState, OutageKind, Outcome, Phase, RouteState
from spool.models import Attempt, Delivery, Mailbox, MailboxMember, Message, Outage, Overlay, Route
from spool.queue import parsing
from tests.factories.accounts import make_user
from tests.factories.spool import make_domain, make_mailbox, make_message, make_route

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000"
    "050001a5f645400000000049454e44ae426082"
)


@dataclass
class Scene:
    """What the day made, for tests to look at."""

    tilda: User
    nora: User
    route: Route
    own: Mailbox
    sales: Mailbox
    outage: Outage | None
    messages: dict[str, Message]


def letter(
    sender: str, subject: str, text: str, *, files: tuple[tuple[str, str, bytes], ...] = (), html: str = ""
) -> bytes:
    """Octets of one mail with CRLF line ends."""
    from email.message import EmailMessage

    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = sender, "Tilda Kranich <tilda.kranich@example.org>", subject
    mail["Message-ID"] = f"<{abs(hash((sender, subject)))}@mail.test>"
    mail["Date"] = timezone.now()
    mail.set_content(text)
    if html:
        mail.add_alternative(html, subtype="html")
    for name, kind, data in files:
        main, sub = kind.split("/")
        mail.add_attachment(data, maintype=main, subtype=sub, filename=name)
    return mail.as_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


PDF = ("Zeichnung P-204 Rev C.pdf", "application/pdf", b"%PDF-1.7\n" + b"0" * 412_000)
XLSX = (
    "Teileliste P-204.xlsx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    b"PK\3\4" + b"0" * 38_000,
)
DOCX = (
    "Anweisung.docx",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    b"PK\3\4" + b"0" * 84_000,
)
EXE = ("Rechnung_4471.pdf.exe", "application/pdf", b"MZ" + b"0" * 1_200_000)
LOGO = ("logo.png", "image/png", PNG)

OTTILIE = """Guten Tag Frau Kranich,

die Gleitringdichtung kommt nun doch früher, als wir am Freitag dachten: Wir liefern am Mittwoch der KW 49. \
Die Zeichnung mit der geänderten Nut liegt bei.

Bitte bestätigen Sie uns kurz Menge und Anlieferung.

Mit freundlichen Grüßen
Ottilie Regenpfeifer
"""
JORIS = """Bitte behandeln Sie das vertraulich. Die Bankdaten stehen in der Anweisung.

Joris Windrad
"""
File = tuple[str, str, bytes]
# key, sender, subject, text, files, minutes ago, unread
MAILS: tuple[tuple[str, str, str, str, tuple[File, ...], int, bool], ...] = (
    ("ottilie", "Ottilie Regenpfeifer <ottilie@dichtungen.example.net>", "Ersatzteil P-204: Liefertermin KW 49",
     OTTILIE, (PDF, XLSX), 2, True),
    ("emil", "Emil Zweiglein <emil.zweiglein@example.org>", "Wer übernimmt die Hotline bis 15 Uhr?",
     "Hallo zusammen, Greta ist auf dem Weg nach Halle 2. Wer kann übernehmen?\n", (), 7, True),
    ("joris", "Joris Windrad <j.windrad@example-org.test>", "Dringend: Überweisung noch heute",
     JORIS, (EXE, DOCX, LOGO), 20, True),
    ("hafenwerk", "Hafenwerk Technik <info@hafenwerk.example.com>", "Request for quotation: 12 × BP-80 pumps",
     "Dear sales team, please quote for delivery in February, including spare seals.\n", (), 38, False),
    ("spedition", "Spedition Morgentau <avis@spedition.example.com>", "Avis: Abholung heute 16:00, Tor 3",
     "Fahrer und Kennzeichen folgen eine Stunde vorher. Bitte Tor 3 frei halten.\n", (), 56, True),
    ("ruth", "Ruth Ackerwinde <ruth.ackerwinde@example.org>", "Re: Protokoll Baubesprechung Halle 2",
     "Danke, passt so. Punkt 4 würde ich noch um den Brandschutz am Nordtor ergänzen.\n", (DOCX,), 81, False),
    ("ada", "Ada Uferschilf <ada.uferschilf@example.org>", "Minutes and open points, steering call",
     "Attached the minutes. Three points are open until Friday.\n", (DOCX,), 107, False),
)  # fmt: skip


def make_people(route: Route) -> tuple[User, User, Mailbox, Mailbox]:
    domain = make_domain("example.org", route=route)
    tilda = make_user(email="tilda.kranich@example.org", name="Tilda Kranich")
    nora = make_user(email="nora.federkiel@example.org", name="Nora Federkiel")
    make_user(email="joris.windrad@example.org", name="Joris Windrad")
    own = make_mailbox("tilda.kranich@example.org", domain=domain, user=tilda, name="Tilda Kranich")
    make_mailbox("nora.federkiel@example.org", domain=domain, user=nora, name="Nora Federkiel")
    sales = make_mailbox("sales@example.org", domain=domain, shared=True, name="Sales")
    service = make_mailbox("service@example.org", domain=domain, shared=True, name="Service")
    for box in (sales, service):
        MailboxMember.objects.create(mailbox=box, user=tilda)
    return tilda, nora, own, sales


def play(*, state: str = RouteState.DOWN, mails: bool = True, now: datetime | None = None) -> Scene:
    """Set the scene: the server down since two and a half hours, or back, or well."""
    now = now or timezone.now()
    since = now - timedelta(hours=2, minutes=36)
    route = make_route(name="example.org", state=state, state_since=since, confirmed_at=now)
    tilda, nora, own, sales = make_people(route)
    outage = None
    if state != RouteState.UP:
        outage = Outage.objects.create(
            route=route, kind=OutageKind.DETECTED, opened_at=since, down_at=since,
            announcement="Power failure in the server room. Back expected around 15:30.",
            announced_at=now - timedelta(hours=1), announced_by="IT",
        )  # fmt: skip
    messages = _post(tilda, own, sales, now=now) if mails else {}
    return Scene(tilda, nora, route, own, sales, outage, messages)


def _post(tilda: User, own: Mailbox, sales: Mailbox, *, now: datetime) -> dict[str, Message]:
    made = {}
    for key, sender, subject, text, files, minutes, unread in MAILS:
        raw = letter(sender, subject, text, files=files)
        at = now - timedelta(minutes=minutes)
        address = sender.partition("<")[2].rstrip(">")
        box = sales if key == "hafenwerk" else own
        made[key] = make_message(
            raw, mailbox=box, now=at, reverse_path=address, peer="203.0.113.24",
            helo="mail." + address.rpartition("@")[2], tls="TLSv1.3 TLS_AES_256_GCM_SHA384",
        )  # fmt: skip
        parsing.sweep(now=now, limit=10)
        if not unread:
            Overlay.objects.create(user=tilda, message=made[key], read_at=at, starred=key == "ruth")
    return made


def deliver(message: Message, *, now: datetime, host: str = "mx1.example.org:25") -> None:
    """What the drain writes when the primary takes every delivery of a message."""
    for delivery in Delivery.objects.filter(message=message):
        reply = "250 2.0.0 Ok: queued as 4CzT1x"
        Attempt.objects.create(
            delivery=delivery, number=1, started_at=now, finished_at=now, host=host, phase=Phase.DOT,
            outcome=Outcome.DELIVERED, code=250, enhanced="2.0.0", text=reply,
        )  # fmt: skip
        delivery.state, delivery.finished_at, delivery.last_reply = DeliveryState.DELIVERED, now, reply
        delivery.save()
