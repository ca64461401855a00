"""`manage.py domain add|set|list|remove|dkim`: protected domains, the routes to their primaries, their signing keys."""

import argparse
from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from audit.escape import escape
from audit.operator import operator
from einbox import signing_keys
from einbox.dns.resolver import Resolver, system_servers
from spool.enums import RecipientPolicy, RouteState, TlsPolicy, WhileUp
from spool.management.reading import text_of
from spool.management.rows import print_rows
from spool.models import Domain
from spool.queue import domains, removal, signing
from spool.queue.domains import DomainError, Settings
from spool.queue.signing import SigningError

URL = "smtp[s]://[user@]host:port"


def _secret(path: Path | None) -> str | None:
    """What a password file holds, without its last line end. Raises CommandError."""
    return None if path is None else text_of(path).rstrip("\r\n")


class Command(BaseCommand):
    help = "Protected domains: add, set, list, remove, dkim."

    def add_arguments(self, parser: CommandParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True)
        for act, what in (("add", "protect a domain"), ("set", "change what is named, leave the rest")):
            one = acts.add_parser(act, help=what)
            one.add_argument("name", help="of the domain")
            one.add_argument("--primary", action="append", metavar="HOST:PORT", help="repeatable, in order")
            one.add_argument("--tls", choices=TlsPolicy.values, help="to the primary; a new domain: opportunistic")
            one.add_argument("--recipients", choices=RecipientPolicy.values, help="policy for unknown recipients")
            one.add_argument("--dropbox", metavar="ADDRESS", help="shared mailbox of the policy dropbox")
            one.add_argument("--while-up", choices=WhileUp.values, help="451 (a new domain), or take and pass on")
            one.add_argument("--submission", metavar="URL", help=f"{URL} for answers; default: its first host")
            one.add_argument("--smarthost", metavar="URL", help=f"{URL} for answers while it is down")
            one.add_argument("--password-file", type=Path, help="of --submission, or of --smarthost if that is alone")
            one.add_argument("--smarthost-password-file", type=Path, help="of --smarthost beside --submission")
            one.add_argument("--drill", action="store_true", help=argparse.SUPPRESS)
        one = acts.add_parser("list", help="those that are protected")
        one.add_argument("--removed", action="store_true", help="those that were removed")
        one.add_argument("--drills", action="store_true", help="those of drills that are over, too")
        one = acts.add_parser("remove", help="protect a domain no longer, once its mail is home")
        one.add_argument("name", help="of the domain")
        one.add_argument("--reason", default="", help="needed once it has mailboxes or had mail")
        self._add_dkim(acts.add_parser("dkim", help="show or make the keys that sign for a domain"))
        for one in acts.choices.values():
            one.add_argument("--json", action="store_true", help="print JSON")

    def _add_dkim(self, one: CommandParser) -> None:
        one.add_argument("name", help="of the domain")
        act = one.add_mutually_exclusive_group()
        act.add_argument("--rotate", action="store_true", help="make a fresh pair of keys")
        act.add_argument("--check", action="store_true", help="ask DNS; keys whose record is public begin to sign")
        act.add_argument("--published", action="store_true", help="as --check, on your word, without asking DNS")
        act.add_argument("--stop", action="store_true", help="erase the private keys: nothing is signed any more")
        one.add_argument("--selector", default="", metavar="NAME", help="of the pair to be made")
        one.add_argument("--reason", default="", help="of --stop")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with operator():
                shown = self._act(options)
        except (DomainError, SigningError) as error:
            raise CommandError(escape(str(error))) from error
        self._print(shown, as_json=options["json"])
        if options.get("check") and not all(row["state"] == "retired" or row["published"] for row in shown):
            raise SystemExit(1)

    def _print(self, shown: list[dict[str, Any]], *, as_json: bool) -> None:
        """Records of DNS in lines of their own, to be copied; a state that nobody has seen yet is not called one."""
        records = [] if as_json else [row.pop("record") for row in shown if row.get("record")]
        hidden = () if as_json else ("name", "value")
        for row in () if as_json else shown:
            if row.get("state") == RouteState.UP and not row["confirmed_at"]:
                row["state"] = "not looked at yet"
        rows = [{name: value for name, value in row.items() if name not in hidden} for row in shown]
        print_rows(self.stdout, rows, as_json=as_json)
        for record in records:
            self.stdout.write(escape(record))

    def _act(self, options: dict[str, Any]) -> list[dict[str, Any]]:
        now = timezone.now()
        match options["act"]:
            case "add":
                return [
                    self._row(domains.add(options["name"], self._settings(options), now=now, drill=options["drill"]))
                ]
            case "set":
                return [self._row(domains.change(options["name"], self._settings(options), now=now))]
            case "remove":
                gone = removal.remove(options["name"], reason=options["reason"], now=now)
                return [{"domain": gone.name, "removed_at": gone.removed_at}]
            case "dkim":
                return self._dkim(domains.get(options["name"]), options, now)
            case "list" if options["removed"]:
                return [{"domain": gone.name, "removed_at": gone.removed_at} for gone in removal.removed()]
        return [self._row(domain) for domain in domains.listed(drills=options["drills"])]

    def _dkim(self, domain: Domain, options: dict[str, Any], now: datetime) -> list[dict[str, Any]]:
        if options["check"]:
            return signing_keys.check(domain, Resolver(system_servers()), now=now)
        if options["published"]:
            return signing_keys.trust(domain, now=now)
        if options["stop"]:
            return signing_keys.stop(domain, reason=options["reason"], now=now)
        return signing_keys.show(domain, now=now, rotate=options["rotate"], selector=options["selector"])

    def _settings(self, options: dict[str, Any]) -> Settings:
        password = _secret(options["password_file"])
        alone = bool(options["smarthost"]) and not options["submission"]
        smarthost_password = _secret(options["smarthost_password_file"])
        return Settings(
            hosts=tuple(domains.parse_host(text) for text in options["primary"]) if options["primary"] else None,
            tls=TlsPolicy(options["tls"]) if options["tls"] else None,
            recipients=RecipientPolicy(options["recipients"]) if options["recipients"] else None,
            dropbox=options["dropbox"],
            while_up=WhileUp(options["while_up"]) if options["while_up"] else None,
            submission=options["submission"],
            submission_password=None if alone else password,
            smarthost=options["smarthost"],
            smarthost_password=smarthost_password or (password if alone else None),
        )

    def _row(self, domain: Domain) -> dict[str, Any]:
        route = domain.route
        return {
            "domain": domain.name,
            "primary": [str(host) for host in route.hosts.all()],
            "tls": route.tls,
            "recipients": domain.recipient_policy,
            "dropbox": domain.dropbox.address if domain.dropbox else None,
            "while_up": domain.while_up,
            "submission": route.submission_url,
            "smarthost": route.smarthost_url,
            "dkim": signing.state_of(domain),
            "state": route.state,
            "confirmed_at": route.confirmed_at,  # by a look at the primary; before the first one, up is an assumption
        }
