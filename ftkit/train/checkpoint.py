"""Checkpoints of a run: whole or not there, safetensors and JSON only, one writer a folder."""

import json
import os
import random
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ..core.errors import UserError


def whole_checkpoints(folder: Path) -> dict[int, Path]:
    """The checkpoints in `folder` by step, in order. One that was being written when its process
    died has no such name.
    """
    return dict(
        sorted((int(path.name.split("-")[1]), path) for path in folder.glob("checkpoint-*"))
    )


@contextmanager
def write_checkpoint(folder: Path, step: int) -> Iterator[Path]:
    """A new folder to write a checkpoint into; when the block ends, it takes the name
    checkpoint-STEP in one move.
    """
    new = folder / f".new-{step}"
    try:
        with explain_write_errors(folder):
            new.mkdir(parents=True)
            yield new
            new.rename(folder / f"checkpoint-{step}")
    finally:
        shutil.rmtree(new, ignore_errors=True)


def drop_checkpoints(folder: Path, but: set[int]) -> None:
    """Remove all checkpoints but those of some steps: first the name, in one move, then the files."""
    for step, path in whole_checkpoints(folder).items():
        if step not in but:
            path.rename(old := folder / f".old-{step}")
            shutil.rmtree(old, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove what a killed process left half-written or half-removed in `folder`."""
    for path in (*folder.glob(".new-*"), *folder.glob(".old-*")):
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Hold `folder` for this process alone. The lock ends with the process, whatever ends it, so
    that none is ever left behind.

    Windows and file systems without locks (some network drives) hold nothing.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"another run is writing into {folder}; wait until it is done, or give another --out."
            ) from None
        except OSError:
            pass
        yield
    finally:
        os.close(handle)


@contextmanager
def explain_write_errors(folder: Path) -> Iterator[None]:
    """What goes wrong when writing (a full disk, a folder that is not ours) as one sentence, with
    the step that is safe.
    """
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        kept = max(whole_checkpoints(folder), default=None)
        safe = (
            ""
            if kept is None
            else f"; the checkpoint of step {kept} is whole, and the same command goes on from it"
        )
        raise UserError(
            f"could not write into {folder} ({reason}): make room there, or give a folder that you may write into{safe}."
        ) from error


def differences(was: Mapping, now: Mapping, within: str = "") -> list[str]:
    """Every key that changed, in words: "recipe.lr was 0.002 and is 0.001 now"."""
    found = []
    for key in dict.fromkeys([*was, *now]):
        old, new, name = was.get(key), now.get(key), f"{within}{key}"
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += differences(old, new, f"{name}.")
        elif old != new:
            found.append(f"{name} was {old!r} and is {new!r} now")
    return found


def moments(optimizer) -> dict:
    """The optimizer's tensors by "parameter.name", such as Adam's "0.exp_avg": what safetensors can
    hold.
    """
    return {
        f"{i}.{name}": tensor
        for i, state in optimizer.state_dict()["state"].items()
        for name, tensor in state.items()
    }


def set_moments(optimizer, tensors: Mapping, groups: list[dict] | None = None) -> None:
    """Put `moments` back into an optimizer over the same parameters; groups: rates and options, by
    default the optimizer's own.
    """
    state: dict[int, dict] = {}
    for key, tensor in tensors.items():
        index, name = key.split(".")
        state.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict(
        {"state": state, "param_groups": groups or optimizer.state_dict()["param_groups"]}
    )


def save_state(folder: Path, optimizer, scheduler, scaler, **more) -> None:
    """state.safetensors and state.json: moments, rates, fp16 loss scale (None without), random
    generators, and `more` as JSON.
    """
    import numpy
    import torch
    from safetensors.torch import save_file

    _, keys, *place = numpy.random.get_state()
    tensors = {f"moment.{key}": tensor.contiguous() for key, tensor in moments(optimizer).items()}
    tensors |= {
        "random.torch": torch.get_rng_state(),
        "random.numpy": torch.from_numpy(keys.astype("int64")),
    }
    tensors |= {f"random.cuda.{i}": state for i, state in enumerate(torch.cuda.get_rng_state_all())}
    save_file(tensors, folder / "state.safetensors")
    plain = {
        "groups": optimizer.state_dict()["param_groups"],
        "scheduler": scheduler.state_dict(),
        "scaler": scaler.state_dict() if scaler else None,
        "python": random.getstate(),
        "numpy": place,
    }
    (folder / "state.json").write_text(json.dumps({**plain, **more}), encoding="utf-8")


def load_state(folder: Path, optimizer, scheduler, scaler) -> None:
    """Put back what `save_state` wrote, but for the random generators."""
    from safetensors.torch import load_file

    plain = read_state(folder)
    tensors = load_file(folder / "state.safetensors")
    set_moments(
        optimizer,
        {k.removeprefix("moment."): t for k, t in tensors.items() if k.startswith("moment.")},
        plain["groups"],
    )
    scheduler.load_state_dict(plain["scheduler"])
    if scaler and plain["scaler"]:
        scaler.load_state_dict(plain["scaler"])


def load_random(folder: Path) -> None:
    """Put the random generators back that `save_state` wrote: Python's, numpy's, torch's and those
    of the GPUs that are here.
    """
    import numpy
    import torch
    from safetensors.torch import load_file

    plain, tensors = read_state(folder), load_file(folder / "state.safetensors")
    version, keys, gauss = plain["python"]
    random.setstate((version, tuple(keys), gauss))
    numpy.random.set_state(
        ("MT19937", tensors["random.numpy"].numpy().astype("uint32"), *plain["numpy"])
    )
    torch.set_rng_state(tensors["random.torch"])
    for i in range(torch.cuda.device_count()):
        if f"random.cuda.{i}" in tensors:
            torch.cuda.set_rng_state(tensors[f"random.cuda.{i}"], i)


def read_state(folder: Path) -> dict:
    """The JSON half of what `save_state` wrote."""
    return json.loads((folder / "state.json").read_text(encoding="utf-8"))
