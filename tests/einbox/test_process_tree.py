"""Which children `manage.py up` has."""

from functools import partial

import pytest
from django.test import override_settings

from einbox.process_tree import services
from einbox.supervisor import Service
from spool.smtpd.process import STOP_WITHIN

pytestmark = pytest.mark.pure


@pytest.mark.parametrize("count", [1, 3])
def test_up_starts_as_many_smtpd_processes_as_are_set_and_stops_them_first(count: int) -> None:
    with override_settings(SMTPD_PROCESSES=count):
        children = services(demo=False)
    commands = [command(child) for child in children]
    assert commands[:count] == ["smtpd"] * count
    assert "smtpd" not in commands[count:]
    assert all(child.finishes and child.stop_seconds > STOP_WITHIN for child in children[:count])
    assert len({child.name for child in children}) == len(children)
    assert "smtpd" in {child.name for child in children}


def command(child: Service) -> str:
    """The last word of the command line that the service runs."""
    assert isinstance(child.run, partial)
    return str(child.run.args[0][-1])
