"""Does the sender look like somebody he is not? Judged from what every mail client shows: names and addresses.

`judge` is pure; Surroundings.load asks two queries for a whole page. Verdicts of SPF, DKIM and DMARC are no
part of it.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from django.utils.translation import gettext as _

from accounts.models import User
from spool.mime.spoof import mixed_alphabets
from spool.models import Domain

_ADDRESS = re.compile(r"[\w.+-]+@([\w-]+(?:\.[\w-]+)+)")


@dataclass(frozen=True)
class Warning_:  # noqa: N801 - Warning is a builtin
    """One warning: the fact as title, the reason and what to do as one text, the domain to print in bold."""

    kind: str
    title: str
    reason: str
    expected: str = ""  # the domain the reader would expect

    @property
    def pieces(self) -> tuple[str, str, str]:
        """The reason around the expected domain, which is printed in bold."""
        return self.reason.partition(f"@{self.expected}") if self.expected else (self.reason, "", "")


@dataclass(frozen=True)
class Surroundings:
    """Protected domains, and the addresses of colleagues whose names occur on the page (keys case-folded)."""

    domains: frozenset[str] = frozenset()
    colleagues: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, names: Iterable[str]) -> "Surroundings":
        wanted = {name.strip() for name in names if name.strip()}
        if not wanted:
            return cls(frozenset(Domain.objects.values_list("name", flat=True)))
        people = User.objects.filter(name__in=wanted, is_active=True).values_list("name", "email")
        return cls(
            frozenset(Domain.objects.values_list("name", flat=True)),
            {fold(name): email for name, email in people},
        )


def fold(name: str) -> str:
    """A name as people compare it: case, spaces and compatibility forms do not count."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def domain_of(address: str) -> str:
    return address.rpartition("@")[2].lower()


def judge(name: str, address: str, *, around: Surroundings, reply_to: str = "") -> Warning_ | None:
    """The gravest warning for this sender, or None. `reply_to` is the address replies would go to."""
    domain = domain_of(address)
    colleague = around.colleagues.get(fold(name))
    if colleague and domain not in around.domains and address.lower() != colleague:
        return _impersonation(name, domain_of(colleague))
    shown = _ADDRESS.search(name)
    if shown and shown.group(0).lower() != address.lower():
        return Warning_(
            "name",
            _("The name shows another address"),
            _("It says %(shown)s, but the mail comes from the address above. Do not pay, do not open the files.")
            % {"shown": shown.group(0)},
        )
    if mixed_alphabets(address):
        return Warning_(
            "script",
            _("The address mixes alphabets"),
            _("Letters of several alphabets imitate a known name. Do not open links or files. Ask by telephone."),
        )
    if reply_to and domain in around.domains and domain_of(reply_to) not in around.domains:
        return _reply_elsewhere(reply_to)
    return None


def _impersonation(name: str, expected: str) -> Warning_:
    return Warning_(
        "impersonation",
        _("This is not %(name)s") % {"name": " ".join(name.split())},
        _("Your colleague’s address ends in @%(domain)s. Do not pay, do not open the files. If in doubt, call.")
        % {"domain": expected},
        expected,
    )


def _reply_elsewhere(reply_to: str) -> Warning_:
    return Warning_(
        "reply",
        _("Answers would leave the house"),
        _("The mail names a colleague, but answers go to %(address)s. Check before you answer.")
        % {"address": reply_to},
    )
