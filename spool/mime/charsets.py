"""Decoding octets into text by an allow-list of charsets. Pure.

The order is fixed and documented: the declared charset if the list knows it, then UTF-8, then windows-1252
with replacement characters. Every step past the first leaves a note; nothing is guessed from statistics.
UTF-7 and Python's own codecs (punycode, rot13, …) are never used: utf-7 turns "+ADw-" into "<".
"""

from dataclasses import dataclass

from spool.mime import notes

MAX_NAME = 64

# What web browsers use for these labels (WHATWG Encoding): supersets, so that real mail decodes.
_SAME = {
    "utf8": "utf-8", "utf-8": "utf-8", "unicode-1-1-utf-8": "utf-8",
    "ascii": "ascii", "us-ascii": "ascii", "ansi_x3.4-1968": "ascii", "646": "ascii",
    "iso-8859-1": "cp1252", "iso8859-1": "cp1252", "iso_8859-1": "cp1252", "latin1": "cp1252", "latin-1": "cp1252",
    "l1": "cp1252", "cp1252": "cp1252", "iso-8859-8-i": "iso8859-8", "iso-8859-9": "cp1254", "latin5": "cp1254",
    "iso-8859-11": "cp874", "tis-620": "cp874", "windows-874": "cp874", "x-cp1252": "cp1252",
    "koi8-r": "koi8-r", "koi8-u": "koi8-u", "koi8-ru": "koi8-u",
    "gb2312": "gb18030", "gb_2312-80": "gb18030", "gbk": "gb18030", "x-gbk": "gb18030", "cp936": "gb18030",
    "gb18030": "gb18030", "hz-gb-2312": "hz", "big5": "big5hkscs", "big5-hkscs": "big5hkscs", "cn-big5": "big5hkscs",
    "euc-kr": "cp949", "ks_c_5601-1987": "cp949", "ksc5601": "cp949", "cp949": "cp949", "iso-2022-kr": "iso2022_kr",
    "euc-jp": "euc_jp", "x-euc-jp": "euc_jp", "shift_jis": "cp932", "shift-jis": "cp932", "sjis": "cp932",
    "x-sjis": "cp932", "windows-31j": "cp932", "cp932": "cp932", "iso-2022-jp": "iso2022_jp_ext",
    "iso-2022-jp-1": "iso2022_jp_ext", "iso-2022-jp-2": "iso2022_jp_2",
    "macintosh": "mac_roman", "x-mac-roman": "mac_roman", "x-mac-cyrillic": "mac_cyrillic",
    "ibm437": "cp437", "cp437": "cp437", "ibm850": "cp850", "cp850": "cp850", "ibm852": "cp852", "cp852": "cp852",
    "ibm866": "cp866", "cp866": "cp866", "viscii": "cp1258",
    "utf-16le": "utf-16-le", "utf-16be": "utf-16-be",
}  # fmt: skip
for _number in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16):
    for _form in ("iso-8859-", "iso8859-", "iso_8859-"):
        _SAME[f"{_form}{_number}"] = f"iso8859-{_number}"
for _number in range(1250, 1259):
    for _form in ("windows-", "cp", "win-", "x-cp"):
        _SAME[f"{_form}{_number}"] = f"cp{_number}"
_WITH_MARK = {"utf-16": "utf-16", "utf16": "utf-16", "utf-32": "utf-32", "utf32": "utf-32", "unicode": "utf-16"}
_MARKS = {"utf-16": (b"\xff\xfe", b"\xfe\xff"), "utf-32": (b"\xff\xfe\0\0", b"\0\0\xfe\xff")}


@dataclass(frozen=True)
class Decoded:
    """Text, and why it may not be what was meant ("" when it is certain)."""

    text: str
    note: str = ""


def codec_for(declared: str) -> str | None:
    """The codec of a charset label, or None when the list does not hold it."""
    return _SAME.get(declared.strip().strip("'\"").lower()[:MAX_NAME])


def _declared(raw: bytes, label: str) -> str | None:
    label = label.strip().strip("'\"").lower()[:MAX_NAME]
    codec = _SAME.get(label)
    if codec is None:
        codec = _WITH_MARK.get(label)
        if codec is None or not raw.startswith(_MARKS[codec]):
            return None
    try:
        return raw.decode(codec)
    except (UnicodeError, ValueError):
        return None


def decode(raw: bytes, declared: str = "") -> Decoded:
    """Decode `raw`; never raises. The result may hold U+FFFD, never a surrogate."""
    if declared:
        text = _declared(raw, declared)
        if text is not None:
            return Decoded(_no_surrogates(text))
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return Decoded(raw.decode("cp1252", "replace"), notes.CHARSET_UNFIT)
    certain = not declared or codec_for(declared) == "ascii"
    return Decoded(text, "" if certain else notes.CHARSET_UTF8)


def _no_surrogates(text: str) -> str:
    if text.isascii():
        return text
    return text.encode("utf-8", "replace").decode("utf-8")


def header_text(raw: bytes) -> str:
    """Raw header octets as text: UTF-8 (RFC 6532), else windows-1252. Never raises."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")
