import pytest
from stand_ins import Machine


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)
