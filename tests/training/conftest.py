"""What tests of trainings share: judged models, and accelerate's state, of which there is one a process."""

import pytest
from accelerate.state import AcceleratorState

from tests.support.judged_models import judged_workspace


@pytest.fixture(autouse=True)
def _own_accelerate_state():
    AcceleratorState._reset_state(True)
    yield
    AcceleratorState._reset_state(True)


@pytest.fixture(scope="module")
def judged(module_folder, tmp_path_factory):
    """A workspace of judges and models of a few steps, for all tests of a module."""
    return judged_workspace(tmp_path_factory.getbasetemp(), module_folder)


@pytest.fixture
def own_judged(tmp_path, tmp_path_factory):
    """The same for a test that changes it."""
    return judged_workspace(tmp_path_factory.getbasetemp(), tmp_path / "runs")
