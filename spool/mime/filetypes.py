"""What a file really is, by its first octets; and file names that are safe to offer. Pure.

Used to decide what may be shown inline and what a name should end in; never to run or convert anything.
"""

import re

from spool.mime.words import clean

HEAD = 1_024  # octets that are looked at
UNKNOWN = "application/octet-stream"
MAX_NAME = 150
INLINE_IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
PROGRAMS = frozenset({"application/x-msdownload", "application/x-executable", "application/x-mach-binary"})
PROGRAM_NAMES = frozenset({"exe", "dll", "com", "scr", "sys", "msi", "cpl", "so", "bin", "ocx", "elf", "dylib", "o"})

# (offset, octets, type); the first match wins.
_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (0, b"BM", "image/bmp"),
    (0, b"II*\0", "image/tiff"),
    (0, b"MM\0*", "image/tiff"),
    (0, b"\0\0\1\0", "image/x-icon"),
    (4, b"ftypheic", "image/heic"),
    (4, b"ftypavif", "image/avif"),
    (4, b"ftyp", "video/mp4"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"PK\3\4", "application/zip"),
    (0, b"PK\5\6", "application/zip"),
    (0, b"Rar!\x1a\7", "application/vnd.rar"),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (0, b"\x1f\x8b", "application/gzip"),
    (0, b"BZh", "application/x-bzip2"),
    (0, b"\xfd7zXZ\0", "application/x-xz"),
    (257, b"ustar", "application/x-tar"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
    (0, b"{\\rtf", "application/rtf"),
    (0, b"MZ", "application/x-msdownload"),
    (0, b"\x7fELF", "application/x-executable"),
    (0, b"\xcf\xfa\xed\xfe", "application/x-mach-binary"),
    (0, b"\xfe\xed\xfa\xcf", "application/x-mach-binary"),
    (0, b"\x78\x9f\x3e\x22", "application/vnd.ms-tnef"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"OggS", "application/ogg"),
    (0, b"\x1aE\xdf\xa3", "video/webm"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_TEXTS: tuple[tuple[bytes, str], ...] = (
    (b"<!doctype html", "text/html"), (b"<html", "text/html"), (b"<script", "text/html"), (b"<body", "text/html"),
    (b"<svg", "image/svg+xml"), (b"<?xml", "text/xml"), (b"begin:vcalendar", "text/calendar"),
    (b"begin:vcard", "text/vcard"), (b"#!", "text/x-script"), (b"%!ps", "application/postscript"),
)  # fmt: skip
_EXTENSIONS = {
    "image/png": "png", "image/jpeg": "jpg", "image/gif": "gif", "image/webp": "webp", "image/bmp": "bmp",
    "image/tiff": "tif", "image/svg+xml": "svg", "image/heic": "heic", "application/pdf": "pdf",
    "application/zip": "zip", "application/gzip": "gz", "application/rtf": "rtf", "text/plain": "txt",
    "text/html": "html", "text/xml": "xml", "text/calendar": "ics", "text/vcard": "vcf", "text/csv": "csv",
    "message/rfc822": "eml", "audio/mpeg": "mp3", "video/mp4": "mp4", "application/json": "json",
    "message/delivery-status": "txt", "application/vnd.ms-tnef": "dat", "application/pgp-signature": "asc",
    "application/pkcs7-signature": "p7s",
}  # fmt: skip
# Some browsers decode percent escapes of a plain filename= parameter: an escaped separator is one, too.
_FORBIDDEN = re.compile(r'[<>:"|?*\x00-\x1f]|%(?:2f|5c|0[0-9a-f]|1[0-9a-f])', re.IGNORECASE)
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)")


def detect(head: bytes) -> str:
    """The MIME type that the first HEAD octets prove, else UNKNOWN."""
    for offset, octets, kind in _SIGNATURES:
        if head.startswith(octets, offset):
            return kind
    if head.startswith(b"RIFF"):
        return _RIFF.get(head[8:12], UNKNOWN)
    start = head[:HEAD].removeprefix(b"\xef\xbb\xbf").lstrip()[:64].lower()
    for octets, kind in _TEXTS:
        if start.startswith(octets):
            return kind
    return UNKNOWN


def extension(kind: str) -> str:
    """The usual extension of a MIME type, without a dot; "" when there is none."""
    return _EXTENSIONS.get(kind, "")


def safe_name(name: str, kind: str, number: int) -> str:
    """A file name without path, control, bidi or reserved characters, whose real extension stays last.

    An empty one becomes "attachment-<number>" with the usual extension of `kind`.
    """
    name = clean(name).replace("\\", "/").rpartition("/")[2]
    name = _FORBIDDEN.sub("_", name).strip(" .")
    if not name:
        usual = extension(kind)
        return f"attachment-{number}" + (f".{usual}" if usual else "")
    if _RESERVED.match(name):
        name = "_" + name
    if len(name) > MAX_NAME:
        stem, dot, last = name.rpartition(".")
        whole = dot and len(last) <= 10
        name = stem[: MAX_NAME - len(last) - 1].rstrip(" .") + dot + last if whole else name[:MAX_NAME].rstrip(" .")
    return name


def disguised(name: str, declared: str, true_type: str) -> bool:
    """Whether a program hides behind another name or type."""
    if true_type not in PROGRAMS:
        return False
    last = name.rpartition(".")[2].lower()
    return last not in PROGRAM_NAMES or declared.startswith(("image/", "text/", "audio/", "video/"))
