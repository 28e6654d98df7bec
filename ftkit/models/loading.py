"""Load a base model and its tokenizer: the pocket model, a local directory or a hub id.

    load(name, quant)    (model, tokenizer) as transformers makes them, ready for chats
    load_tokenizer(name) its tokenizer alone
    resolve(name)        the directory or hub id that a name means

Four and eight bits by bitsandbytes are configured here and nowhere else. Safetensors only, never a
pickle and never a model's own code. It changes no weights and adds no adapter (`lora.attach` does);
what four bits do to a weight is `quant`'s subject (notebook 03). The one line that every notebook
from 00 on begins with.
"""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jinja2 import TemplateError, TemplateSyntaxError
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

from .. import fetched
from ..core.errors import UserError, is_number, is_whole, nearest, reason
from ..core.files import data_path
from ..core.parsing import shown
from ..core.session import DTYPES, chosen_model, device_and_dtype, plain_torch
from .files import check_directory, download

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# What a tokenizer is read from: its own file, SentencePiece's, or a vocabulary.
TOKENIZERS = ("tokenizer.json", "*.model", "vocab.*", "*.tiktoken", "tekken.json")
QUANTIZATIONS = ("nf4", "fp4", "int8")
DEVICES = ("cuda", "cpu")
SAMPLING = (  # what a generation config may state that greedy answers never read
    "temperature", "top_p", "min_p", "top_k", "top_h", "typical_p", "epsilon_cutoff", "eta_cutoff",
)  # fmt: skip
NAMES = ("pocket", "smollm2", "hub")

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

    name: "pocket", "smollm2" (once it is fetched), "hub", an existing directory, or "owner/name".
    Raises UserError for any other.
    """
    name = chosen_model(str(name) if name is not None else None)
    if name == "pocket":
        name = str(data_path("pocket"))
    if name == "smollm2":
        name = str(fetched.find(name))

    # on this disk
    path = Path(name).expanduser()
    try:
        path.stat()
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:  # too long a name, or one that may not be looked at
        why = getattr(error, "strerror", None) or error
        raise UserError(f"there is no model {shown(name)} ({why}).") from error
    if path.is_dir():
        check_directory(path)
        return str(path)
    if path.exists():
        raise UserError(f"{name} is a file; give the model's directory, {path.parent}.")

    # on the hub, if it is spelled like an id
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise UserError(
            f"there is no model {name!r}: give 'pocket', 'smollm2', 'hub', a model directory "
            f"that exists, or a hub id such as 'owner/name'.{nearest(name, NAMES)}"
        )
    return name


@plain_torch()
def load(
    name: str | Path | None = None,
    quant: str | None = None,
    *,
    device: str | None = None,
    dtype: str | None = None,
) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    """`(model, tokenizer)` as transformers makes them, in evaluation mode, on a GPU if one is here.

    name: "pocket", "smollm2" (`fetched`), "hub" (`core.session.HUB`), a directory or a hub id; None
    reads FTKIT_MODEL, else "pocket".
    quant: None, "nf4", "fp4" (4 bits, double quantization; Dettmers et al. 2023) or "int8", by
    bitsandbytes.
    device: "cuda" or "cpu"; dtype: "float32", "bfloat16" or "float16"; by default those of
    `core.session.device_and_dtype`.
    The tokenizer has what chats need, see `complete_tokenizer`. Raises UserError for what is not
    there or not whole.
    """
    check_choice("quant", quant, QUANTIZATIONS)
    where = folder_of(name)
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
        keep_unpacked(model)  # before it reads anything: the first token would repack it
    check_runs(where, model)
    drop_sampling(model)
    return model.eval(), tokenizer


def folder_of(name: str | Path | None, *, weights: bool = True) -> str:
    """The folder of the model that `name` means, in the cache of a hub model.

    By its whole path: the model is still known when the working directory is another one.
    """
    where = resolve(name)
    local = Path(where).is_dir()
    return str(Path(where).absolute()) if local else download(where, weights=weights)


def load_tokenizer(name: str | Path | None = None) -> "PreTrainedTokenizerBase":
    """The tokenizer that `load` gives of a model, without the model.

    Of a hub model everything but the weights is downloaded.
    """
    return saved_tokenizer(folder_of(name, weights=False))


def saved_tokenizer(folder: str | Path) -> "PreTrainedTokenizerBase":
    """The tokenizer in a folder, which may be an adapter's and hold no model."""
    where = str(folder)
    check_tokenizer(where)
    try:
        tokenizer = AutoTokenizer.from_pretrained(where, trust_remote_code=False)
    except Exception as error:  # its files may be wrong in any way, and fail in any
        raise UserError(f"could not load the tokenizer of {where!r} ({reason(error)}).") from error
    complete_tokenizer(tokenizer)
    return tokenizer


def check_tokenizer(where: str) -> None:
    """Refuse a folder in which no file is a tokenizer's."""
    if not any(file for pattern in TOKENIZERS for file in Path(where).glob(pattern)):
        raise UserError(
            f"could not load {where!r} (it holds no tokenizer, such as a tokenizer.json); copy or "
            "download it again, or save it there: tokenizer.save_pretrained(folder)."
        )


def from_folder(
    where: str, options: dict[str, Any]
) -> "tuple[PreTrainedTokenizerBase, PreTrainedModel]":
    """Tokenizer and model as transformers reads them; options: of the model's `from_pretrained`.

    Raises `UserError` for whatever transformers can't make a model of, and for one that it would
    make although tensors are missing, left over or of another shape.
    """
    check_tokenizer(where)
    try:
        tokenizer = AutoTokenizer.from_pretrained(where, trust_remote_code=False)
        # with output_loading_info a pair comes back
        model, found = AutoModelForCausalLM.from_pretrained(  # type: ignore
            where,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            **options,
        )
    except Exception as error:  # a configuration may be wrong in any way, and fail in any
        why = reason(error)
        if "custom code" in str(error):
            why = "it needs program code that it brings along, which is never run here"
        raise UserError(
            f"could not load {where!r} ({why}); copy or download it again, or give another model."
        ) from error
    check_loaded(where, model, found)
    return tokenizer, model


def check_loaded(
    where: str, model: "PreTrainedModel", found: Mapping[str, Collection[Any]]
) -> None:
    """Refuse a model that is not what its files hold.

    found: what transformers says of the loading. It gives random values to what is missing, and
    passes over what is left.
    """
    for name, stored, made in sorted(found["mismatched_keys"]):
        raise UserError(
            f"{where}: {name} is {tuple(stored)} in the file and {tuple(made)} by config.json; "
            "the two belong to different models."
        )
    if missing := sorted(found["missing_keys"]):
        raise UserError(
            f"{where} is not whole: config.json makes a model with {len(missing)} tensors more "
            f"than its files hold, {missing[0]} for one; copy or download it again."
        )

    # what is left over is another model's part, such as a picture's encoder, or one more of this's
    kinds = {starred(name) for name, _ in model.named_modules()}
    if more := [
        n for n in sorted(found["unexpected_keys"]) if starred(n.rpartition(".")[0]) in kinds
    ]:
        raise UserError(
            f"{where}: its files hold {len(more)} tensors that config.json makes no place for, "
            f"{more[0]} for one; the two belong to different models."
        )
    for name, parameter in model.named_parameters():
        if parameter.is_floating_point() and not all(map(torch.isfinite, parameter.aminmax())):
            raise UserError(
                f"{where} holds NaN or infinite values in {name}, so every answer would be noise; "
                "copy or download it again."
            )


def check_runs(where: str, model: "PreTrainedModel") -> None:
    """Refuse a model that can't read a single token: its configuration may say anything."""
    if model.config.is_encoder_decoder:
        raise UserError(
            f"{where} is an encoder and a decoder by its config.json (is_encoder_decoder); give a "
            "model that goes on from a text by itself."
        )
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        ids = getattr(model.generation_config, name, None)
        if not all(is_whole(each) for each in (ids if isinstance(ids, list) else [ids or 0])):
            raise UserError(
                f"{where} states {name} = {shown(ids)}; give the number of a token, or a list of "
                "numbers."
            )
    try:
        with torch.no_grad():
            model(torch.zeros(1, 1, dtype=torch.long, device=model.device), use_cache=True)
    except Exception as error:  # as above
        raise UserError(
            f"{where} can't read a token ({reason(error)}); copy its config.json again, or give "
            "another model."
        ) from error


def starred(name: str) -> str:
    """A name with a star for each number: layers are told apart by nothing else."""
    return re.sub(r"(?<=\.)\d+(?=\.|$)", "*", name)


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
    if tokenizer.pad_token is None:
        raise UserError(
            f"the tokenizer of {tokenizer.name_or_path} names no token that ends a text and none "
            "for padding (eos_token and pad_token of its tokenizer_config.json); copy or download "
            "it again."
        )
    if not is_number(tokenizer.model_max_length):
        raise UserError(
            f"the tokenizer of {tokenizer.name_or_path} states model_max_length = "
            f"{shown(tokenizer.model_max_length)} in its tokenizer_config.json; give a number of "
            "tokens."
        )
    if not tokenizer.chat_template:
        tokenizer.chat_template = PLAIN_TEMPLATE
    try:
        tokenizer.apply_chat_template(SYSTEM_CHAT, tokenize=False)
    except TemplateSyntaxError as error:
        raise UserError(
            f"the chat template of {tokenizer.name_or_path} is no Jinja ({error.message}, line "
            f"{error.lineno}); copy or download it again."
        ) from error
    except Exception:  # a template may break in any way
        check_template(tokenizer)
        template = tokenizer.chat_template
        tokenizer.chat_template = (
            {name: FOLD_SYSTEM_MESSAGE + text for name, text in template.items()}
            if isinstance(template, dict)
            else FOLD_SYSTEM_MESSAGE + template
        )


def check_template(tokenizer: "PreTrainedTokenizerBase") -> None:
    """Refuse a chat template that breaks on the shortest chat, in each form of its content.

    One that refuses it in words of its own may have rules that longer chats keep.
    """
    faults: list[Exception] = []
    contents: tuple[Any, ...] = ("u", [{"type": "text", "text": "u"}])
    for content in contents:
        try:
            tokenizer.apply_chat_template([{"role": "user", "content": content}], tokenize=False)
            return
        except TemplateError:
            return
        except Exception as error:  # as above
            faults.append(error)
    raise UserError(
        f"the chat template of {tokenizer.name_or_path} fails ({reason(faults[0])}); mend "
        "chat_template in its files, or copy or download it again."
    ) from faults[0]


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


def drop_sampling(model: "PreTrainedModel") -> None:
    """Take out of a greedy generation config what only sampling reads, such as a temperature.

    It changes no answer; but with it transformers refuses to save the model, wherever it came from.
    """
    config = model.generation_config
    if config is not None and not config.do_sample:
        for name in SAMPLING:
            setattr(config, name, None)


def keep_unpacked(model: "PreTrainedModel") -> None:
    """Keep 4-bit layers on bitsandbytes' ordinary path: dequantize, then multiply.

    On a CPU with AVX-512 BF16 the first evaluation would repack them for good, with scales in
    bfloat16 (bitsandbytes 0.50): logits change, and when the model is trained after that, no
    gradient passes such a layer any more.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False  # type: ignore # a bool there
