"""Readers of settings: what is wrong is a sentence that names the setting and says what is expected."""

from collections.abc import Callable
from pathlib import Path

import pytest

from einbox.env import Env, SettingsError
from tests.doubles.installation import Installation

pytestmark = pytest.mark.pure
GOOD = (
    "localhost",
    "Einbox.example.org",
    "xn--bcher-kva.example",
    "mx-1.4you.example",
    "a." * 126 + "b",
    "[192.0.2.1]",
    "[IPv6:2001:db8::1]",
)
BAD = (
    "bad name",
    "a\r\nb",
    "bücher.example",
    "under_score.example",
    "-a.example",
    "a-.example",
    "a..b",
    "example.org.",
    "x" * 64,
    "a." * 127 + "b",
    "192.0.2.1",
    "[192.0.2]",
    "[2001:db8::1]",
    "[IPv6:fe80::1%eth0]",
    "2001:db8::1",
)


@pytest.mark.parametrize("name", GOOD)
def test_what_a_mail_server_may_call_itself(name: str) -> None:
    assert Env({"EINBOX_HOSTNAME": name}).mail_name("EINBOX_HOSTNAME", "x") == name


@pytest.mark.parametrize("name", BAD)
def test_what_no_greeting_may_say_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=r"^EINBOX_HOSTNAME must be a DNS name .*; got '"):
        Env({"EINBOX_HOSTNAME": name}).mail_name("EINBOX_HOSTNAME", "x")


READERS: dict[str, Callable[[Env], object]] = {
    "flag": lambda env: env.flag("X", default=False),
    "integer": lambda env: env.integer("X", 1, low=0, high=9),
    "address": lambda env: env.address("X", "a:1"),
    "networks": lambda env: env.networks("X"),
    "mail_name": lambda env: env.mail_name("X", "localhost"),
}


@pytest.mark.parametrize("kind", READERS)
def test_what_a_file_holds_is_not_repeated(tmp_path: Path, kind: str) -> None:
    (tmp_path / "secret").write_text("k3y of_something")
    for source, shown in (({"X": "k3y of_something"}, True), ({"X_FILE": str(tmp_path / "secret")}, False)):
        with pytest.raises(SettingsError) as refused:
            READERS[kind](Env(source))
        assert ("k3y" in str(refused.value)) is shown


def test_an_empty_name_is_the_default() -> None:
    assert Env({"EINBOX_HOSTNAME": " "}).mail_name("EINBOX_HOSTNAME", "localhost") == "localhost"


def test_no_command_runs_under_a_name_that_is_none(tmp_path: Path) -> None:
    ended = Installation(tmp_path / "home", EINBOX_HOSTNAME="bad name").manage("migrate")
    assert ended.returncode == 1
    assert ended.stderr.startswith("einbox cannot start: EINBOX_HOSTNAME must be")
    assert not (tmp_path / "home").exists()
