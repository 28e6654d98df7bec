"""A merged model on disk: written whole, read back, and proven there.

    write(tuned, tokenizer, out)    a model directory, and the `MergeReport` of what lies in it
    run_of(folder)                  the run that a merged model comes from
    check_place(out, base)          refuses a folder with a model that no merge wrote

What is compared with the adapter model is what another program will read, so that a dtype, tied
matrices and the configuration are part of the proof. The merge itself is made in `merging`. Shown
by `python -m ftkit merge`; notebook 13 does the same step by step.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .. import data, lora, models, train
from ..core.errors import UserError, nearest
from ..core.files import whole_or_nothing
from ..core.parsing import parse_json, read_text
from ..core.versions import recorded_versions
from .merging import (
    DTYPES,
    MergeReport,
    check_report,
    compare_logits,
    likely_cause,
    logits,
    merge_weights,
    probe_tokens,
    reference_logits,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ..lora import PeftModel

RECORD = "merge.json"  # beside the weights: a folder that has one may be written again
MODEL_FILES = ("config.json", "*.safetensors", "*.bin", "*.pt", "*.pth", "*.gguf", "*config.json")
RUN_FILES = ("run.json", "checkpoints")


def write(
    tuned: "PreTrainedModel | PeftModel",
    tokenizer: "PreTrainedTokenizerBase",
    out: str | Path,
    dtype: str | None = None,
    run: str | Path | None = None,
) -> MergeReport:
    """Merge `tuned`, write it with its tokenizer into `out`, and prove what was written.

    dtype: of the file; by default that of the base on disk. run: the folder of `tuned`'s run, for
    `run_of`. `tuned` is gone afterwards, unless its base is quantized: its memory becomes the
    merged model's. The report holds the model that was read back against the adapter model.

    Raises `UserError`, and leaves nothing behind, where `out` is the base or holds a model that no
    merge wrote, where it can't be written, and where the merged model is not the tuned one: an
    update may be too small for the dtype.
    """
    out, base = Path(out), Path(check_attached(tuned).config._name_or_path)
    check_place(out, base)
    made_from = models.fingerprint(tuned)  # type: ignore # a peft model hands its base's config on
    dtype, earlier = choose_dtype(dtype, base), read_record(out).get("files", [])

    # proven in memory first: a merge that fails has another cause than a dtype that is too short
    tokens = probe_tokens(tuned)
    adapted, plain = reference_logits(tuned, tokens)
    cause, computed = likely_cause(tuned), str(tuned.dtype).removeprefix("torch.")
    merged = merge_weights(tuned, in_place=not models.is_packed(tuned))
    check_report(compare_logits(adapted, plain, logits(merged, tokens), merged.dtype), cause)
    check_range(merged, dtype)
    check_space(out, merged, dtype)
    with train.explain_write_errors(out), whole_or_nothing(out) as new:
        save(merged.to(getattr(torch, dtype)), tokenizer, new)
        del merged
        again, _ = models.load(new, device=tokens.device.type, dtype=computed)
        report = compare_logits(adapted, plain, logits(again, tokens), getattr(torch, dtype))
        check_report(report, "its update is too small for that dtype: write float32 (--dtype)")
        write_record(new, made_from, report, run)
    remove_others(out, earlier)
    return report


def remove_others(out: Path, earlier: Sequence[str]) -> None:
    """Remove what an earlier merge had written, in more files than this one."""
    for file in (out / name for name in set(earlier) - set(read_record(out)["files"])):
        if file.is_file():
            file.unlink()


def check_attached(tuned: "PreTrainedModel | PeftModel") -> "PeftModel":
    """The model itself; one without an adapter is refused."""
    if lora.is_attached(tuned):
        return tuned
    raise UserError(
        f"the model is a {type(tuned).__name__} without an adapter, so there is nothing to merge; "
        "after full fine-tuning the model/ of the run is the model already."
    )


def check_place(out: Path, base: Path) -> None:
    """Refuse the folder of the base, of a run, or of a model that no merge wrote."""
    other = "give another --out"
    if out.is_dir() and base.is_dir() and out.samefile(base):
        raise UserError(
            f"{out} is the base of this run, which the merged model would overwrite; {other}."
        )
    if not out.is_dir():
        return
    if found := next((name for name in RUN_FILES if (out / name).exists()), None):
        raise UserError(f"{out} is the folder of a run ({found} is there); {other}.")
    held = next((file.name for pattern in MODEL_FILES for file in out.glob(pattern)), None)
    record = read_record(out)
    if held and not record:
        raise UserError(f"{out} holds a model that merge did not write ({held}); {other}.")
    if held and record.get("weights") != models.hash_weights(out):
        raise UserError(
            f"{out} holds another model than merge wrote there (its {RECORD} states the hash); "
            f"{other}."
        )


def choose_dtype(dtype: str | None, base: Path) -> str:
    """The dtype that is asked for, else the one that the base has on disk."""
    if dtype is None:
        stored = models.stored_dtype(base) if base.is_dir() else None
        return stored if stored in DTYPES else "float32"
    if dtype not in DTYPES:
        raise UserError(
            f"the dtype is {dtype!r}; give one of {', '.join(DTYPES)}.{nearest(dtype, DTYPES)}"
        )
    return dtype


def check_space(out: Path, merged: torch.nn.Module, dtype: str) -> None:
    """Refuse a disk that has no room for the weights."""
    needed = getattr(torch, dtype).itemsize * models.count_numbers(merged)
    place = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
    total, _, free = shutil.disk_usage(place)
    if total and free < needed:  # /proc and its like have no size
        raise UserError(
            f"the merged model takes {needed / 1e9:.1f} GB in {dtype} and {place} has "
            f"{free / 1e9:.1f} GB free; make room there, or give another --out."
        )


def check_range(merged: torch.nn.Module, dtype: str) -> None:
    """Refuse a dtype that ends below the largest number of the model, as float16 does at 65,504."""
    most = torch.finfo(getattr(torch, dtype)).max
    for name, parameter in merged.named_parameters():
        largest = parameter.abs().max().item()
        if largest > most:
            raise UserError(
                f"{name} of the merged model holds {largest:,.0f}, and {dtype} ends at "
                f"{most:,.0f}; write bfloat16 or float32 (--dtype)."
            )


def save(merged: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", folder: Path) -> None:
    """Write model, tokenizer and template; generation ends where the template ends an answer."""
    stated = merged.generation_config.eos_token_id
    ends = torch.tensor([] if stated is None else stated).flatten().long().tolist()
    for mark in data.end_marks(tokenizer):
        token = tokenizer.encode(mark, add_special_tokens=False)
        if len(token) == 1 and token[0] not in ends:
            ends.append(token[0])
            merged.generation_config.eos_token_id = ends if len(ends) > 1 else ends[0]
    untie(merged)
    merged.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def untie(merged: "PreTrainedModel") -> None:
    """State in the configuration that head and embedding are two, where training parted them.

    Else a program that goes by the configuration takes one of them for both.
    """
    head, embedding = merged.get_output_embeddings(), merged.get_input_embeddings()
    if head is not None and not torch.equal(
        head.get_parameter("weight"), embedding.get_parameter("weight")
    ):
        merged.config.tie_word_embeddings = False


def write_record(folder: Path, base: str, report: MergeReport, run: str | Path | None) -> None:
    """State beside the weights which they are, what they were made from, and their proof."""
    files = sorted(file.name for file in folder.iterdir())
    record = {
        "base": base,
        "run": None if run is None else str(Path(run).absolute()),
        "weights": models.hash_weights(folder),
        "report": asdict(report),
        "versions": recorded_versions(),
        "files": [*files, RECORD],
    }
    (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def run_of(folder: str | Path) -> Path | None:
    """The run that a merged model comes from, where its folder names one."""
    run = read_record(Path(folder)).get("run")
    return Path(run) if isinstance(run, str) else None


def read_record(folder: Path) -> dict[str, Any]:
    """The merge.json of a folder; {} where there is none, or it is something else."""
    file = folder / RECORD
    record = parse_json(read_text(file), file) if file.is_file() else {}
    names = record.get("files") if isinstance(record, dict) else None
    # names of files beside it: what they name may be removed
    plain = isinstance(names, list) and all(
        isinstance(name, str) and name == Path(name).name for name in names
    )
    return record if plain else {}
