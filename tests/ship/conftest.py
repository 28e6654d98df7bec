"""What the tests of shipping share: one run of each kind."""

import pytest
from shipping import write_run


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A LoRA on the pocket model, of few rows."""
    return write_run(tmp_path_factory.mktemp("ship") / "tickets", rows=40)


@pytest.fixture(scope="session")
def packed(tmp_path_factory):
    """A LoRA on the pocket model in four bits."""
    return write_run(tmp_path_factory.mktemp("ship") / "four", rows=20, quant="nf4")


@pytest.fixture(scope="session")
def prompted(tmp_path_factory):
    """A run that learned a prompt."""
    method = {"name": "prompt", "tokens": 4}
    return write_run(tmp_path_factory.mktemp("ship") / "prompt", method=method)


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """A run of full fine-tuning."""
    return write_run(tmp_path_factory.mktemp("ship") / "whole", lora=None, rows=20)
