import pytest

from tests.end_to_end.machines import machines
from tests.end_to_end.running import started_commands


@pytest.fixture(scope="module")
def cluster_of(tmp_path_factory):
    """Starts a head and so many workers, of so many CPUs each, for the tests of a module."""
    with started_commands(tmp_path_factory.mktemp("machines")) as command, machines(command) as made:
        yield made.start
