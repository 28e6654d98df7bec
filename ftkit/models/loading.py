"""Load a base model and its tokenizer: the pocket model, a local directory or a hub id.

    load(name, quant)    (model, tokenizer) as transformers makes them, ready for chats
    resolve(name)        the directory or hub id that a name means

Four and eight bits by bitsandbytes are configured here and nowhere else. Safetensors only, never a
pickle and never a model's own code. It changes no weights and adds no adapter (`lora.attach` does);
what four bits do to a weight is `quant`'s subject (notebook 03). The one line that every notebook
from 00 on begins with.
"""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from jinja2 import TemplateError
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

from ..core.errors import UserError, nearest
from ..core.files import data_path
from ..core.session import DTYPES, chosen_model, device_and_dtype
from .files import check_directory, download

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

QUANTIZATIONS = ("nf4", "fp4", "int8")
DEVICES = ("cuda", "cpu")

# For a model that brings no chat template: who speaks, a line break, what is said. The marks
# around the assistant's words tell TRL which tokens carry loss.
PLAIN_TEMPLATE = (
    "{%- for m in messages %}"
    "{{- m['role'] + ':\n' }}"
    "{%- if m['role'] == 'assistant' %}"
    "{%- generation %}{{- m['content'] + eos_token }}{%- endgeneration %}"
    "{%- else %}{{- m['content'] }}{%- endif %}"
    "{{- '\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- 'assistant:\n' }}{%- endif %}"
)
# In front of a template that refuses system messages: the first one becomes the head of the
# user's message, as in Gemma 3's own template.
FOLD_SYSTEM_MESSAGE = (
    "{%- if messages[0]['role'] == 'system' %}"
    "{%- set messages = [{'role': 'user', 'content': "
    "messages[0]['content'] + '\n\n' + messages[1]['content']}] + messages[2:] %}"
    "{%- endif %}"
)
# The shortest chat that shows whether a template takes a system message.
SYSTEM_CHAT = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]


def resolve(name: str | Path | None = None) -> str:
    """The directory or hub id that `name` means; None asks the dial (`core.session.chosen_model`).

    name: "pocket", "hub", an existing directory, or "owner/name". Raises UserError for any other.
    """
    name = chosen_model(str(name) if name is not None else None)
    if name == "pocket":
        name = str(data_path("pocket"))

    # on this disk
    path = Path(name).expanduser()
    if path.is_dir():
        check_directory(path)
        return str(path)
    if path.exists():
        raise UserError(f"{name} is a file; give the model's directory, {path.parent}.")

    # on the hub, if it is spelled like an id
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise UserError(
            f"there is no model {name!r}: give 'pocket', 'hub', a model directory that exists, "
            f"or a hub id such as 'owner/name'.{nearest(name, ['pocket', 'hub'])}"
        )
    return name


def load(
    name: str | Path | None = None,
    quant: str | None = None,
    *,
    device: str | None = None,
    dtype: str | None = None,
) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    """`(model, tokenizer)` as transformers makes them, in evaluation mode, on a GPU if one is here.

    name: "pocket", "hub" (`core.session.HUB`), a directory or a hub id; None reads FTKIT_MODEL,
    else "pocket".
    quant: None, "nf4", "fp4" (4 bits, double quantization; Dettmers et al. 2023) or "int8", by
    bitsandbytes.
    device: "cuda" or "cpu"; dtype: "float32", "bfloat16" or "float16"; by default those of
    `core.session.device_and_dtype`.
    The tokenizer has what chats need, see `complete_tokenizer`. Raises UserError for what is not
    there or not whole.
    """
    check_choice("quant", quant, QUANTIZATIONS)
    where = resolve(name)
    if not Path(where).is_dir():
        where = download(where)
    device, dtype = choose_device_and_dtype(device, dtype)

    # bitsandbytes packs the weights while they are read, so it has to know the device by then
    options: dict[str, Any] = {"dtype": getattr(torch, dtype), "use_safetensors": True}
    if quant is not None:
        config = bitsandbytes_config(quant, getattr(torch, dtype))
        options |= {"quantization_config": config, "device_map": device}
    tokenizer, model = from_folder(where, options)

    complete_tokenizer(tokenizer)
    if quant is None:
        model.to(device)  # type: ignore # pyright takes the device for self
    else:
        keep_unpacked(model)
    return model.eval(), tokenizer


def from_folder(
    where: str, options: dict[str, Any]
) -> "tuple[PreTrainedTokenizerBase, PreTrainedModel]":
    """Tokenizer and model as transformers reads them; options: of the model's `from_pretrained`."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(where)
        model = AutoModelForCausalLM.from_pretrained(where, **options)
    except OSError as error:
        raise UserError(
            f"could not load {where!r} ({str(error).splitlines()[0]}); "
            "check the id and the network, or give a local directory."
        ) from error
    return tokenizer, model


def choose_device_and_dtype(device: str | None, dtype: str | None) -> tuple[str, str]:
    """The device and dtype that are asked for, else the session's.

    Raises UserError for what torch does not know or does not see here.
    """
    check_choice("device", device, DEVICES)
    check_choice("dtype", dtype, DTYPES)
    device_here, usual_dtype = device_and_dtype()
    if device == "cuda" and device_here != "cuda":
        raise UserError(
            "device is 'cuda' and torch sees no GPU here; "
            "give device='cpu', or None for what there is."
        )
    return device or device_here, dtype or usual_dtype


def check_choice(argument: str, value: str | None, known: Collection[str]) -> None:
    """Refuse a value that is neither None nor known."""
    if value is not None and value not in known:
        raise UserError(
            f"{argument} is {value!r}; give {', '.join(map(repr, known))}, or None."
            f"{nearest(value, known)}"
        )


def complete_tokenizer(tokenizer: "PreTrainedTokenizerBase") -> None:
    """Give a tokenizer what chats in batches need and it lacks.

    A token for padding, a chat template, and a place for system messages in a template that
    refuses them.
    """
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.chat_template is None:
        tokenizer.chat_template = PLAIN_TEMPLATE
    try:
        tokenizer.apply_chat_template(SYSTEM_CHAT, tokenize=False)
    except TemplateError:
        tokenizer.chat_template = FOLD_SYSTEM_MESSAGE + cast(str, tokenizer.chat_template)


def bitsandbytes_config(quant: str, dtype: torch.dtype) -> BitsAndBytesConfig:
    """The bitsandbytes configuration of `load`'s `quant`; matrices are multiplied in `dtype`."""
    if quant == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=quant,
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def keep_unpacked(model: "PreTrainedModel") -> None:
    """Keep 4-bit layers on bitsandbytes' ordinary path: dequantize, then multiply.

    On a CPU with AVX-512 BF16 the first evaluation would repack them for good, with scales in
    bfloat16 (bitsandbytes 0.50): logits change, and when the model is trained after that, no
    gradient passes such a layer any more.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False  # type: ignore # a bool there
