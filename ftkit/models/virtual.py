"""Virtual tokens: what prompt learning puts before every text, and how such a model is asked.

    virtual_tokens(model)     how many stand before what it reads; 0 where it learns no prompt
    read(model, **inputs)     a forward pass, whose logits are those of the given tokens alone
    write(model, inputs, …)   the tokens that `generate` adds to a batch of prompts

Prompt tuning, P-tuning and prefix tuning change no weight; what they learned lies before the text.
With a cache peft's own `generate` feeds them again with each new token, and answers to nothing
(peft 1391, 2123): so a base is asked here with the virtual tokens written out, with a cache and
batches, to the same tokens as forward passes alone. All others are asked as they are. Adapters are
`methods`'.
"""

import dataclasses
import warnings
from typing import TYPE_CHECKING, Any, cast

import torch
from transformers.modeling_outputs import CausalLMOutputWithPast

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Keys and values of what was read: their new name in transformers, or the one before.
NAMES = [part.name for part in dataclasses.fields(CausalLMOutputWithPast)]
KEYS = "cache" if "cache" in NAMES else "past_key_values"


def virtual_tokens(model: torch.nn.Module) -> int:
    """How many virtual tokens stand before what a model reads; 0 also where they are switched off.

    They take positions like any other token.
    """
    if getattr(model, "_adapters_disabled", False) or not hasattr(model, "active_peft_config"):
        return 0
    config: Any = model.active_peft_config
    return config.num_virtual_tokens if config.is_prompt_learning else 0


def read(model: torch.nn.Module, **inputs: Any) -> Any:
    """What `model(**inputs)` gives, its logits (rows, tokens, vocabulary) of the given tokens.

    inputs: input_ids (rows, tokens), and an attention_mask where rows are padded, on either side.
    """
    length = inputs["input_ids"].shape[1]
    if virtual_tokens(model):
        model, inputs = written_out(model, inputs)
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        output = model(**inputs)
    output.logits = output.logits[:, -length:]
    return output


def write(model: "PreTrainedModel", inputs: dict[str, torch.Tensor], **options: Any) -> Any:
    """The tokens (rows, new) that `generate` adds to prompts padded on the left.

    inputs: input_ids and attention_mask (rows, tokens); options: those of `generate`.
    """
    length = inputs["input_ids"].shape[1]
    asked: Any = model
    if count := virtual_tokens(model):
        asked, inputs = written_out(model, inputs)
        # of a prompt in numbers alone it hands back the new tokens
        length = 0 if KEYS not in inputs else length + count
        del inputs["position_ids"]
        if KEYS in inputs:
            # it takes what stands in the cache for the first of the given tokens
            ids = inputs["input_ids"]
            inputs["input_ids"] = torch.cat([ids.new_zeros(len(ids), count), ids], 1)
    return asked.generate(**inputs, **options)[:, length:]


def written_out(
    model: torch.nn.Module, inputs: dict[str, Any]
) -> tuple["PreTrainedModel", dict[str, Any]]:
    """(the base, inputs in which the virtual tokens stand): as vectors, or as keys and values.

    Padding between them and a text is masked and takes no position, so each row is read as if it
    stood alone.
    """
    adapted = cast(Any, model)
    base, inputs = adapted.get_base_model(), dict(inputs)
    ids = inputs["input_ids"]
    rows, length = ids.shape
    mask = inputs.get("attention_mask")
    mask = torch.ones_like(ids) if mask is None else mask
    mask = torch.cat([mask.new_ones(rows, virtual_tokens(model)), mask], 1)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    inputs |= {"attention_mask": mask, "position_ids": positions}

    # prefix tuning learns keys and values, the others vectors in the place of embeddings
    if hasattr(adapted.active_peft_config, "prefix_projection"):
        inputs[KEYS] = adapted.get_prompt(rows, max_cache_len=mask.shape[1])
        inputs["position_ids"] = positions[:, -length:]
    else:
        embedded = base.get_input_embeddings()(inputs.pop("input_ids"))
        prompt = adapted.get_prompt(rows).to(embedded.dtype)
        inputs["inputs_embeds"] = torch.cat([prompt, embedded], 1)
    return base, inputs
