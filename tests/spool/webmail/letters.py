"""Mail for the tests of reading."""

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000"
    "050001a5f645400000000049454e44ae426082"
)


def crlf(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


def plain(subject: str = "Figures", sender: str = "Erika <erika@outside.test>", text: str = "The figures.\n") -> bytes:
    return crlf(f"From: {sender}\nTo: anna@example.test\nSubject: {subject}\nMessage-ID: <{subject}@x.test>\n\n{text}")


def html(markup: str, subject: str = "Page") -> bytes:
    head = f"From: Erika <erika@outside.test>\nTo: anna@example.test\nSubject: {subject}\nMIME-Version: 1.0\n"
    return crlf(f"{head}Content-Type: text/html; charset=utf-8\n\n{markup}\n")


def with_file(name: str, kind: str, data: bytes) -> bytes:
    from base64 import encodebytes

    return crlf(
        "From: Erika <erika@outside.test>\nTo: anna@example.test\nSubject: File\nMIME-Version: 1.0\n"
        'Content-Type: multipart/mixed; boundary="b"\n\n--b\nContent-Type: text/plain\n\nSee the file.\n'
        f'--b\nContent-Type: {kind}; name="{name}"\nContent-Disposition: attachment; filename="{name}"\n'
        f"Content-Transfer-Encoding: base64\n\n{encodebytes(data).decode()}\n--b--\n"
    )
