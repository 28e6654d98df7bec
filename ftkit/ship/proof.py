"""What shows that an exported model is the same one: measured on the files that were written.

    prove_model(model, tokenizer, …)       a GGUF against the model that it was made from
    prove_adapter(tuned, base, tok, …)     a GGUF adapter on its base, against the tuned model
    compare_kinds(model, tok, kinds, …)    a GGUF of each kind, as a table
    write_merged(opened, folder, wish)     the merged folder, read back and asked
    greedy_tokens(model, tokenizer, …)     the tokens that a model writes to each prompt

GGUF files are read back by transformers (`gguf_file=`), a reader that shares no code with the
writer here. What is not equal although the format holds it to the last bit is refused, by
`Proof.check`; what a format rounds is told as it is. llama.cpp itself is asked in `packing.py`.
"""

import contextlib
import importlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from .. import lora, models
from .. import merge as merging
from ..core.errors import UserError
from ..core.results import Result, TableParts, megabytes
from ..core.session import plain_torch, quiet
from ..core.versions import version_of
from ..world import World, corpus
from . import gguf_files
from .opened import Opened, Proof, Wish

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# How far an update may be off by its numbers' rounding, of its largest.
ROUNDING = {"f32": 1e-5, "f16": 2e-3, "bf16": 2e-2}
TEXTS, TOKENS = 100, 48  # of the corpus; of a reply at most
# What decides a model's function, in config.json's words; RoPE's factors are compared apart.
DECISIVE = (
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "max_position_embeddings", "vocab_size", "tie_word_embeddings",
)  # fmt: skip


def reader() -> str:
    """The program that reads a GGUF back, with its version."""
    return f"transformers {version_of('transformers')}"


@contextlib.contextmanager
def no_bar() -> Iterator[None]:
    """Inside the with block transformers shows no bar of the tensors of a GGUF.

    It asks tqdm for one whatever was said of bars.
    """
    quiet()
    reading: Any = importlib.import_module("transformers.modeling_gguf_pytorch_utils")
    bar = reading.tqdm
    reading.tqdm = lambda tensors, **_: tensors
    try:
        yield
    finally:
        reading.tqdm = bar


@plain_torch()
def read_back(
    model: "PreTrainedModel", file: Path
) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    """(model, tokenizer) of a GGUF as transformers reads it, where `model` is and in float32."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    options: dict[str, Any] = {"gguf_file": file.name}
    # RoPE's factors are a tensor of llama.cpp's, which transformers takes from the configuration
    if gguf_files.rope_factors(model) is not None:
        options["config"] = model.config
    folder = str(file.parent)
    with no_bar():
        again: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, trust_remote_code=False, **options
        )
    options.pop("config", None)
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, **options)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    return again.to(model.device).eval(), tokenizer


def prove_model(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    file: Path,
    kind: str,
    prompts: Sequence[list[dict]],
) -> list[Proof]:
    """The proofs of a GGUF: tensors, configuration, tokenizer, chat template and greedy replies."""
    again, its_tokenizer = read_back(model, file)
    tensors = compare_tensors(model, again, kind)
    settings = compare_settings(model, again)
    texts = compare_tokenizers(tokenizer, its_tokenizer)
    template = its_tokenizer.chat_template == gguf_files.plain_template(tokenizer)
    kept = Proof("the chat template", int(template), 1, reader())

    # in the numbers that the model computes in, so that nothing else than the file differs
    again = cast(Any, again).to(model.dtype)
    asked = greedy_tokens(model, tokenizer, prompts)
    written = greedy_tokens(again, its_tokenizer, prompts)
    exact = all(
        torch.equal(values, model.state_dict()[name].detach().float().cpu())
        for name, values in gguf_files.as_stored(model, kind)
    )
    replies = compare_lists("greedy replies, token by token", asked, written, exact=exact)
    return [proof.check() for proof in (tensors, settings, texts, kept, replies)]


@dataclass(frozen=True, repr=False)
class Kinds(Result):
    """One model as GGUF files of several kinds, each read back and asked."""

    sizes: dict[str, int]  # bytes
    proofs: dict[str, list[Proof]]
    refused: str = ""  # why there is none

    def table(self) -> TableParts:
        """A line for each kind; or why the model can't be written."""
        title = "As a GGUF, read back by transformers"
        if self.refused:
            return title, ("", "why"), [("not written", self.refused)]
        rows = []
        for kind, (tensors, *_, replies) in self.proofs.items():
            same = f"{tensors.equal} of {tensors.of}"
            rows.append(
                (kind, megabytes(self.sizes[kind]), same, f"≈{replies.equal} of {replies.of}")
            )
        heads = ("numbers", "size", "tensors as they should be", "replies equal, token by token")
        return title, heads, rows


def compare_kinds(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    kinds: Sequence[str],
    prompts: Sequence[list[dict]],
) -> Kinds:
    """Write a model as each of these kinds of GGUF, in a folder that goes again, and prove it."""
    sizes, proofs = {}, {}
    try:
        with tempfile.TemporaryDirectory(prefix="ftkit-") as folder:
            for kind in kinds:
                file = Path(folder) / f"{kind}.gguf"
                gguf_files.write_model(model, tokenizer, file, kind)
                proofs[kind] = prove_model(model, tokenizer, file, kind, prompts)
                sizes[kind] = file.stat().st_size
                file.unlink()
    except UserError as error:  # another family, or no gguf package: the lesson goes on
        return Kinds({}, {}, str(error))
    return Kinds(sizes, proofs)


def compare_lists(
    what: str, first: Sequence[Any], second: Sequence[Any], *, exact: bool = True, by: str = ""
) -> Proof:
    """How many of the ones are equal to the others."""
    equal = sum(one == other for one, other in zip(first, second, strict=True))
    return Proof(what, equal, len(first), by or reader(), exact)


def compare_tensors(model: "PreTrainedModel", again: "PreTrainedModel", kind: str) -> Proof:
    """Every tensor that was read back against what this kind makes of it: bit for bit."""
    read = again.state_dict()
    equal = [
        name in read and torch.equal(values, read[name].float().cpu())
        for name, values in gguf_files.as_stored(model, kind)
    ]
    return Proof(f"tensors, as {kind} holds them", sum(equal), len(equal), reader())


def compare_settings(model: "PreTrainedModel", again: "PreTrainedModel") -> Proof:
    """What config.json decides against what was read back."""
    ours, theirs = model.config, again.config
    asked: list[Callable[[Any], Any]] = [attrgetter(name) for name in DECISIVE]
    asked += [gguf_files.head_width, lambda config: config.rope_parameters["rope_theta"]]
    # stored in float32, in which it is added
    asked += [lambda config: torch.tensor(config.rms_norm_eps).item()]
    equal = sum(ask(ours) == ask(theirs) for ask in asked)
    return Proof("settings of config.json", equal, len(asked), reader())


def compare_tokenizers(
    tokenizer: "PreTrainedTokenizerBase", again: "PreTrainedTokenizerBase"
) -> Proof:
    """Both on texts of the world's corpus: prose, chats with their marks, code, numbers."""
    documents = corpus.documents(World(), 0, corpus.BROAD)
    texts = ["".join(text for text, _ in one) for one in islice(documents, TEXTS)]
    ids = [[each(text)["input_ids"] for text in texts] for each in (tokenizer, again)]
    return compare_lists("texts of the corpus, as tokens", ids[0], ids[1])


def greedy_tokens(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[list[dict]],
    tokens: int = TOKENS,
) -> list[list[int]]:
    """The tokens that the model likes best after each prompt, up to its end or to `tokens`."""
    reader = models.ReplyReader(model, tokenizer)
    written: dict[int, list[int]] = {}
    with models.greedy(model, reader, max_new_tokens=tokens) as config, models.asking(model):
        for places, batch in models.prompt_batches(tokenizer, prompts):
            inputs = dict(batch.to(model.device))
            more = {"generation_config": config, "tokenizer": tokenizer}
            rows = models.write(model, inputs, **more).tolist()
            written.update(zip(places, map(reader.cut, rows), strict=True))
    return [list(written[place]) for place in range(len(prompts))]


def prove_adapter(
    tuned: "lora.PeftModel",
    base: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    file: Path,
    kind: str,
    prompts: Sequence[list[dict]],
) -> list[Proof]:
    """The proofs of a GGUF adapter, read back and added to the base as llama.cpp adds it.

    Raises `UserError` where base and adapter together are not the tuned model, as after a method
    that changes the base as well.
    """
    # every ΔW, within the rounding of its numbers
    updates, name = gguf_files.read_adapter(base, file), str(tuned.active_adapter)
    layers = dict(lora.adapted_layers(tuned, [name]))
    close = 0
    for layer, module in layers.items():
        wanted = cast(Any, module).get_delta_weight(name).detach().float().cpu()
        gap = (updates[layer] - wanted).abs().max() if layer in updates else torch.tensor(torch.inf)
        close += bool(gap <= ROUNDING[kind] * wanted.abs().max())
    by = f"gguf {version_of('gguf')}, added as llama.cpp adds it"
    matrices = Proof(f"updates ΔW, within the rounding of {kind}", close, len(layers), by).check()

    # both together on the base, which is left as it was
    moved = {layer: update.to(base.device, base.dtype) for layer, update in updates.items()}
    asked = greedy_tokens(cast("PreTrainedModel", tuned), tokenizer, prompts)
    with lora.add_updates(base, moved):
        report = merging.compare(tuned, base)
        merging.check_report(report, "the adapter belongs to another base; export it merged")
        written = greedy_tokens(base, tokenizer, prompts)
    what = "greedy replies of base and adapter, token by token"
    return [matrices, compare_lists(what, asked, written, exact=False, by=by)]


def write_merged(opened: Opened, folder: Path, wish: Wish) -> list[Proof]:
    """The tuned model as a plain model directory, read back and asked; its proofs.

    wish.kind: its dtype, by default that of the base on disk.
    """
    tokenizer = opened.tokenizer
    tuned = opened.tuned
    exact, computed = str(tuned.dtype).removeprefix("torch."), str(tuned.device)
    if not lora.is_attached(tuned) and wish.kind not in (None, exact):
        raise UserError(
            f"kind is {wish.kind!r}, and a run that was trained whole is exported as it is, in "
            f"{exact}; leave it out (--kind)."
        )
    prompts = opened.prompts(wish.prompts)
    asked = greedy_tokens(cast(Any, tuned), tokenizer, prompts)
    if lora.is_attached(tuned):
        stored = merging.write(tuned, tokenizer, folder, wish.kind, opened.folder).dtype
    else:
        stored = exact
        merging.save(tuned, tokenizer, folder)
    again, its_tokenizer = models.load(folder, device=computed.partition(":")[0], dtype=exact)
    written = greedy_tokens(again, its_tokenizer, prompts)
    lasting = stored == exact and not models.is_packed(tuned)
    what = f"greedy replies of the merged model in {stored}"
    return [compare_lists(what, asked, written, exact=lasting, by=reader()).check()]
