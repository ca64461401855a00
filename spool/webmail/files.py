"""Attachments in a reader's words: what a file is, whether it is dangerous, and how it leaves (row C34). Pure."""

from dataclasses import dataclass

from django.utils.translation import gettext as _

from spool.mime.filetypes import INLINE_IMAGES, PROGRAMS
from spool.mime.parse import Part

OCTETS = "application/octet-stream"

# By what a file does when it is opened, not by what it is called in a catalogue.
_RUNS = frozenset(
    "exe scr com pif bat cmd msi msp dll cpl jar js jse mjs vbs vbe wsf wsh ps1 psm1 hta lnk reg apk app command sh "  # noqa: SIM905
    "desktop appimage deb rpm".split()
)
_OPENS_PAGES = frozenset(["htm", "html", "xhtml", "svg", "shtml", "mht", "mhtml", "xml", "url"])
_MACROS = frozenset(["docm", "xlsm", "pptm", "dotm", "xltm", "xlam", "ppam", "one"])
_DISKS = frozenset(["iso", "img", "vhd", "vhdx", "dmg"])


@dataclass(frozen=True)
class File:
    """One attachment tile. `danger` is empty for a file that may be downloaded at once."""

    index: int
    name: str
    label: str  # three or four letters
    words: str
    size: int
    danger: str = ""


def describe(part: Part) -> File:
    """The tile for one part; the name's end counts as well as the first octets."""
    ending = part.name.rpartition(".")[2].lower() if "." in part.name else ""
    program = part.true_type in PROGRAMS
    danger = _danger(ending, part, program=program)
    label = "EXE" if program else (ending or part.true_type.rpartition("/")[2])[:4].upper()
    return File(part.index, part.name, label, _words(ending, part), part.size, danger)


def _danger(ending: str, part: Part, *, program: bool) -> str:
    inner = part.name.lower().split(".")[-2:-1]
    if program or ending in _RUNS:
        alike = inner[0].upper() if inner and inner[0] in _KNOWN else ""
        if not alike and program and ending in _KNOWN:
            alike = ending.upper()
        return _("Program named like a %(kind)s") % {"kind": alike} if alike else _("Program")
    if ending in _MACROS:
        return _("Document with macros")
    if ending in _DISKS:
        return _("Disk image, it may hold programs")
    if ending in _OPENS_PAGES or part.true_type in {"text/html", "image/svg+xml"}:
        return _("Web page, it may ask for your password")
    return ""


def _words(ending: str, part: Part) -> str:
    known = _KNOWN.get(ending)
    if known is not None:
        return known()
    if part.true_type in INLINE_IMAGES or part.true_type.startswith("image/"):
        return _("Picture")
    return _("File")


_KNOWN = {
    "pdf": lambda: _("PDF document"),
    "doc": lambda: _("Word document"),
    "docx": lambda: _("Word document"),
    "odt": lambda: _("Text document"),
    "rtf": lambda: _("Text document"),
    "txt": lambda: _("Text"),
    "xls": lambda: _("Spreadsheet"),
    "xlsx": lambda: _("Spreadsheet"),
    "ods": lambda: _("Spreadsheet"),
    "csv": lambda: _("Table"),
    "ppt": lambda: _("Presentation"),
    "pptx": lambda: _("Presentation"),
    "odp": lambda: _("Presentation"),
    "png": lambda: _("Picture"),
    "jpg": lambda: _("Picture"),
    "jpeg": lambda: _("Picture"),
    "gif": lambda: _("Picture"),
    "webp": lambda: _("Picture"),
    "zip": lambda: _("Archive"),
    "7z": lambda: _("Archive"),
    "eml": lambda: _("E-mail"),
    "ics": lambda: _("Calendar entry"),
    "vcf": lambda: _("Business card"),
}


def content_type(part: Part) -> str:
    """The type a download leaves with: its own only for the four verified picture types."""
    return part.true_type if part.true_type in INLINE_IMAGES else OCTETS
