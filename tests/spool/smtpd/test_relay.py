"""No form of address makes einbox a relay (C4)."""

from spool.models import Delivery
from tests.doubles.smtpd import Client, ServerInThread

OURS, THEIRS = "example.test", "outside.test"
FORMS = [
    f"a@{THEIRS}",
    f"anna@{THEIRS}",
    f"a@sub.{OURS}",
    f"a@{OURS}.{THEIRS}",
    f"a@{OURS}{THEIRS}",
    f"a@x{OURS}",
    f"a%{THEIRS}@{OURS}",
    f"a%{THEIRS}",
    f"a%{THEIRS}%{OURS}@{OURS}",
    f"a%{THEIRS}@[127.0.0.1]",
    f"anna%{OURS}@{THEIRS}",
    f'"a%{THEIRS}"@{OURS}',
    f"{THEIRS}!a@{OURS}",
    f"{THEIRS}!a",
    f"{OURS}!{THEIRS}!a",
    f"{THEIRS}!a@{THEIRS}",
    f'"{THEIRS}!a"@{OURS}',
    f"{OURS}!a@{THEIRS}",
    f"{THEIRS}!a%{OURS}",
    f"@{OURS}:a@{THEIRS}",
    f"@{OURS},@x.test:a@{THEIRS}",
    f"@{THEIRS}:anna@{OURS}",
    f"@[127.0.0.1]:a@{THEIRS}",
    f"@{OURS}:anna@{OURS}",
    f"@:a@{THEIRS}",
    f"@{OURS}@{THEIRS}",
    f"a@{THEIRS}@{OURS}",
    f'"a@{THEIRS}"@{OURS}',
    f'"a@{THEIRS}"',
    f"a@{OURS}@{THEIRS}",
    f'"a@{OURS}"@{THEIRS}',
    rf'"a\@{THEIRS}"@{OURS}',
    rf"a\@{THEIRS}@{OURS}",
    "a@[127.0.0.1]",
    "a@[192.0.2.1]",
    "a@[IPv6:::1]",
    "a@[IPv6:2001:db8::1]",
    "anna@127.0.0.1",
    "a@[]",
    f"a@[{OURS}]",
    "a@localhost",
    "a@einbox.test",
    "a@",
    "@",
    f"@{OURS}",
    f'""@{OURS}',
    "anna",
    '"anna"',
    "anna@",
    f"anna@{OURS}@",
    f"anna @{OURS}",
    f"anna@ {OURS}",
    f"anna@{OURS} ",
    f" anna@{OURS}",
    f"anna@{OURS}.",
    f"anna@{OURS}..",
    f"anna@.{OURS}",
    f"anna,b@{OURS}",
    f"anna;b@{OURS}",
    f"anna(x)@{OURS}",
    f"anna:b@{THEIRS}",
    f"|cat@{OURS}",
    f"/dev/null@{OURS}",
    f"anna\t@{OURS}",
    f"anna@{OURS}\t",
    f"anna@{OURS}>,<b@{THEIRS}",
    f"anna@{OURS}\x01",
    "a@1.2.3.4.5",
    f"a@{THEIRS}#{OURS}",
]
MAY_BE_REFUSED_AS = {"550 5.7.1", "550 5.1.1", "501 5.1.3", "501 5.5.4", "555 5.5.4"}


def test_no_form_of_the_table_is_taken(server: ServerInThread) -> None:
    assert len(FORMS) >= 60
    taken = {}
    for form in FORMS:
        with server.client() as client:
            [reply] = client.mail(form)
        if reply[:9] not in MAY_BE_REFUSED_AS:
            taken[form] = reply
    assert taken == {}
    assert not Delivery.objects.exists()


def test_what_asks_for_relaying_hears_that_there_is_none(client: Client) -> None:
    asking = [
        f"a@{THEIRS}",
        f"a%{THEIRS}@{OURS}",
        f"{THEIRS}!a@{OURS}",
        f"@{OURS}:a@{THEIRS}",
        f'"a@{THEIRS}"@{OURS}',
        "a@[192.0.2.1]",
    ]
    assert {reply[:9] for reply in client.mail(*asking)} == {"550 5.7.1"}
