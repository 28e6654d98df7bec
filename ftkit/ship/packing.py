"""Fewer bits by other programs: llama.cpp's K-kinds, torchao's int8, AWQ and GPTQ.

    quantize(file, out, kind)        a GGUF in f32 into a K-kind, by llama.cpp
    ask_llama(file, prompts, …)      the greedy tokens of llama.cpp itself
    write_torchao(opened, new, …)    the merged model with int8 weights, read back and asked
    write_awq, write_gptq            a recipe for llm-compressor, with rows to calibrate on

llama.cpp comes by llama-cpp-python and torchao by its own package; what is not installed is said.
AWQ and GPTQ are made on a GPU, in an environment of llm-compressor's own. What four bits do to a
weight is `quant`'s subject; the kinds that the gguf package packs are in `gguf_files.py`.
"""

import ctypes
import importlib
import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import data, lora, models
from .. import merge as merging
from ..core.errors import UserError, nearest
from ..core.versions import version_of
from . import gguf_files, proof
from .opened import Opened, Proof, Told, Wish

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

K_KINDS = ("q2_k", "q3_k_s", "q3_k_m", "q3_k_l", "q4_k_s", "q4_k_m", "q5_k_s", "q5_k_m", "q6_k")
K_BLOCK = 256  # llama.cpp packs shorter rows in another kind
GROUP = 128  # numbers that share a scale in AWQ and GPTQ
LINEARS: dict[str, Any] = {"targets": ["Linear"], "ignore": ["lm_head"]}  # what is packed
CALIBRATION = 256  # rows that they look at, at most


def is_k_kind(kind: str) -> bool:
    """Whether a kind looks like one of llama.cpp's K-kinds."""
    return "_k" in kind.lower()


KEPT: list[Any] = []  # what llama.cpp calls instead of writing to stderr


def need_llama() -> Any:
    """llama_cpp; `UserError` where it is not installed."""
    if importlib.util.find_spec("llama_cpp") is None:
        raise UserError(
            "K-kinds are packed by llama.cpp itself; pip install llama-cpp-python builds it in "
            f"some minutes, or give one of {', '.join(gguf_files.KINDS)}."
        )
    llama = importlib.import_module("llama_cpp")
    # it tells of every tensor that it reads; the callback has to live as long as the library
    if not KEPT:
        KEPT.append(llama.llama_log_callback(lambda *_: None))
        llama.llama_log_set(KEPT[0], ctypes.c_void_p(0))
    return llama


def check_k_kind(kind: str) -> None:
    """Refuse what is none of llama.cpp's K-kinds, with the nearest."""
    if kind not in K_KINDS:
        raise UserError(
            f"llama.cpp has no kind {kind!r}; give one of {', '.join(K_KINDS)}."
            f"{nearest(kind, K_KINDS)}"
        )


def quantize(file: Path, out: Path, kind: str) -> None:
    """Pack a GGUF in f32 or f16 as a K-kind, by llama.cpp."""
    check_k_kind(kind)
    llama = need_llama()
    told = llama.llama_model_quantize_default_params()
    told.ftype = getattr(llama, f"LLAMA_FTYPE_MOSTLY_{kind.upper()}")
    failed = llama.llama_model_quantize(str(file).encode(), str(out).encode(), ctypes.byref(told))
    if failed or not out.is_file():
        raise UserError(f"llama.cpp could not pack {file} as {kind} (its code is {failed}).")


def write_k_kind(opened: Opened, new: Path, wish: Wish) -> Told:
    """model.gguf in a K-kind: written in f32 and proven, then packed by llama.cpp and asked."""
    kind = str(wish.kind).lower()
    check_k_kind(kind)
    if wish.part == "adapter":
        gguf_files.check_plain(kind)
    llama, model, whole = need_llama(), opened.model(wish.part), new / "whole.gguf"
    widths = {one.name: one.values.shape for one in gguf_files.name_weights(model, "f32")}
    odd = [name for name, shape in widths.items() if len(shape) > 1 and shape[-1] % K_BLOCK]
    prompts = opened.prompts(wish.prompts)
    gguf_files.write_model(model, opened.tokenizer, whole, "f32")
    told = Told(proof.prove_model(model, opened.tokenizer, whole, "f32", prompts))
    quantize(whole, new / "model.gguf", kind)
    whole.unlink()
    asked = proof.greedy_tokens(model, opened.tokenizer, prompts)
    written = ask_llama(new / "model.gguf", opened.tokenizer, model, prompts)
    by = f"llama.cpp (llama-cpp-python {getattr(llama, '__version__', '')})"
    what = f"greedy replies in {kind}"
    told.proofs.append(proof.compare_lists(what, asked, written, exact=False, by=by))
    told.notes += gguf_files.notes(model, opened.tokenizer)
    if odd:
        told.notes.append(
            f"{len(odd)} matrices have rows that are no multiple of {K_BLOCK}, {odd[0]} for one: "
            "llama.cpp packs those in another kind"
        )
    return told


def ask_llama(
    file: Path,
    tokenizer: "PreTrainedTokenizerBase",
    model: "PreTrainedModel",
    prompts: Sequence[list[dict]],
    adapter: Path | None = None,
    tokens: int = proof.TOKENS,
) -> list[list[int]]:
    """llama.cpp's greedy tokens to each prompt, the text of which llama.cpp cuts into tokens."""
    llama = need_llama()
    reader = models.ReplyReader(model, tokenizer)
    loaded = llama.Llama(
        model_path=str(file),
        lora_path=None if adapter is None else str(adapter),
        n_ctx=model.config.max_position_embeddings,
        n_threads=1,
        verbose=False,
    )
    replies = []
    for number, chat in enumerate(prompts, 1):
        text = data.render_prompt(chat, tokenizer, where=f"chat {number}")
        ids = loaded.tokenize(text.encode(), add_bos=False, special=True)
        loaded.reset()
        written: list[int] = []
        for token in loaded.generate(ids, top_k=1, temp=0.0, repeat_penalty=1.0):
            written.append(int(token))
            if token in reader.ends or len(written) == tokens:
                break
        replies.append(reader.cut(written))
    return replies


def write_torchao(opened: Opened, new: Path, wish: Wish) -> Told:
    """model/ with int8 weights, one scale a row; embedding and head stay as they are."""
    if importlib.util.find_spec("torchao") is None:
        raise UserError("int8 weights are made by torchao, which is not here; pip install torchao.")
    from transformers import AutoModelForCausalLM, TorchAoConfig

    quantization = importlib.import_module("torchao.quantization")
    how = TorchAoConfig(quantization.Int8WeightOnlyConfig())
    prompts, tokenizer = opened.prompts(wish.prompts), opened.tokenizer
    asked = proof.greedy_tokens(opened.merged, tokenizer, prompts)

    # through a folder, since transformers packs what it reads
    plain, folder = new / "plain", new / "model"
    merging.save(opened.merged, tokenizer, plain)
    dtype = opened.merged.dtype
    packed = AutoModelForCausalLM.from_pretrained(
        plain, quantization_config=how, dtype=dtype, trust_remote_code=False
    ).eval()
    packed.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for file in plain.iterdir():
        file.unlink()
    plain.rmdir()

    again = AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, trust_remote_code=False
    ).eval()
    kept, read = ([p.dequantize() if hasattr(p, "dequantize") else p for p in each.parameters()]
                  for each in (packed, again))  # fmt: skip
    equal = [bool((one == other).all()) for one, other in zip(kept, read, strict=True)]
    by = f"torchao {version_of('torchao')}"
    told = Told([Proof("tensors, read back", sum(equal), len(equal), by).check()])
    written = proof.greedy_tokens(again, tokenizer, prompts)
    what = "greedy replies with int8 weights"
    told.proofs.append(proof.compare_lists(what, asked, written, exact=False, by=by))
    return told


def write_awq(opened: Opened, new: Path, wish: Wish) -> Told:
    """The recipe of AWQ in four bits (Lin et al. 2023), the merged model, and rows."""
    modifiers = {"AWQModifier": {}, "QuantizationModifier": {**LINEARS, "scheme": "W4A16_ASYM"}}
    return write_compressor(opened, new, wish, modifiers)


def write_gptq(opened: Opened, new: Path, wish: Wish) -> Told:
    """The same of GPTQ (Frantar et al. 2022)."""
    return write_compressor(opened, new, wish, {"GPTQModifier": {**LINEARS, "scheme": "W4A16"}})


def write_compressor(opened: Opened, new: Path, wish: Wish, modifiers: dict[str, Any]) -> Told:
    """model/, calibration.jsonl, recipe.yaml and compress.py for llm-compressor."""
    import yaml

    opened.need_usual_loss("the rows to calibrate on are")
    for name, layer in models.linears(opened.base).items():
        width = lora.sides(layer)[0]
        if width % GROUP:
            raise UserError(
                f"{name} has rows of {width:,} numbers, and four bits are packed {GROUP} at a "
                "time here; export it as a GGUF, q8_0 or q4_0, which take 32."
            )
    recipe = {"quant_stage": {"quant_modifiers": modifiers}}
    rows = opened.splits["train"]
    texts = [
        data.render(chat, opened.tokenizer, where=f"row {number}").text
        for number, chat in enumerate(data.first(rows, min(CALIBRATION, len(rows)))["messages"], 1)
    ]
    proofs = proof.write_merged(opened, new / "model", wish)
    (new / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    (new / "calibration.jsonl").write_text(lines, encoding="utf-8")
    longest = opened.experiment.recipe.max_length
    (new / "compress.py").write_text(COMPRESS.format(rows=len(texts), longest=longest))
    note = "pip install llmcompressor in an environment of its own, on a GPU; python compress.py"
    return Told(proofs, [note])


COMPRESS = '''\
"""The merged model in four bits, by llm-compressor."""

from datasets import load_dataset
from llmcompressor import oneshot
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("model", dtype="auto")
tokenizer = AutoTokenizer.from_pretrained("model")
rows = load_dataset("json", data_files="calibration.jsonl", split="train")
# the chat template has written all special tokens already
rows = rows.map(
    lambda row: tokenizer(
        row["text"], max_length={longest}, truncation=True, add_special_tokens=False
    ),
    remove_columns=["text"],
)
oneshot(
    model=model,
    dataset=rows,
    recipe="recipe.yaml",
    max_seq_length={longest},
    num_calibration_samples={rows},
)
model.save_pretrained("compressed", save_compressed=True)
tokenizer.save_pretrained("compressed")
'''
