"""Mail built to hurt its reader (sets M8 and M9 of the threat model): name to octets. Built once, nothing is read."""

from base64 import b64encode
from functools import lru_cache

MEBI = 2**20


def nested(depth: int) -> bytes:
    head = b"".join(b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (n, n) for n in range(depth))
    return b"Subject: nested\r\n" + head + b"\r\nbottom\r\n"


def header(name: bytes, value: bytes) -> bytes:
    return name + b": " + value + b"\r\nSubject: s\r\n\r\nx\r\n"


def parts(count: int) -> bytes:
    return (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
        + b"--b\r\nContent-Type: a/b\r\n\r\nx\r\n" * count
        + b"--b--"
    )


def html(inner: bytes) -> bytes:
    return b"Content-Type: text/html\r\n\r\n" + inner


def reopened(count: int) -> bytes:
    """Formatting elements that a parser must open again behind each end of a block."""
    return b"<div>" * count + b"".join(b"<font size=%d>" % n for n in range(count)) + b"x</div>" * count


@lru_cache(maxsize=1)
def mails() -> dict[str, bytes]:
    """Each must be read within the pool's limits and without an exception."""
    return {
        "2,000 nested multiparts": nested(2_000),
        "10,000 nested multiparts": nested(10_000),
        "same boundary at every level": b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n' * 20_000,
        "16,000 parameters": header(b"Content-Type", b"text/plain" + b"".join(b"; p%d=v" % n for n in range(16_000))),
        "16,000 continuations": header(
            b"Content-Disposition", b"attachment" + b"".join(b"; filename*%d*=%%41" % n for n in range(16_000))
        ),
        "270 KiB of addresses": header(b"To", b", ".join(b"A B <u%d@x.test>" % n for n in range(12_000))),
        "270 KiB of groups": header(b"To", b"g:" * 138_000),
        "218 KiB of encoded words": header(b"Subject", b"=?utf-8?q?=41?= " * 13_600),
        "open encoded words": header(b"Subject", b"=?utf-8?q?" * 20_000),
        "100,000 parts": parts(100_000),
        "1,000,000 header lines": b"X: y\r\n" * 1_000_000 + b"\r\nx",
        "one header of 5 MiB": header(b"Subject", b"s" * 5 * MEBI),
        "one folded header of 5 MiB": header(b"Subject", b"s\r\n " * (5 * MEBI // 4)),
        "20,000 open brackets": header(b"To", b"(" * 20_000),
        "20,000 open angles": header(b"To", b"<" * 20_000),
        "100,000 escaped quotes": header(b"To", b'"\\' * 50_000),
        "quotes in angles": header(b"From", b'<"' * 50_000),
        "line of quotes": header(b"Content-Type", b'text/plain; a="' + b'\\"' * 50_000),
        "16 million hyphens": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n" + b"--\n" * 5_000_000,
        "80,000 attributes of one tag": html(b"<p " + b" ".join(b"a%d" % n for n in range(80_000)) + b">x"),
        "900 fonts opened again in 900 blocks": html(reopened(900)),
        "20 MiB in one line": b"Subject: s\r\n\r\n" + b"x" * 20 * MEBI,
        "20 MiB of NUL": b"Subject: s\r\n\r\n" + b"\0" * 20 * MEBI,
        "20 MiB of base64": b"Content-Type: application/zip\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + b64encode(b"PK\3\4" + b"\0" * 14 * MEBI),
        "20 MiB of broken base64": b"Content-Transfer-Encoding: base64\r\n\r\n" + b"A=B\r\n" * 4 * MEBI,
        "20 MiB of quoted-printable": b"Content-Type: x/y\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        + b"=41=\r\n" * (20 * MEBI // 6),
        "unknown charset": header(b"Content-Type", b"text/plain; charset=nonsense-8"),
        "charset with NUL": header(b"Content-Type", b"text/plain; charset=utf\0-8"),
        "broken From": header(b"From", b"<a@[b"),
        "broken Message-ID": header(b"Message-ID", b"<a@[b"),
        "surrogates": header(b"Subject", b"=?utf-16le?b?" + b64encode(b"\x00\xd8\x00\xd8") + b"?="),
        "only NUL": b"\0" * 1_000,
        "empty": b"",
        "only a line end": b"\r\n",
        "no header end": b"Subject: x",
        "20,000 divs": html(b"<div>" * 20_000 + b"x"),
        "20,000 bold paragraphs": html(b"<b><p>" * 20_000),
        "10,000 open links": html(b"<a href='https://x.test/'>" * 10_000),
        "10,000 tables": html(b"<table><tr><td>" * 10_000),
        "100,000 style attributes": html(b"".join(b"<p style='color:#%06x'>x" % n for n in range(20_000))),
        "1 MiB of style": html(b"<p style='" + b"color:red;(" * 90_000 + b"'>x"),
        "400 KiB of open comment": html(b"<!--" * 100_000),
        "400 KiB of less-than": html(b"<" * 400_000),
        "200 KiB of at signs": b"Subject: s\r\n\r\n" + b"a@" * 100_000,
        "200 KiB of http": b"Subject: s\r\n\r\n" + b"http://" * 30_000,
        "200 KiB of quotes": b"Subject: s\r\n\r\n" + b">" * 200_000,
        "50,000 quote changes": b"Subject: s\r\n\r\n" + b">>>>>>>>>>>\n\n" * 15_000,
    }
