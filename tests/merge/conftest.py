"""What the tests of merging share."""

import pytest
import torch

from ftkit import lora, models


@pytest.fixture
def tuned():
    """An adapter with a real effect on the model."""
    model = lora.attach(models.load("pocket")[0], r=4)
    torch.manual_seed(1)
    for name, p in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(p, std=0.05)
    return model
