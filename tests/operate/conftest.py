"""What the tests of keeping a model alive share."""

import pytest
from version_folders import write_run


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Two runs of the pocket model."""
    folder = tmp_path_factory.mktemp("runs")
    return [write_run(folder / f"run{seed}", seed) for seed in (1, 2)]
