"""Parameters of Content-Type and Content-Disposition (RFC 2045, RFC 2231). Pure, linear, never raises."""

import re
from urllib.parse import unquote_to_bytes

from spool.mime import charsets, words

MAX_PARAMS = 50
MAX_VALUE = 4_096

_PARAM = re.compile(r';\s*+([^\s=;"]++)\s*+=\s*+("(?:[^"\\]|\\.)*+"?|[^;]*+)', re.S)
_ESCAPE = re.compile(r'\\(["\\])')
_SECTION = re.compile(r"(.+?)\*(\d{1,3})(\*?)")


def _unquote(value: str) -> str:
    value = value[:MAX_VALUE]
    if value.startswith('"'):
        return _ESCAPE.sub(r"\1", value[1:].removesuffix('"'))
    return value.strip()


def _extended(value: str) -> str:
    """charset'language'percent-encoded (RFC 2231 section 4); without the quotes it is taken as UTF-8."""
    charset, mark, rest = value.partition("'")
    if not mark or "'" not in rest:
        charset, encoded = "", value
    else:
        encoded = rest.partition("'")[2]
    return charsets.decode(unquote_to_bytes(encoded), charset).text


def _joined(sections: dict[int, tuple[str, bool]]) -> str:
    """Continuations in order (RFC 2231 section 3); the first names the charset for all encoded ones."""
    ordered = [sections[number] for number in sorted(sections)]
    if not ordered[0][1]:
        return "".join(charsets.header_text(unquote_to_bytes(v)) if encoded else v for v, encoded in ordered)
    charset, _, rest = ordered[0][0].partition("'")
    first = rest.partition("'")[2] if "'" in rest else ordered[0][0]
    raw = unquote_to_bytes(first)
    for value, encoded in ordered[1:]:
        raw += unquote_to_bytes(value) if encoded else value.encode("utf-8", "replace")
    return charsets.decode(raw, charset if "'" in rest else "").text


def parse(value: str) -> tuple[str, dict[str, str]]:
    """(lower-case value before the first semicolon, parameters by lower-case name; the first of a name wins)."""
    main = value.partition(";")[0].strip().lower()
    if ";" not in value:
        return main, {}
    plain: dict[str, str] = {}
    extended: dict[str, str] = {}
    sections: dict[str, dict[int, tuple[str, bool]]] = {}
    for number, match in enumerate(_PARAM.finditer(value)):
        if number >= MAX_PARAMS:
            break
        name, text = match[1].lower(), _unquote(match[2])
        if "*" not in name:
            plain.setdefault(name, text)
        elif name.endswith("*") and name.count("*") == 1:
            extended.setdefault(name[:-1], _extended(text))
        elif part := _SECTION.fullmatch(name):
            sections.setdefault(part[1], {}).setdefault(int(part[2]), (text, bool(part[3])))
    plain = {name: words.decode_words(text) for name, text in plain.items()}
    return main, plain | {name: _joined(found) for name, found in sections.items()} | extended
