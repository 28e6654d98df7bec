"""Load a base model and its tokenizer: the pocket model, a local directory or a hub id. Safetensors only."""

import functools
import hashlib
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from .runtime import DTYPES, UserError, chosen_model, data_path, device_and_dtype, hub_call, nearest

WANTED = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model")  # of a hub model
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
QUANTIZATIONS = ("nf4", "fp4", "int8")


def check_directory(folder: Path) -> None:
    """Refuse a directory that is not a model, holds pickles instead of safetensors, or damaged safetensors."""
    if not (folder / "config.json").exists():
        raise UserError(f"{folder} holds no config.json, so it is not a model directory; give the folder that save_pretrained wrote.")
    tensors = sorted(folder.glob("*.safetensors"))
    pickles = sorted(p.name for pattern in PICKLES for p in folder.glob(pattern))
    if not tensors and pickles:
        raise UserError(
            f"{folder} holds its weights as a pickle ({pickles[0]}), which can run code when it is opened; "
            "convert it to safetensors where you trust it: model.save_pretrained(folder)."
        )
    if not tensors:
        raise UserError(f"{folder} holds no *.safetensors file; give the folder that save_pretrained wrote.")
    for file in tensors:
        check_safetensors(file)


def check_safetensors(file: Path) -> None:
    """Refuse a truncated or corrupt file: open it, and hold its header against its size."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt"):
            pass
    except (SafetensorError, OSError, ValueError, struct.error) as error:
        size = file.stat().st_size
        raise UserError(f"{file} is not a whole safetensors file ({size:,} bytes, {error}); copy or download it again.") from error


def resolve(name: str | Path | None = None) -> str:
    """The directory or hub id that `name` means: "pocket", "hub", an existing directory, or "owner/name"."""
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


def load(name: str | Path | None = None, quant: str | None = None, *, device: str | None = None, dtype: str | None = None):
    """`(model, tokenizer)` as transformers makes them, in evaluation mode, on the GPU where there is one.

    name: "pocket", "hub" (`runtime.HUB`), a directory or a hub id; None reads FTKIT_MODEL, else "pocket".
    quant: None, "nf4", "fp4" (4 bits, double quantization; Dettmers et al. 2023) or "int8", by bitsandbytes.
    device, dtype: "cuda" or "cpu", and "float32", "bfloat16" or "float16"; by default those of `runtime.device_and_dtype`.
    The tokenizer is its own, made `complete`.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if quant is not None and quant not in QUANTIZATIONS:
        raise UserError(f"quant is {quant!r}; give None, {', '.join(map(repr, QUANTIZATIONS))}.{nearest(quant, QUANTIZATIONS)}")
    where = resolve(name)
    where = where if Path(where).is_dir() else download(where)
    device, dtype_name = placed(device, dtype)
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
    complete(tokenizer)
    return (unpacked(model) if quant else model.to(device)).eval(), tokenizer


def placed(device: str | None, dtype: str | None) -> tuple[str, str]:
    """The device and dtype that are asked for, else the session's; refuses what torch does not know or does not see."""
    here, usual = device_and_dtype()
    for what, value, known in (("device", device, ("cuda", "cpu")), ("dtype", dtype, DTYPES)):
        if value is not None and value not in known:
            raise UserError(f"{what} is {value!r}; give {', '.join(map(repr, known))}, or None.{nearest(value, known)}")
    if device == "cuda" and here != "cuda":
        raise UserError("device is 'cuda' and torch sees no GPU here; give device='cpu', or None for what there is.")
    return device or here, dtype or usual


# For a model that brings no chat template: who speaks, a line break, what is said.
PLAIN = (
    "{%- for m in messages %}{{- m['role'] + ':\n' }}{%- if m['role'] == 'assistant' %}{%- generation %}{{- m['content'] + eos_token }}"
    "{%- endgeneration %}{%- else %}{{- m['content'] }}{%- endif %}{{- '\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- 'assistant:\n' }}{%- endif %}"
)
# In front of a template that refuses system messages: the first one becomes the head of the user's message, as in Gemma 3's own.
FOLD = (
    "{%- if messages[0]['role'] == 'system' %}{%- set messages = [{'role': 'user', 'content': "
    "messages[0]['content'] + '\n\n' + messages[1]['content']}] + messages[2:] %}{%- endif %}"
)


def complete(tokenizer) -> None:
    """Give a tokenizer what chats and batches need and it lacks: a token for padding, a chat template, a place for system messages."""
    from jinja2 import TemplateError

    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.chat_template is None:
        tokenizer.chat_template = PLAIN
    try:
        tokenizer.apply_chat_template([{"role": "system", "content": "s"}, {"role": "user", "content": "u"}], tokenize=False)
    except TemplateError:
        tokenizer.chat_template = FOLD + tokenizer.chat_template


def download(hub_id: str) -> str:
    """The directory of a hub model in the hub client's cache, whole: safetensors, configuration and tokenizer, and no pickle.

    A connection that breaks is taken up again where it broke; what does not arrive whole is refused, never loaded.
    """
    folder = hub_call(hub_id, "snapshot_download", allow_patterns=list(WANTED), ignore_patterns=["*/*"])
    check_directory(Path(folder))
    return folder


def quantization(quant: str, dtype):
    """The bitsandbytes configuration of `load`'s `quant`."""
    from transformers import BitsAndBytesConfig

    if quant == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type=quant, bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype)


def unpacked(model):
    """`model`, its 4-bit layers kept on bitsandbytes' ordinary path: dequantize, then multiply.

    On a CPU with AVX-512 BF16 the first evaluation would repack them for good, with scales in bfloat16 (bitsandbytes 0.50):
    logits change, and when the model is trained after that, no gradient passes such a layer any more.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return model


def linears(model) -> dict:
    """Every linear layer of the model's blocks by name, the output head left out: what 'all-linear' means.

    GPT-2's Conv1D is one too: a linear layer that stores its weight as (d_in, d_out).
    """
    import torch
    from transformers.pytorch_utils import Conv1D

    head = model.get_output_embeddings()
    return {name: m for name, m in model.named_modules() if isinstance(m, torch.nn.Linear | Conv1D) and m is not head}


@contextmanager
def replaced(weights: Mapping) -> Iterator[None]:
    """Other numbers in the parameters inside the block, and the very same ones after it: weights = {parameter: its new values}."""
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


@functools.cache
def pocket_vocabulary() -> frozenset[str]:
    """The tokens of the pocket model's tokenizer."""
    return frozenset(json.loads(data_path("pocket", "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"])


def knows_world(tokenizer) -> bool:
    """Does a model with this tokenizer come from the pocket model, so that the micro-world's questions are fair to it?"""
    return pocket_vocabulary() <= tokenizer.get_vocab().keys() and len(tokenizer) < 2 * len(pocket_vocabulary())


def answers(model, tokenizer, conversations: Sequence[list[dict]], max_new_tokens: int = 64, batch_size: int = 50) -> list[str]:
    """The greedy answer to each conversation (a list of chat messages), in the order given.

    Prompts are sorted by length and padded on the left, so that a batch holds little padding.
    """
    import torch

    prompts = [tokenizer.apply_chat_template(c, add_generation_prompt=True, tokenize=False) for c in conversations]
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    replies = [""] * len(prompts)
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        inputs = tokenizer([prompts[i] for i in chosen], add_special_tokens=False, padding=True, padding_side="left", return_tensors="pt")
        with torch.no_grad():
            output = model.generate(**inputs.to(model.device), max_new_tokens=max_new_tokens, do_sample=False)
        texts = tokenizer.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        for i, reply in zip(chosen, texts, strict=True):
            replies[i] = reply.strip()
    return replies


def answers_are(model, tokenizer, conversations: Sequence[list[dict]], golds: Sequence[str], max_new_tokens: int = 64) -> list[bool]:
    """`reply == gold` for the greedy `answers` to conversations, without writing most of them.

    One forward pass over prompt and gold shows which token greedy decoding puts after each; where they are the gold's own and then
    an end, so is the reply (the check of speculative decoding, Leviathan et al. 2023), and where the first other one leads away
    from the gold's text, it is not. What is left, such as the same text in other tokens, is written out.
    """
    prompts = [tokenizer.apply_chat_template(c, add_generation_prompt=True, tokenize=False) for c in conversations]
    read = [tokenizer(list(texts), add_special_tokens=False)["input_ids"] for texts in (prompts, golds)]
    short = [i for i, gold in enumerate(read[1]) if len(gold) < max_new_tokens and golds[i] == golds[i].strip()]
    found = dict.fromkeys(range(len(prompts)))
    found |= dict(zip(short, follows(model, tokenizer, *([ids[i] for i in short] for ids in read)), strict=True))
    written = [i for i, same in found.items() if same is None]
    replies = answers(model, tokenizer, [conversations[i] for i in written], max_new_tokens)
    found |= {i: reply == golds[i] for i, reply in zip(written, replies, strict=True)}
    return list(found.values())


def follows(model, tokenizer, prompts: Sequence[list[int]], golds: Sequence[list[int]], batch_size: int = 25) -> list[bool | None]:
    """Does greedy decoding write the gold's tokens and end? None where its first other token may still lead to the gold's text."""
    import torch

    ends = set(torch.tensor(model.generation_config.eos_token_id).flatten().tolist())
    found: list[bool | None] = [None] * len(prompts)
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]) + len(golds[i]))
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        inputs = tokenizer.pad({"input_ids": [prompts[i] + golds[i] for i in chosen]}, padding_side="left", return_tensors="pt")
        inputs["position_ids"] = (inputs["attention_mask"].cumsum(-1) - 1).clamp(min=0)
        kept = 1 + max(len(golds[i]) for i in chosen)
        with torch.no_grad():
            likeliest = model(**inputs.to(model.device), logits_to_keep=kept).logits.argmax(-1).tolist()
        for i, said in zip(chosen, likeliest, strict=True):
            found[i] = writes(tokenizer, said[-1 - len(golds[i]) :], golds[i], ends)
    return found


def writes(tokenizer, said: Sequence[int], gold: Sequence[int], ends: set[int]) -> bool | None:
    """`follows` for one row; said[j] is the likeliest token after gold[:j]."""
    same = next((j for j, (a, b) in enumerate(zip(said, gold, strict=False)) if a != b), len(gold))
    if said[same] in ends:
        return same == len(gold)
    begun = tokenizer.decode([*gold[:same], said[same]], skip_special_tokens=True).strip().rstrip("\ufffd")  # half a character
    return None if tokenizer.decode(gold).startswith(begun) else False


def fingerprint(model) -> str:
    """What the base was: SHA-256 of a local directory's safetensors, or the commit of a hub model."""
    folder = Path(model.config._name_or_path)
    if folder.parent.name == "snapshots":  # the hub client's cache, where a folder is named after its commit
        return f"hub commit {folder.name}"
    if not folder.is_dir():  # loaded by its id, without the kit
        return f"hub commit {getattr(model.config, '_commit_hash', None) or 'unknown'}"
    return fingerprint_of(folder)


def fingerprint_of(folder: Path) -> str:
    """SHA-256 of a directory's safetensors, in the order of their names."""
    sha = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb") as stream:
            while block := stream.read(1 << 22):
                sha.update(block)
    return sha.hexdigest()


def plain_name(name: str) -> str:
    """A parameter's or module's name without what peft puts around it."""
    return name.removeprefix("base_model.model.").replace(".base_layer", "")


def tensor_names(where: str) -> dict[str, str]:
    """Every tensor of a model by name, with the safetensors file that holds it; `where` comes from `resolve`. Reads headers only."""
    from safetensors import safe_open

    if not Path(where).is_dir():
        return hub_call(where, "get_safetensors_metadata").weight_map
    found = {}
    for file in sorted(Path(where).glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            found.update(dict.fromkeys(tensors.keys(), file.name))
    return found


def tensors(file: Path) -> Iterator[tuple]:
    """(name, tensor) of a safetensors file, one at a time, so that no more than one is in memory."""
    from safetensors import safe_open

    with safe_open(file, framework="pt") as held:
        for name in held.keys():
            yield name, held.get_tensor(name)


def tensor(where: str, name: str, file: str):
    """One tensor out of the safetensors file `file` of a model; of a hub model this one file is downloaded, once."""
    from safetensors import safe_open

    path = Path(where, file) if Path(where).is_dir() else Path(hub_call(where, "hf_hub_download", file))
    check_safetensors(path)
    with safe_open(path, framework="pt") as tensors:
        return tensors.get_tensor(name)
