"""The parts of a loaded model: linear layers, trained parameters, other numbers for a while.

    linears(model)              {name: layer}, what peft's "all-linear" means
    trained_parameters(model)   the parameters that gradients reach
    sums(model)                 what tells whether they have changed
    count_numbers(model)        how many numbers it holds, packed ones unpacked
    replace_weights(weights)    inside a `with` block, other numbers in some parameters
    asking(model)               inside a `with` block, it is asked: evaluation mode, no gradients
    is_packed(model)            does bitsandbytes hold it in four or eight bits?
    is_slow_here(model)         does a question take long, on this device?
    affordable(model, a, b)     a, or b where it does

Layers by shape alone, without a model, are `architecture.py`'s business; adapters are `lora`'s.
Used from notebook 01 on, which cuts matrices down and puts them back.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import torch
from transformers.pytorch_utils import Conv1D

from ..core.session import plain_torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Choice = TypeVar("Choice")
Sums = dict[str, tuple[float, float]]  # see `sums`
SLOW = 20_000_000  # parameters: a CPU takes seconds for an answer of a larger model


def linears(model: "PreTrainedModel") -> dict[str, torch.nn.Linear | Conv1D]:
    """Every linear layer of the model's blocks by name, the output head left out ("all-linear").

    GPT-2's Conv1D is one too: a linear layer that stores its weight as (d_in, d_out).
    """
    head = model.get_output_embeddings()
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D) and module is not head
    }


@contextmanager
def replace_weights(weights: Mapping[torch.nn.Parameter, torch.Tensor]) -> Iterator[None]:
    """Other numbers in the parameters inside the block, and the very same ones after it.

    weights: {parameter: its new values}, of one shape each.
    """
    originals = {parameter: parameter.detach().clone() for parameter in weights}
    try:
        write_weights(weights)
        yield
    finally:
        write_weights(originals)


@contextmanager
def asking(model: torch.nn.Module) -> Iterator[None]:
    """The model in evaluation mode inside the block, without gradients, by torch's own defaults.

    After it, each of its modules is in the mode that it was in. A model that a loop has left in
    training mode would else answer through its dropout.
    """
    training = [module for module in model.modules() if module.training]
    try:
        for module in training:
            module.training = False
        with plain_torch(), torch.no_grad():
            yield
    finally:
        for module in training:
            module.training = True


def write_weights(weights: Mapping[torch.nn.Parameter, torch.Tensor]) -> None:
    """Put values into parameters, in place and unseen by autograd."""
    with torch.no_grad():
        for parameter, values in weights.items():
            parameter.copy_(values)


def plain_name(name: str) -> str:
    """A parameter's or module's name without what peft puts around it.

    plain_name("base_model.model.lm_head.base_layer.weight") is "lm_head.weight".
    """
    return name.removeprefix("base_model.model.").replace(".base_layer", "")


def trained_parameters(model: torch.nn.Module) -> list[torch.nn.Parameter]:
    """The parameters that are trained."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def sums(model: torch.nn.Module) -> Sums:
    """{name: (sum, sum of sizes)} of the trained parameters: equal where no number changed."""
    return {
        name: (p.detach().double().sum().item(), p.detach().double().abs().sum().item())
        for name, p in model.named_parameters()
        if p.requires_grad
    }


def count_numbers(model: torch.nn.Module) -> int:
    """How many numbers the parameters of a model are, whatever they are stored in.

    bitsandbytes packs two 4-bit numbers into a byte, which torch counts as one: this counts two, as
    peft and transformers do. A tied weight counts once; buffers and adapters' scales do not count.
    """
    return sum(numbers_in(parameter) for parameter in model.parameters())


def numbers_in(parameter: torch.nn.Parameter) -> int:
    """The numbers of one parameter: those of the shape that a packed one stands for."""
    state = getattr(parameter, "quant_state", None)
    return parameter.numel() if state is None else math.prod(state.shape)


def is_packed(model: torch.nn.Module) -> bool:
    """True for a base in four or eight bits: bitsandbytes holds its weights as integers."""
    return any(not parameter.is_floating_point() for parameter in model.parameters())


def is_slow_here(model: torch.nn.Module) -> bool:
    """Whether questions take long: more than SLOW parameters, on a CPU."""
    parameter = next(model.parameters())
    return parameter.device.type == "cpu" and count_numbers(model) > SLOW


def affordable(model: torch.nn.Module, usual: Choice, slow: Choice) -> Choice:
    """`usual`, or `slow` where the model is slow here: a number of rows, say, or a way to ask.

    affordable(model, 200, 12) is 12 for a model of a hundred million parameters on a CPU.
    """
    return slow if is_slow_here(model) else usual
