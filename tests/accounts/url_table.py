"""What each URL answers to whom. Whoever adds a route adds its line; test_urls.py fails until then.

`OPENS` names the roles for whom a GET with the arguments below may be a 200 without any data of the person's own.
A route that is not named must never answer 200 in that test.
"""

from accounts.enums import Role

EVERYBODY = frozenset(Role)
SECURITY, ADMIN = frozenset({Role.SECURITY}), frozenset({Role.ADMIN})
NOBODY: frozenset[Role] = frozenset()

# Values for URL arguments: well-formed, but of nothing that exists.
ARGUMENTS: dict[str, object] = {"token": "x" * 43}
ANY_NUMBER = 4_000_000_000
ANY_ID = "0123456789ABC"

# Open without log-in (accounts.middleware.OPEN_ROUTES): status of a GET by a stranger.
OPEN = {
    "healthz": 200,
    "readyz": 503,
    "metrics": 404,
    "accounts:login": 200,
    "accounts:verify": 302,
    "accounts:recovery": 302,
    "accounts:enrol": 410,
    "accounts:invite": 410,
    "accounts:logged-out": 200,
}

OPENS: dict[str, frozenset[Role]] = {
    "audit:dashboard": SECURITY,
    "spool:inbox": EVERYBODY,
    "spool:starred": EVERYBODY,
    "spool:archive": EVERYBODY,
    "spool:junk": EVERYBODY,
    "spool:trash": EVERYBODY,
    "spool:live": EVERYBODY,
    "spool:search": EVERYBODY,
    "spool:compose": EVERYBODY,
    "spool:outbox": EVERYBODY,
    "spool:console": ADMIN,
    "spool:console-queue": ADMIN,
}
