"""No form of address makes einbox a relay (C4): each has its exact reply, under the strictest and the widest policy."""

from typing import Any

import pytest

from spool.enums import RecipientPolicy
from spool.models import Delivery, Domain, Mailbox, MailboxAlias
from spool.smtpd import replies
from spool.smtpd.replies import Reply
from tests.doubles.smtpd import ServerInThread
from tests.factories.spool import make_raw

# Every form, between the brackets of RCPT TO:<...>. einbox protects example.test alone; UNKNOWN is a name of ours.
TABLE = {
    replies.FOREIGN: [
        "a@outside.test",
        "anna@outside.test",
        "a@sub.example.test",
        "a@example.test.outside.test",
        "a@example.testoutside.test",
        "a@xexample.test",
        "a%outside.test@example.test",
        "a%outside.test",
        "a%outside.test%example.test@example.test",
        "a%outside.test@[127.0.0.1]",
        "anna%example.test@outside.test",
        '"a%outside.test"@example.test',
        "outside.test!a@example.test",
        "outside.test!a",
        "example.test!outside.test!a",
        "outside.test!a@outside.test",
        '"outside.test!a"@example.test',
        "example.test!a@outside.test",
        "outside.test!a%example.test",
        "@example.test:a@outside.test",
        "@example.test,@x.test:a@outside.test",
        "@outside.test:anna@example.test",
        "@[127.0.0.1]:a@outside.test",
        "@example.test:anna@example.test",
        "@:a@outside.test",
        "@example.test@outside.test",
        "a@outside.test@example.test",
        '"a@outside.test"@example.test',
        "a@example.test@outside.test",
        '"a@example.test"@outside.test',
        r'"a\@outside.test"@example.test',
        r"a\@outside.test@example.test",
        "a@[127.0.0.1]",
        "a@[192.0.2.1]",
        "a@[IPv6:::1]",
        "a@[IPv6:2001:db8::1]",
        "anna@127.0.0.1",
        "a@[example.test]",
        "a@localhost",
        "a@einbox.test",
        "@",
        "@example.test",
        "anna@example.test@",
        "a@1.2.3.4.5",
        "a@OUTSIDE.TEST",
        "A%OUTSIDE.TEST@EXAMPLE.TEST",
        "Anna@EXAMPLE.TEST.outside.test",
        "a@m\xfcller.test",
        "m\xfcller@outside.test",
        "a\uff05outside.test@example.test",
        "a\uff01b@example.test",
        "anna@\u0435xample.test",
        "anna@xn--mller-kva.test",
        "a@[IPv6:::ffff:192.0.2.1]",
        "a@[ipv6:fe80::1%25eth0]",
        "anna@[example.test]",
        "@outside.test:@example.test:anna@example.test",
        "@example.test:a%outside.test@example.test",
        '"@outside.test:anna"@example.test',
        '"<a@outside.test>"@example.test',
        '"a"@outside.test',
        '"anna@example.test"@outside.test',
        r'"\a\@outside.test"@example.test',
        "a%outside.test%x.test@example.test",
        "a!b!c@example.test",
        "a!b%outside.test@example.test",
        "a%@example.test",
        "%@example.test",
        "!@example.test",
        "a@@example.test",
        "a@outside.test,@example.test",
        "anna+a%outside.test@example.test",
        "anna+a!b@example.test",
        "postmaster%outside.test",
        "Postmaster@outside.test",
        "@postmaster",
        "a@outside.test anna@example.test",
        "a\t%outside.test@example.test",
        "a\uff20b\uff05outside.test@example.test",
    ],
    replies.BAD_RECIPIENT: [
        '"a@outside.test"',
        "a@[]",
        "a@",
        '""@example.test',
        "anna",
        '"anna"',
        "anna@",
        "anna @example.test",
        "anna@ example.test",
        "anna@example.test ",
        " anna@example.test",
        "anna@example.test.",
        "anna@example.test..",
        "anna@.example.test",
        "anna,b@example.test",
        "anna;b@example.test",
        "anna(x)@example.test",
        "anna:b@outside.test",
        "anna\t@example.test",
        "anna@example.test\t",
        "anna@example.test\x01",
        "a@outside.test#example.test",
        "a\uff20outside.test",
        "anna@example.test\u200b",
        "anna\u202e@example.test",
        "a@[x400:c=us]",
        "a@[127.0.0.1",
        "a@127.0.0.1]",
        '"a" "b"@example.test',
        '"a".b@example.test',
        '"anna\t"@example.test',
        "a@outside.test:example.test",
        "smtp:a@outside.test",
        "a@example.test/..",
        "a@example.test:25",
        "a..b@example.test",
        ".a@example.test",
        "a.@example.test",
        "a@-example.test",
        "a@" + "x" * 64 + ".test",
        "a" * 65 + "@example.test",
        "",
        " ",
        "a@\texample.test",
        "\tanna@example.test",
    ],
    replies.BAD_ARGUMENT: [
        "anna@example.test>,<b@outside.test",
        r'"anna\"@example.test',
        'anna"@example.test',
        "anna@example.test>a@outside.test",
        "<anna@example.test>",
    ],
    replies.BAD_PARAMETER: [
        "anna@example.test> <a@outside.test",
        "anna@example.test> ORCPT=rfc822;a@outside.test",
    ],
    replies.UNKNOWN: [
        "|cat@example.test",
        "/dev/null@example.test",
        "a@example\u3002test",
        "a@example\uff0etest",
        "a=outside.test@example.test",
        "SRS0=x=y=outside.test=a@example.test",
    ],
}
FORMS = [(form, reply) for reply, forms in TABLE.items() for form in forms]
PATIENT: dict[str, Any] = {"errors_soft": 10_000, "errors_hard": 10_000, "harvest": 0, "commands": 10_000}


def heard(server: ServerInThread) -> dict[str, str]:
    """The reply to each form. What is not ASCII is named with SMTPUTF8 (RFC 6531)."""
    found = {}
    with server.client() as client:
        for parameters, ascii_only in (("", True), (" SMTPUTF8", False)):
            client.mail(parameters=parameters)
            for form, _reply in FORMS:
                if form.isascii() == ascii_only:
                    found[form] = client.say(f"RCPT TO:<{form}>")
            client.say("RSET")
    return found


def text(reply: Reply) -> str:
    return f"{reply.code} {reply.enhanced} {reply.text}"


@pytest.mark.usefixtures("anna")
def test_no_form_of_the_table_is_taken() -> None:
    with ServerInThread(**PATIENT) as server:
        assert heard(server) == {form: text(reply) for form, reply in FORMS}
        with server.client() as client:
            client.mail()
            assert client.say("DATA").startswith("554 5.5.1")
    assert len(dict(FORMS)) >= 60
    assert not Delivery.objects.exists()


@pytest.mark.parametrize("wide", ["accept", "catch-all"])
def test_the_widest_policy_takes_names_of_its_own_domain_alone(anna: Mailbox, wide: str) -> None:
    if wide == "accept":
        Domain.objects.update(recipient_policy=RecipientPolicy.ACCEPT)
    else:
        MailboxAlias.objects.create(address="@example.test", mailbox=anna)
    expected = {form: text(replies.RECIPIENT_OK if reply is replies.UNKNOWN else reply) for form, reply in FORMS}
    with ServerInThread(**PATIENT) as server:
        assert heard(server) == expected
        with server.client() as client:
            client.mail(*(form for form, _reply in FORMS if form.isascii()))
            assert client.data(make_raw()).startswith("250")
    paths = Delivery.objects.values_list("forward_path", flat=True)
    assert {path.rpartition("@")[2] for path in paths} == {"example.test"}


def test_odd_forms_of_an_address_of_ours_reach_its_mailbox_and_nobody_else(anna: Mailbox) -> None:
    forms = [
        "anna@example.test",
        "ANNA@Example.TEST",
        '"anna"@example.test',
        r'"\a\n\n\a"@example.test',
        "Anna+x=y@example.test",
    ]
    for form in forms:
        with ServerInThread() as server, server.client() as client:
            assert client.mail(form) == [text(replies.RECIPIENT_OK)], form
            assert client.data(make_raw()).startswith("250")
    assert set(Delivery.objects.values_list("mailbox", flat=True)) == {anna.pk}


@pytest.mark.usefixtures("anna")
@pytest.mark.parametrize(
    ("argument", "reply"),
    [
        ("TO:anna@example.test", replies.BAD_ARGUMENT),
        ("TO: anna@example.test", replies.BAD_ARGUMENT),
        ("TO:<a@outside.test", replies.BAD_ARGUMENT),
        ("TO:a@outside.test>", replies.BAD_ARGUMENT),
        ("TO:<anna@example.test> <a@outside.test>", replies.BAD_PARAMETER),
        ("TO:<anna@example.test>,<a@outside.test>", replies.BAD_ARGUMENT),
        ("TO:<<a@outside.test>>", replies.BAD_ARGUMENT),
        ("TO :<a@outside.test>", replies.BAD_ARGUMENT),
        ("FROM:<a@outside.test>", replies.BAD_ARGUMENT),
        ("to:<a@outside.test>", replies.FOREIGN),
        ("TO:\t<a@outside.test>", replies.FOREIGN),
        ("TO:<a@m\u00fcller.test>", replies.NEEDS_SMTPUTF8),
        ("TO:<anna@ex\u00e4mple.test>", replies.NEEDS_SMTPUTF8),
    ],
)
def test_odd_commands_are_no_way_round(argument: str, reply: Reply) -> None:
    with ServerInThread() as server, server.client() as client:
        client.mail()
        assert client.say(f"RCPT {argument}") == text(reply)
    assert not Delivery.objects.exists()
