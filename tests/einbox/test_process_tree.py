"""Which children `manage.py up` has."""

import pytest
from django.test import override_settings

from einbox.process_tree import services

pytestmark = pytest.mark.pure


@pytest.mark.parametrize("count", [1, 3])
def test_up_starts_as_many_smtpd_processes_as_are_set_and_stops_them_first(count: int) -> None:
    with override_settings(SMTPD_PROCESSES=count):
        children = services(demo=False)
    assert [child.name.partition("-")[0] for child in children[:count]] == ["smtpd"] * count
    assert not any(child.name.startswith("smtpd") for child in children[count:])
    assert len({child.name for child in children}) == len(children)
