"""What a reply or forward starts from: subject, quoted text, recipients, references. Pure."""

import re
from collections.abc import Callable, Collection

from spool.mime.parsed import MailAddress, ParsedMessage

MAX_QUOTED = 200 * 1024  # characters
_PREFIX = re.compile(r"\s*(?:re|aw|sv|antw|odp|vs|r)(?:\[\d{1,3}\])?\s*:\s*", re.I)
_FORWARD = re.compile(r"\s*(?:fwd?|wg|tr|rv)\s*:\s*", re.I)


def _without(subject: str, pattern: re.Pattern[str]) -> str:
    while match := pattern.match(subject):
        subject = subject[match.end() :]
    return subject.strip()


def reply_subject(subject: str) -> str:
    """`Re: ` once, whatever language and number of prefixes it had."""
    return f"Re: {_without(subject, _PREFIX)}".strip()


def forward_subject(subject: str) -> str:
    """`Fwd: ` once."""
    return f"Fwd: {_without(subject, _FORWARD)}".strip()


def quote(text: str, *, intro: str = "") -> str:
    """Every line one level deeper, under `intro` (a sentence such as "On Monday, Ann wrote:")."""
    lines = (f">{line}" if line.startswith(">") else f"> {line}".rstrip() for line in text[:MAX_QUOTED].split("\n"))
    quoted = "\n".join(lines)
    return f"{intro}\n{quoted}" if intro else quoted


def forward_text(message: ParsedMessage, *, intro: str, labels: tuple[str, str, str, str]) -> str:
    """The original under `intro`; `labels` are the words for From, Date, Subject and To."""
    rows = [
        (labels[0], ", ".join(map(_shown, message.from_))),
        (labels[1], message.date.isoformat(" ", "minutes") if message.date else ""),
        (labels[2], message.subject),
        (labels[3], ", ".join(map(_shown, message.to))),
    ]
    head = "\n".join(f"{label}: {value}" for label, value in rows if value)
    return f"{intro}\n{head}\n\n{message.text[:MAX_QUOTED]}"


def _shown(address: MailAddress) -> str:
    return f"{address.name} <{address.address}>" if address.name else address.address


def references(message: ParsedMessage) -> tuple[str, ...]:
    """References of a reply (RFC 5322 section 3.6.4); identifiers that could not be sent again are left out."""
    chain = message.references or ((message.in_reply_to,) if message.in_reply_to else ())
    return tuple(one for one in dict.fromkeys((*chain, message.message_id)) if is_id(one))


def is_id(value: str) -> bool:
    """Whether an identifier may be written into a header again."""
    return bool(value) and len(value) <= 900 and re.fullmatch(r"[\x21-\x3b\x3d\x3f-\x7e]+", value) is not None


def reply_recipients(
    message: ParsedMessage, *, own: Collection[str], everyone: bool, same: Callable[[str], str] = str.lower
) -> tuple[tuple[MailAddress, ...], tuple[MailAddress, ...]]:
    """(To, Cc) of a reply: Reply-To or From; with `everyone` also To and Cc without `own` addresses. Each once."""
    mine, seen = {same(address) for address in own}, set[str]()

    def take(group: tuple[MailAddress, ...], skip_own: bool) -> tuple[MailAddress, ...]:
        taken = []
        for one in group:
            key = same(one.address)
            if one.address and key not in seen and not (skip_own and key in mine):
                seen.add(key)
                taken.append(one)
        return tuple(taken)

    sender = message.reply_to or message.from_
    if not everyone:
        return take(sender, skip_own=False), ()
    to = take(sender, skip_own=True) + take(message.to, skip_own=True)
    return (to or take(sender, skip_own=False)), take(message.cc, skip_own=True)
