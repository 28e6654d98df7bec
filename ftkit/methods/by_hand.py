"""Methods written out in plain torch, each in a few lines, equal to peft's where it has them.

    Bottleneck(layer, width)      h + up(gelu(down(h))) behind a layer         (not in peft)
    IA3Linear(layer, inputs=…)    a factor per output, or per input, of a layer
    prompt_logits(model, prompt, ids)    prompt tuning: vectors before the embeddings
    prefix_logits(model, prefix, ids)    prefix tuning: keys and values before the text's

To read, not to train with: `attach` puts a whole method on a model (`by_peft`), and the tests hold
these to it. LoRA and DoRA by hand are `lora.LoRALinear` and `lora.DoRALinear`. Notebook 08.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Bottleneck(nn.Module):
    """h + up(gelu(down(h))) of what a layer gives (Houlsby et al. 2019, §2.1).

    down is (width, d), up is (d, width) and begins as zero, so that the layer starts as it was.
    """

    def __init__(self, d: int, width: int) -> None:
        super().__init__()
        self.down = nn.Linear(d, width)
        self.up = nn.Linear(width, d)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        """h (…, d) and what the bottleneck adds to it."""
        return h + self.up(F.gelu(self.down(h)))


class IA3Linear(nn.Module):
    """A frozen layer with a learned factor for each output, or for each input (Liu et al. 2022).

    Of keys and values the outputs are scaled; of the matrix that ends an MLP the inputs, its hidden
    units. All factors begin as 1.
    """

    def __init__(self, layer: nn.Linear, *, inputs: bool = False) -> None:
        super().__init__()
        self.layer, self.inputs = layer.requires_grad_(False), inputs
        self.factor = nn.Parameter(torch.ones(layer.in_features if inputs else layer.out_features))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(…, d_out) of x (…, d_in)."""
        return self.layer(x * self.factor) if self.inputs else self.layer(x) * self.factor


def prompt_logits(
    model: "PreTrainedModel", prompt: torch.Tensor, ids: torch.Tensor
) -> torch.Tensor:
    """The logits (rows, tokens, vocabulary) of ids (rows, tokens) behind a learned prompt.

    prompt: vectors (virtual tokens, d), in the place of embeddings (Lester et al. 2021).
    """
    embedded = model.get_input_embeddings()(ids)
    before = prompt.expand(len(ids), -1, -1)
    output = model(inputs_embeds=torch.cat([before, embedded], 1))
    return output.logits[:, len(prompt) :]


def prefix_logits(
    model: "PreTrainedModel", prefix: torch.Tensor, ids: torch.Tensor
) -> torch.Tensor:
    """The logits (rows, tokens, vocabulary) of ids (rows, tokens) behind learned keys and values.

    prefix: (layers, 2, heads, virtual tokens, head's width), keys first (Li & Liang 2021).
    """
    from transformers import DynamicCache

    cache: Any = DynamicCache()
    for layer, (keys, values) in enumerate(prefix):
        rows = [each.expand(len(ids), -1, -1, -1) for each in (keys, values)]
        cache.update(*rows, layer)
    return model(input_ids=ids, past_key_values=cache).logits
