"""What the command line refuses, and how a command ends by Ctrl-C."""

import pytest

from einbox import entry

pytestmark = pytest.mark.pure


@pytest.mark.parametrize("name", sorted(entry.NOT_HERE))
def test_djangos_ways_round_einbox_are_not_here(name: str) -> None:
    with pytest.raises(SystemExit) as ended:
        entry.run(["manage.py", name])
    assert str(ended.value).startswith(f"einbox has no {name}: ")


def test_ctrl_c_ends_a_command_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_command_line: list[str]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(entry, "execute_from_command_line", interrupted)
    with pytest.raises(SystemExit) as ended:
        entry.run(["manage.py", "doctor"])
    assert ended.value.code == 130
