"""An adapter folder from anywhere looked over: is there anything in it, and does it fit its base?

    examine_adapter(folder, base)     every check of a folder with adapter_config.json
    check_trained(matrices)           was any B moved? Then the matrices' ranks: check_ranks
    check_saved_template(folder, …)   the chat template that is saved with it

Files are read as safetensors alone: a pickle (adapter_model.bin) is named, and never opened. Where
the base is not here, what needs it is not looked at. A run folder of the kit, which says how it was
made, is looked over by `run_folder.py`; a trainer in memory by `trainers.py`. Notebook 11.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .. import data, lora, models
from ..core.errors import UserError
from ..core.parsing import parse_json, read_text
from .finding import Finding, Findings
from .run_folder import (
    check_divergence,
    check_modules,
    check_overfitting,
    check_scale,
    check_training_loss,
    describe_broken,
    sentence,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# A direction of B·A that is smaller than this part of its largest one is none: rounding leaves
# 1e-7 of it in float32. In trained adapters of rank 8 the smallest has 0.017 and more.
NOTHING = 1e-5
NEVER = 0.05  # of the B that may be zero, as of experts that no token reached
DEFICIENT = 0.5  # of its rank that an adapter may leave unused
SAVE = "train again, and save by model.save_pretrained(folder) of the peft model itself"

Matrices = Mapping[str, torch.Tensor]


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter of peft's, or what is left of one."""
    return any(folder.glob("adapter_config.json")) or any(folder.glob("adapter_model*"))


def examine_adapter(folder: str | Path, base: str | None = None) -> Findings:
    """Every check of an adapter folder; the first that can't go on is the last.

    base: the model that it is for, as `models.load` takes it; else the one that its configuration
    names, if that is on this machine.
    """
    folder = Path(folder)
    title = f"The adapter in {folder}"
    try:
        config, weights = lora.find_files(folder)
    except UserError as error:
        message, _, cure = sentence(error).partition("; ")
        return Findings(title, [Finding.wrong("files", message, cure)])
    stated, matrices, found = read_adapter(config, weights)
    if found:
        return Findings(title, found)

    # what the file alone says, then what the base adds
    is_lora = stated.get("peft_type") == "LORA"
    where = base or str(stated.get("base_model_name_or_path") or "")
    skeleton, missing = find_base(where)
    findings = [Finding.fine("files", describe(weights, matrices)), check_finite(matrices)]
    if is_lora:
        blocks = skeleton.config.num_hidden_layers if skeleton is not None else None
        findings += [
            check_trained(matrices),
            check_ranks(matrices),
            check_scale(stated),
            check_modules(list(matrices), blocks),
        ]
    findings.append(check_fit(folder, skeleton, missing, where, stated))
    findings += check_saved_tokenizer(folder, matrices, skeleton, where)
    return Findings(title, [*findings, *check_log(folder)])


def read_adapter(
    config: Path, weights: Path
) -> tuple[dict[str, Any], dict[str, torch.Tensor], list[Finding]]:
    """(what the configuration states, the tensors, what forbids to look further)."""
    size = weights.stat().st_size
    try:
        stated = parse_json(read_text(config), config)
        models.check_safetensors(weights)
        matrices = dict(models.read_tensors(weights))
    except UserError as error:
        return {}, {}, [Finding.wrong("files", sentence(error), "copy or download it again")]
    if not isinstance(stated, dict) or "peft_type" not in stated:
        wrong = f"{config} states no peft_type, so it is no adapter of peft's"
        return {}, {}, [Finding.wrong("files", wrong, "give the folder that peft wrote")]
    if not matrices or not any(tensor.numel() for tensor in matrices.values()):
        what = "no tensor" if not matrices else f"{len(matrices)} tensors without a number in them"
        return stated, {}, [
            Finding.wrong(
                "files",
                f"{weights.name} has {size:,} bytes and holds {what}: the update was not saved",
                f"{SAVE}; under DeepSpeed ZeRO-3 or FSDP gather the weights first",
            )
        ]  # fmt: skip
    return stated, matrices, []


def describe(weights: Path, matrices: Matrices) -> str:
    """What is in the file."""
    numbers = sum(tensor.numel() for tensor in matrices.values())
    kinds = sorted({str(tensor.dtype).removeprefix("torch.") for tensor in matrices.values()})
    return f"{weights.name}: {len(matrices)} tensors, {numbers:,} numbers, {', '.join(kinds)}"


def check_finite(matrices: Matrices) -> Finding:
    """Is every number of it one?"""
    for name, tensor in matrices.items():
        if broken := int((~tensor.double().isfinite()).sum()):
            return describe_broken("numbers", name, broken, str(tensor.dtype).split(".")[-1])
    return Finding.fine("numbers", "all finite")


def check_trained(matrices: Matrices) -> Finding:
    """Was any B moved? Every B starts at 0, and as long as it is 0 the base is as it was."""
    updates = {name: tensor for name, tensor in matrices.items() if ".lora_B" in name}
    unmoved = [name for name, tensor in updates.items() if not tensor.any()]
    if len(unmoved) <= NEVER * len(updates):
        return Finding.fine("learning", f"each of {len(updates)} B was moved by the training")
    if len(unmoved) == len(updates):
        return Finding.wrong(
            "learning",
            f"all {len(updates)} B are 0, as they start: the adapter leaves its base as it is",
            "look whether the optimizer was given B (requires_grad), and whether the rate was 0",
        )
    first = models.plain_name(unmoved[0]).partition(".lora_")[0]
    return Finding.wrong(
        "learning",
        f"{len(unmoved)} of {len(updates)} B are 0, as they start, {first} for one: these layers "
        "were never trained",
        "look which parameters the optimizer was given",
    )


def check_ranks(matrices: Matrices) -> Finding:
    """Has B·A the rank that its shapes promise?"""
    pairs = [
        (tensor, matrices[other])
        for name, tensor in matrices.items()
        if ".lora_A." in name and (other := name.replace(".lora_A.", ".lora_B.")) in matrices
    ]
    pairs = [(A, B) for A, B in pairs if A.dim() == B.dim() == 2 and B.any()]
    used = [(rank_of(A, B), len(A)) for A, B in pairs if A.isfinite().all() and B.isfinite().all()]
    short = [pair for pair in used if pair[0] <= DEFICIENT * pair[1] and pair[1] > 1]
    if not used or len(short) <= NEVER * len(used):
        return Finding.fine("rank", "B·A has the rank that the shapes promise")
    rank, r = short[0]
    return Finding.wrong(
        "rank",
        f"in {len(short)} of {len(used)} layers B·A uses half of its rank at most ({rank} of {r} "
        "directions in the first): rows of A or columns of B are zero, or alike",
        "look how A was started, and whether a part of A or B was frozen; or save it at the rank "
        "that it has",
    )


def rank_of(A: torch.Tensor, B: torch.Tensor) -> int:
    """The rank of B·A, (d_out, r) · (r, d_in), from its factors: no larger matrix is made."""
    right = torch.linalg.qr(A.double().T).R
    left = torch.linalg.qr(B.double()).R
    sizes = torch.linalg.svdvals(left @ right.T)
    return int((sizes > NOTHING * sizes[0]).sum())


def find_base(name: str) -> tuple[Any, str]:
    """(the base with shapes alone, ""); or (None, why not). Nothing is downloaded."""
    if not name:
        return None, "its configuration names no base; give one: --base"
    try:
        where = models.resolve(name)
        config = where if Path(where).is_dir() else models.cached_config(where)
        if config is None:
            return None, f"its base, {name}, is not on this machine; give one: --base"
        return models.skeleton(config), ""
    except UserError as error:
        return None, f"{sentence(error)}; give the base: --base"


def check_fit(
    folder: Path, skeleton: Any, missing: str, base: str, stated: Mapping[str, Any]
) -> Finding:
    """Would it load on its base: do all of its modules exist, in these shapes? Is it the same one?

    stated: the adapter's configuration, which may name another base.
    """
    if skeleton is None:
        return Finding.fine("base", f"not looked at: {missing}")
    try:
        lora.check_saved(skeleton, folder)
        here = models.resolve(base)
        doubt = lora.check_origin(folder, stated, here, lambda: models.fingerprint_of(here) or "")
    except UserError as error:
        message, _, cure = sentence(error).partition("; ")
        return Finding.wrong("base", message, cure or "give the base it was trained on: --base")
    fits = "every module of the adapter is there, in its shape"
    return Finding.fine(
        "base", f"{fits}; its weights are not looked at: {doubt}" if doubt else fits
    )


def check_saved_tokenizer(
    folder: Path, matrices: Matrices, skeleton: Any, base: str
) -> list[Finding]:
    """The tokenizer that lies beside the adapter: its template, and tokens that the base lacks."""
    try:
        tokenizer = models.saved_tokenizer(folder)
    except UserError:
        return [Finding.fine("template", "not looked at: no tokenizer is saved beside it")]
    findings = [check_saved_template(tokenizer, base)]
    trained = any("embed" in name or "trainable_tokens" in name for name in matrices)
    if skeleton is not None and not trained:
        rows = skeleton.get_input_embeddings().weight.shape[0]
        findings.append(check_vocabulary(len(tokenizer), rows))
    return findings


def check_vocabulary(tokens: int, rows: int) -> Finding:
    """Has the base a row for each token of a tokenizer whose adapter trains none?"""
    if tokens <= rows:
        return Finding.fine("tokens", f"{tokens:,} tokens, {rows:,} embeddings")
    return Finding.wrong(
        "tokens",
        f"the saved tokenizer has {tokens:,} tokens and the base {rows:,} embeddings; the adapter "
        "trains none for the others",
        "train them: LoraConfig(trainable_token_indices=…), or use marks that the base knows",
    )


def check_saved_template(tokenizer: "PreTrainedTokenizerBase", base: str) -> Finding:
    """Does the saved chat template end an answer, and is it that of the base?"""
    if not tokenizer.chat_template:
        return Finding.fine("template", "not looked at: the saved tokenizer has none")
    if data.is_endless(tokenizer):
        return Finding.wrong(
            "template",
            "the saved chat template writes nothing behind an answer, so no end was learned",
            "write the end mark behind each answer, and train again",
        )
    known = base_template(base)
    if known and known.strip() != str(tokenizer.chat_template).strip():
        return Finding.fine("template", "another one than the base's: ask by the saved one")
    if not data.marks_answers(tokenizer):
        said = "no {% generation %} marks: assistant_only_loss=True of TRL needs them"
        return Finding.fine("template", said)
    return Finding.fine("template", "it marks the answers, and ends them")


def base_template(base: str) -> str:
    """The chat template of a base that is a folder here; "" of any other."""
    if not base:
        return ""
    try:
        where = models.resolve(base)
        local = Path(where).is_dir()
        return str(models.load_tokenizer(where).chat_template or "") if local else ""
    except UserError:
        return ""


def check_log(folder: Path) -> list[Finding]:
    """The curves in the trainer_state.json that transformers' Trainer leaves in a checkpoint."""
    file = folder / "trainer_state.json"
    if not file.is_file():
        return []
    try:
        stated = parse_json(read_text(file), file)
    except UserError as error:
        return [Finding.wrong("log", sentence(error), "copy it again")]
    logged = stated.get("log_history") if isinstance(stated, dict) else None
    return check_curves(logged if isinstance(logged, list) else [])


def check_curves(logged: Sequence[Any]) -> list[Finding]:
    """Divergence, direction and over-fitting of what a Trainer logged."""
    losses, validation = (read_curve(logged, key) for key in ("loss", "eval_loss"))
    return [
        check_divergence(None, losses),
        check_training_loss(losses),
        check_overfitting(validation, keeps_best=False),
    ]


def read_curve(logged: Sequence[Any], key: str) -> list[list[float]]:
    """[[step, value], …] of one key of a Trainer's log."""
    entries = [entry for entry in logged if isinstance(entry, dict) and "step" in entry]
    return [
        [float(entry["step"]), float(entry[key])]
        for entry in entries
        if isinstance(entry.get(key), int | float)
    ]
