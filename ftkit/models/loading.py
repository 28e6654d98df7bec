"""Load a base model and its tokenizer: the pocket model, a local directory or a hub id. Safetensors
only.
"""

from pathlib import Path

from ..core.errors import UserError, nearest
from ..core.files import data_path
from ..core.session import DTYPES, chosen_model, device_and_dtype
from .files import check_directory, download

QUANTIZATIONS = ("nf4", "fp4", "int8")


def resolve(name: str | Path | None = None) -> str:
    """The directory or hub id that `name` means: "pocket", "hub", an existing directory, or
    "owner/name".
    """
    name = chosen_model(str(name) if name is not None else None)
    if name == "pocket":
        name = str(data_path("pocket"))
    path = Path(name).expanduser()
    if path.is_dir():
        check_directory(path)
        return str(path)
    if path.exists():
        raise UserError(f"{name} is a file; give the model's directory, {path.parent}.")
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        hint = nearest(name, ["pocket", "hub"])
        raise UserError(
            f"there is no model {name!r}: give 'pocket', 'hub', a model directory that exists, or a hub id such as 'owner/name'.{hint}"
        )
    return name


def load(
    name: str | Path | None = None,
    quant: str | None = None,
    *,
    device: str | None = None,
    dtype: str | None = None,
):
    """`(model, tokenizer)` as transformers makes them, in evaluation mode, on the GPU where there
    is one.

    name: "pocket", "hub" (`runtime.HUB`), a directory or a hub id; None reads FTKIT_MODEL, else
    "pocket".
    quant: None, "nf4", "fp4" (4 bits, double quantization; Dettmers et al. 2023) or "int8", by
    bitsandbytes.
    device, dtype: "cuda" or "cpu", and "float32", "bfloat16" or "float16"; by default those of
    `runtime.device_and_dtype`. The tokenizer is its own, made `complete`.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if quant is not None and quant not in QUANTIZATIONS:
        raise UserError(
            f"quant is {quant!r}; give None, {', '.join(map(repr, QUANTIZATIONS))}.{nearest(quant, QUANTIZATIONS)}"
        )
    where = resolve(name)
    where = where if Path(where).is_dir() else download(where)
    device, dtype_name = place(device, dtype)
    dtype = getattr(torch, dtype_name)
    options = {"dtype": dtype, "use_safetensors": True}
    if quant:
        options |= {"quantization_config": quantization(quant, dtype), "device_map": device}
    try:
        tokenizer = AutoTokenizer.from_pretrained(where)
        model = AutoModelForCausalLM.from_pretrained(where, **options)
    except OSError as error:
        raise UserError(
            f"could not load {where!r} ({str(error).splitlines()[0]}); check the id and the network, or give a local directory."
        ) from error
    complete_tokenizer(tokenizer)
    return (keep_unpacked(model) if quant else model.to(device)).eval(), tokenizer


def place(device: str | None, dtype: str | None) -> tuple[str, str]:
    """The device and dtype that are asked for, else the session's; refuses what torch does not know
    or does not see.
    """
    here, usual = device_and_dtype()
    for what, value, known in (("device", device, ("cuda", "cpu")), ("dtype", dtype, DTYPES)):
        if value is not None and value not in known:
            raise UserError(
                f"{what} is {value!r}; give {', '.join(map(repr, known))}, or None.{nearest(value, known)}"
            )
    if device == "cuda" and here != "cuda":
        raise UserError(
            "device is 'cuda' and torch sees no GPU here; give device='cpu', or None for what there is."
        )
    return device or here, dtype or usual


# For a model that brings no chat template: who speaks, a line break, what is said.
PLAIN = (
    "{%- for m in messages %}{{- m['role'] + ':\n' }}{%- if m['role'] == 'assistant' %}{%- generation %}{{- m['content'] + eos_token }}"
    "{%- endgeneration %}{%- else %}{{- m['content'] }}{%- endif %}{{- '\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- 'assistant:\n' }}{%- endif %}"
)
# In front of a template that refuses system messages: the first one becomes the head of the user's
# message, as in Gemma 3's own.
FOLD = (
    "{%- if messages[0]['role'] == 'system' %}{%- set messages = [{'role': 'user', 'content': "
    "messages[0]['content'] + '\n\n' + messages[1]['content']}] + messages[2:] %}{%- endif %}"
)


def complete_tokenizer(tokenizer) -> None:
    """Give a tokenizer what chats and batches need and it lacks: a token for padding, a chat
    template, a place for system messages.
    """
    from jinja2 import TemplateError

    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.chat_template is None:
        tokenizer.chat_template = PLAIN
    try:
        tokenizer.apply_chat_template(
            [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}], tokenize=False
        )
    except TemplateError:
        tokenizer.chat_template = FOLD + tokenizer.chat_template


def quantization(quant: str, dtype):
    """The bitsandbytes configuration of `load`'s `quant`."""
    from transformers import BitsAndBytesConfig

    if quant == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=quant,
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def keep_unpacked(model):
    """`model`, its 4-bit layers kept on bitsandbytes' ordinary path: dequantize, then multiply.

    On a CPU with AVX-512 BF16 the first evaluation would repack them for good, with scales in
    bfloat16 (bitsandbytes 0.50): logits change, and when the model is trained after that, no
    gradient passes such a layer any more.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return model
