"""One line of setup: seed, device, dtype, threads, versions and the one dial, the model."""

import importlib.metadata
import logging
import os
import platform
import warnings
from dataclasses import dataclass, field
from typing import NamedTuple

from .errors import UserError, nearest
from .pocket_claims import watch_cells
from .results import Result
from .versions import PACKAGES

HUB = "Qwen/Qwen2.5-0.5B-Instruct"  # what "hub" means: half a billion parameters, Apache-2.0, not gated; by the formula a T4 holds it


class Dtype(NamedTuple):
    """What a kind of number is called in the head of a safetensors file, and its bytes."""

    label: str
    width: int


# What models are computed in, by torch's name, in one place for the whole kit.
DTYPES = {"float32": Dtype("F32", 4), "bfloat16": Dtype("BF16", 2), "float16": Dtype("F16", 2)}


@dataclass(frozen=True, repr=False)
class Environment(Result):
    """Where and with what a notebook runs."""

    seed: int
    model: str
    device: str
    dtype: str
    threads: int
    python: str
    versions: dict[str, str] = field(default_factory=dict)

    def table(self):
        """What decides the numbers; versions are in `.versions`."""
        rows = [
            ("model", self.model),
            ("seed", self.seed),
            ("device", f"{self.device}, {self.dtype}"),
            ("threads", f"≈{self.threads}"),
        ]
        if self.model != "pocket":
            rows.append(
                (
                    "claims",
                    "the text's numbers are the pocket model's; what is claimed of it is tried on yours: ✓ the same, ✗ not",
                )
            )
        return "ftkit is ready", ("setting", "value"), rows


def chosen_model(name: str | None = None) -> str:
    """The dial: the argument, else the environment variable FTKIT_MODEL, else "pocket"; "hub" is
    short for the id in HUB.
    """
    name = name or os.environ.get("FTKIT_MODEL") or "pocket"
    return HUB if name == "hub" else name


def device_and_dtype() -> tuple[str, str]:
    """("cuda", "bfloat16") on GPUs of compute capability 8 and above, ("cuda", "float16") on older
    ones, else ("cpu", "float32").

    A T4 only emulates bfloat16, although torch calls it supported; hence the question for the
    capability. In a session with the
    pocket model it is float32 everywhere: the notebooks hold that model to its last digits, and it
    is small. The environment variable FTKIT_DTYPE chooses another one.
    """
    import torch

    cuda = torch.cuda.is_available()
    exact = not cuda or chosen_model() == "pocket"
    own = (
        "float32"
        if exact
        else "bfloat16"
        if torch.cuda.get_device_capability()[0] >= 8
        else "float16"
    )
    dtype = os.environ.get("FTKIT_DTYPE") or own
    if dtype not in DTYPES:
        raise UserError(
            f"FTKIT_DTYPE is {dtype!r}; give {', '.join(DTYPES)}, or unset it.{nearest(dtype, DTYPES)}"
        )
    return "cuda" if cuda else "cpu", dtype


def progress_wanted() -> bool:
    """False with FTKIT_PROGRESS=0, which tests and recorded notebooks set: a bar's text differs
    from run to run.
    """
    return os.environ.get("FTKIT_PROGRESS", "1") != "0"


def quiet() -> None:
    """Silence the libraries' own bars and the warnings that a learner can do nothing about."""
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("bitsandbytes").setLevel(
        logging.ERROR
    )  # on a CPU it announces an optional kernel package at import
    import datasets
    import transformers

    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", message=".*pin_memory.*")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    datasets.utils.logging.disable_progress_bar()


def setup(seed: int = 0, model: str | None = None, threads: int | None = None) -> Environment:
    """Seed everything, choose device and threads, quiet the libraries; returns the record.

    `model` turns the one dial for the whole session (see `chosen_model`); with another one than the
    pocket model a notebook tries the claims that are marked as the pocket model's and tells how
    they come out (see `carryover`). `threads` defaults to
    OMP_NUM_THREADS, else to two at most: the pocket model's matrices are too small to feed more.
    """
    import torch
    import transformers

    if not isinstance(seed, int) or seed < 0:
        raise UserError(f"seed is {seed!r}; give a whole number from 0 on, such as setup(seed=0).")
    if model is not None:
        os.environ["FTKIT_MODEL"] = model
    quiet()
    watch_cells(chosen_model(model))
    transformers.set_seed(seed)
    threads = threads or int(os.environ.get("OMP_NUM_THREADS", 0)) or min(2, os.cpu_count() or 1)
    torch.set_num_threads(threads)
    device, dtype = device_and_dtype()
    versions = {p: importlib.metadata.version(p) for p in PACKAGES}
    return Environment(
        seed, chosen_model(model), device, dtype, threads, platform.python_version(), versions
    )
