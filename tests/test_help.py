"""Every command of einbox says what it, its acts and their arguments are for."""

from argparse import ArgumentParser, _SubParsersAction
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import find_commands, load_command_class

pytestmark = pytest.mark.pure
ROOT = Path(__file__).resolve().parents[1]
OURS = [(app, name) for app in ("einbox", "spool", "audit") for name in find_commands(str(ROOT / app / "management"))]


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
