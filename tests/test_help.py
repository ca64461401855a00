"""Every command of einbox says what it, its acts and their arguments are for."""

import re
from argparse import ArgumentParser, _SubParsersAction
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import find_commands, get_commands, load_command_class

from einbox.entry import NOT_HERE
from einbox.without_settings import COMMANDS
from tests.doubles.installation import Installation

pytestmark = pytest.mark.pure
ROOT = Path(__file__).resolve().parents[1]
OURS = [(app, name) for app in ("einbox", "spool", "audit") for name in find_commands(str(ROOT / app / "management"))]


def test_help_lists_what_is_einboxs_and_nothing_that_is_refused() -> None:
    listed = {name for commands in COMMANDS.values() for name in commands}
    assert listed - set(COMMANDS["Of Django"]) == {name for _app, name in OURS}
    assert set(COMMANDS["Of Django"]) <= set(get_commands())
    assert not listed & set(NOT_HERE)


@pytest.mark.parametrize("words", [(), ("help",), ("--help",)])
def test_help_needs_no_settings(words: tuple[str, ...], tmp_path: Path) -> None:
    asked = Installation(tmp_path / "home", EINBOX_WEB="nonsense").manage(*words)
    assert asked.returncode == 0
    assert re.search(r"^  outage +see, open", asked.stdout, re.MULTILINE)
    assert "runserver" not in asked.stdout
    assert not (tmp_path / "home").exists()


def unsaid(parser: ArgumentParser, words: str) -> Iterator[str]:
    """What --help lists without a word about it."""
    for action in parser._actions:
        if isinstance(action, _SubParsersAction):
            told = {each.dest for each in action._choices_actions if each.help}
            yield from (f"{words} {act}" for act in set(action.choices) - told)
            for act, one in action.choices.items():
                yield from unsaid(one, f"{words} {act}")
        elif not action.help:
            yield f"{words} {action.metavar or action.dest}"


@pytest.mark.parametrize(("app", "name"), OURS)
def test_nothing_is_left_without_a_word(app: str, name: str) -> None:
    parser = load_command_class(app, name).create_parser("manage.py", name)
    assert parser.description
    assert sorted(unsaid(parser, name)) == []
