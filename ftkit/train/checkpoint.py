"""Checkpoints of a run: whole or not there, safetensors and JSON only, one writer for a folder.

    with write_checkpoint(folder, step) as new: …    takes its name when the block ends, in one move
    whole_checkpoints(folder)                        {step: path} of those that have their name
    with lock_folder(folder): …                      one process at a time
    save_state(folder, …), load_state(folder, …)     what a run needs beside the weights to go on

It knows nothing of trainers and recipes: the pocket model's pretraining uses it as `trainer.py`
does. What a run folder holds beside its checkpoints is `run_folder.py`'s. Taught in notebook 07.
"""

import hashlib
import json
import random
import shutil
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy
import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch.amp import GradScaler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ..core.errors import UserError, reason
from ..core.files import write_whole
from ..core.parsing import parse_json, read_text
from ..core.session import is_first

CHECKPOINTS = "checkpoints"  # inside a run folder, until the run is done
BEGUN = "begun.json"  # inside that one: which run they are of
HASHES = "hashes.json"  # inside a checkpoint: {its file: SHA-256}
LOCK = ".lock"  # inside a folder, while a process holds it

# Checkpoints to go on from: seconds between two, and the share of the time that writing may take.
EVERY, SHARE = 10.0, 0.02


class Clock:
    """How long a run has trained, and when its next checkpoint to go on from is due.

    spent: seconds of earlier processes that trained the same run.
    """

    def __init__(self, spent: float = 0.0) -> None:
        self.began = time.perf_counter() - spent
        self.due = time.perf_counter() + EVERY

    def seconds(self) -> float:
        """Seconds of training so far, those of earlier processes among them."""
        return time.perf_counter() - self.began

    def is_due(self) -> bool:
        """Whether it is time for a checkpoint."""
        return time.perf_counter() > self.due

    def set_next(self, seconds: float) -> None:
        """Set when the next checkpoint is due, after one that took so many seconds to write."""
        self.due = time.perf_counter() + max(EVERY, seconds / SHARE)


def whole_checkpoints(folder: Path) -> dict[int, Path]:
    """{step: path} of the checkpoints in `folder`, in the order of their steps.

    One that was being written when its process died has no such name. What else lies there is none
    of the kit's, neither read nor removed: checkpoint-best, checkpoint-8-backup, checkpoint-008,
    notes, a file or a link.
    """
    return numbered(folder, "checkpoint-")


def numbered(folder: Path, start: str) -> dict[int, Path]:
    """{number: path} of the folders that are named `start` and a number as the kit writes it."""
    found = {}
    for path in folder.glob(f"{start}*"):
        number = path.name.removeprefix(start)
        kits = number.isascii() and number.isdecimal() and str(int(number[:18])) == number
        if kits and path.is_dir() and not path.is_symlink():
            found[int(number)] = path
    return dict(sorted(found.items()))


@contextmanager
def write_checkpoint(folder: Path, step: int) -> Iterator[Path]:
    """A new folder to write a checkpoint into, which becomes checkpoint-STEP when the block ends.

    It says of each of its files what was written, for `check_hashes`. Whatever goes wrong before
    that leaves nothing behind. A full disk or a folder that may not be
    written into is a `UserError`.
    """
    new = folder / f".new-{step}"
    try:
        with explain_write_errors(folder):
            new.mkdir(parents=True)
            yield new
            files = sorted(path for path in new.iterdir() if path.is_file())
            hashes = {path.name: hash_file(path) for path in files}
            (new / HASHES).write_text(json.dumps(hashes), encoding="utf-8")
            new.rename(folder / f"checkpoint-{step}")
    finally:
        shutil.rmtree(new, ignore_errors=True)


def hash_file(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check_hashes(checkpoint: Path) -> None:
    """Refuse a checkpoint whose files are not what was written: the run would go on as another."""
    file = checkpoint / HASHES
    hashes = parse_json(read_text(file), file)
    stated = hashes if isinstance(hashes, dict) else {}
    files = {name: checkpoint / name for name in stated}
    damaged = [
        name
        for name, path in files.items()
        if not path.is_file() or hash_file(path) != stated[name]
    ]
    if damaged or not stated:
        raise UserError(
            f"{checkpoint} is damaged: {(damaged or [HASHES])[0]} is not what the run wrote; "
            "remove that folder, and the same command then begins earlier, or anew."
        )


def drop_checkpoints(folder: Path, *, but: Collection[int | None]) -> None:
    """Remove all checkpoints but those of some steps: first the name, then the files.

    The name goes in one move, so that a checkpoint that is half removed has none.
    """
    for step, path in whole_checkpoints(folder).items():
        if step not in but:
            old = folder / f".old-{step}"
            path.rename(old)
            shutil.rmtree(old, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove what a killed process left half-written or half-removed in `folder`."""
    for start in (".new-", ".old-"):
        for path in numbered(folder, start).values():
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Hold `folder` for this process alone; `UserError` where another one holds it.

    The lock ends with the process, whatever ends it, so that none is ever left behind: a killed
    process leaves an empty file that locks nobody out. Where no lock can be had (a folder that may
    only be read, some network drives) nothing is held.
    """
    file = folder / LOCK
    lock = FileLock(file, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UserError(
            f"another run is writing into {folder}; wait until it is done, or give another --out."
        ) from None
    except (OSError, NotImplementedError):
        yield
        return
    try:
        yield
    finally:
        # removed while it is held, so that it is never the next one's; Windows does so afterwards
        with suppress(OSError):
            file.unlink()
        lock.release()


@contextmanager
def explain_write_errors(folder: Path) -> Iterator[None]:
    """Turn what goes wrong when writing into a `UserError`, with the step that is safe.

    That is a full disk, a folder that may not be written into, or a file in the place of one.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        why = getattr(error, "strerror", None) or reason(error)
        last = max(whole_checkpoints(folder), default=None)
        safe = f"; the checkpoint of step {last} is whole, and the same command goes on from it"
        raise UserError(
            f"could not write into {folder} ({why}): make room there, or give a folder that you "
            f"may write into{'' if last is None else safe}."
        ) from error


def differences(was: Mapping, now: Mapping, within: str = "") -> list[str]:
    """Every key that changed, in words: "recipe.lr was 0.002 and is 0.001 now"."""
    changed = []
    for key in dict.fromkeys([*was, *now]):
        old, new, name = was.get(key), now.get(key), f"{within}{key}"
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            changed += differences(old, new, f"{name}.")
        elif old != new:
            changed.append(f"{name} was {old!r} and is {new!r} now")
    return changed


def keep_tokens(checkpoints: Path, rendered: str) -> None:
    """Note beside the checkpoints what a run's rows are as tokens, by their hash.

    Raises `UserError` where the run that is to go on there saw other tokens.
    """
    begun = checkpoints / BEGUN
    if not begun.is_file():
        return
    stated = parse_json(read_text(begun), begun)
    was = stated["hashes"].setdefault("rendered", rendered)
    refuse_other_tokens(checkpoints.parent, was, rendered)
    if is_first():
        write_whole(begun, json.dumps(stated))


def refuse_other_tokens(out: Path, was: str, now: str) -> None:
    """Refuse to go on with the run in a folder whose rows were other tokens."""
    if was != now:
        raise UserError(
            f"{out} holds another run (hashes.rendered was {was!r} and is {now!r} now: the chat "
            "template or the tokenizer gives other tokens for the same rows); give another --out, "
            "the template as it was, or remove that folder."
        )


def moments(optimizer: Optimizer) -> dict[str, torch.Tensor]:
    """The optimizer's tensors by "parameter.name", as safetensors can hold them.

    Adam's are "0.exp_avg" and "0.exp_avg_sq", of the first parameter's shape, and its count of
    steps, "0.step".
    """
    return {
        f"{parameter}.{name}": tensor
        for parameter, state in optimizer.state_dict()["state"].items()
        for name, tensor in state.items()
    }


def set_moments(
    optimizer: Optimizer, tensors: Mapping[str, torch.Tensor], groups: list[dict] | None = None
) -> None:
    """Put `moments` back into an optimizer over the same parameters.

    groups: rates and options of its parameter groups; by default the optimizer's own.
    """
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        parameter, name = key.split(".")
        state.setdefault(int(parameter), {})[name] = tensor
    groups = groups or optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def save_state(
    folder: Path,
    optimizer: Optimizer,
    scheduler: LRScheduler,
    scaler: GradScaler | None,
    **more: object,
) -> None:
    """Write state.safetensors and state.json: what a run needs beside the weights to go on.

    Moments and random generators are tensors; rates, the loss scale of float16 (None without) and
    `more` are JSON.
    """
    # the tensors: the optimizer's, and the random generators of torch, numpy and each GPU
    _, keys, *place = numpy.random.get_state()
    tensors = {f"moment.{key}": tensor.contiguous() for key, tensor in moments(optimizer).items()}
    tensors["random.torch"] = torch.get_rng_state()
    tensors["random.numpy"] = torch.from_numpy(numpy.asarray(keys).astype("int64"))
    for gpu, state in enumerate(torch.cuda.get_rng_state_all()):
        tensors[f"random.cuda.{gpu}"] = state
    save_file(tensors, folder / "state.safetensors")

    # what is no tensor
    plain = {
        "groups": optimizer.state_dict()["param_groups"],
        "scheduler": scheduler.state_dict(),
        "scaler": scaler.state_dict() if scaler else None,
        "python": random.getstate(),
        "numpy": place,
    }
    (folder / "state.json").write_text(json.dumps({**plain, **more}), encoding="utf-8")


def load_state(
    folder: Path, optimizer: Optimizer, scheduler: LRScheduler, scaler: GradScaler | None
) -> None:
    """Put back what `save_state` wrote, but for the random generators."""
    plain = read_state(folder)
    tensors = load_file(folder / "state.safetensors")
    of_optimizer = {
        name.removeprefix("moment."): tensor
        for name, tensor in tensors.items()
        if name.startswith("moment.")
    }
    set_moments(optimizer, of_optimizer, plain["groups"])
    scheduler.load_state_dict(plain["scheduler"])
    if scaler and plain["scaler"]:
        scaler.load_state_dict(plain["scaler"])


def load_random(folder: Path) -> None:
    """Put back the random generators that `save_state` wrote: Python's, numpy's, torch's.

    Of the GPUs' those that are here.
    """
    plain, tensors = read_state(folder), load_file(folder / "state.safetensors")
    version, keys, gauss = plain["python"]
    random.setstate((version, tuple(keys), gauss))
    numpy_keys = tensors["random.numpy"].numpy().astype("uint32")
    numpy.random.set_state(("MT19937", numpy_keys, *plain["numpy"]))
    torch.set_rng_state(tensors["random.torch"])
    for gpu in range(torch.cuda.device_count()):
        if f"random.cuda.{gpu}" in tensors:
            torch.cuda.set_rng_state(tensors[f"random.cuda.{gpu}"], gpu)


def read_state(folder: Path) -> dict[str, Any]:
    """The JSON half of what `save_state` wrote."""
    return json.loads((folder / "state.json").read_text(encoding="utf-8"))
