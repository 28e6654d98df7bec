"""What the tests of four bits share: bitsandbytes, and the pocket model."""

import pytest
import torch

from ftkit import models, quant


@pytest.fixture(scope="module")
def bnb():
    """bitsandbytes; its fallback for odd row lengths would be compiled anew for every shape."""
    with torch.compiler.set_stance("force_eager"):
        yield quant.import_bitsandbytes()


@pytest.fixture(scope="module")
def pocket():
    return models.load("pocket")
