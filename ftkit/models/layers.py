"""TODO header of models.layers."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager


def linears(model) -> dict:
    """Every linear layer of the model's blocks by name, the output head left out: what 'all-linear'
    means.

    GPT-2's Conv1D is one too: a linear layer that stores its weight as (d_in, d_out).
    """
    import torch
    from transformers.pytorch_utils import Conv1D

    head = model.get_output_embeddings()
    return {
        name: m
        for name, m in model.named_modules()
        if isinstance(m, torch.nn.Linear | Conv1D) and m is not head
    }


@contextmanager
def replace_weights(weights: Mapping) -> Iterator[None]:
    """Other numbers in the parameters inside the block, and the very same ones after it: weights =
    {parameter: its new values}.
    """
    import torch

    kept = {parameter: parameter.detach().clone() for parameter in weights}
    try:
        with torch.no_grad():
            for parameter, values in weights.items():
                parameter.copy_(values)
        yield
    finally:
        with torch.no_grad():
            for parameter, values in kept.items():
                parameter.copy_(values)


def plain_name(name: str) -> str:
    """A parameter's or module's name without what peft puts around it."""
    return name.removeprefix("base_model.model.").replace(".base_layer", "")


def trained_parameters(model) -> list:
    """The parameters that are trained."""
    return [p for p in model.parameters() if p.requires_grad]


def is_packed(model) -> bool:
    """True for a base that bitsandbytes holds in four or eight bits."""
    return any(not p.is_floating_point() for p in model.parameters())
