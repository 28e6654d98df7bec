"""The one line of setup: seed, device, dtype, threads, versions, and the one dial, the model.

    setup(seed=0)                seeds everything and says where it runs: an `Environment`
    chosen_model(name)           the model that a session uses
    device_and_dtype()           what models compute on, and in which numbers
    plain_torch()                in a `with`: torch's own defaults, whatever a cell left on
    quiet()                      the libraries' own bars and warnings off
    progress_wanted()            whether anybody watches
    processes(), is_first()      how many share a run (torchrun), and whether this one speaks
    bar(what, total)             a bar with the time to go; progress(things, …) draws one

It loads no model (`models.load`) and mends no installation (`python -m ftkit doctor`). Every
notebook begins with it.
"""

import logging
import os
import platform
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from .errors import UserError, is_whole, nearest
from .results import Result, TableParts
from .versions import recorded_versions

if TYPE_CHECKING:
    from tqdm.auto import tqdm

T = TypeVar("T")

# On a CPU, bitsandbytes announces an optional kernel package as it is imported, which peft does for
# it: said here, since a notebook may name an adapter before it calls setup.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)

# What "hub" means: half a billion parameters, Apache-2.0, not gated; by the formula a T4 holds it.
HUB = "Qwen/Qwen2.5-0.5B-Instruct"
PATIENCE = 2  # seconds before a bar shows
LAST_SEED = 2**32 - 1  # numpy takes no larger one


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

    def table(self) -> TableParts:
        """What decides the numbers; versions are in `.versions`."""
        rows = [
            ("model", self.model),
            ("seed", self.seed),
            ("device", f"{self.device}, {self.dtype}"),
            ("threads", f"≈{self.threads}"),
        ]
        if self.model != "pocket":
            claims = "the text's numbers are the pocket model's; "
            claims += "what is claimed of it is tried on yours: ✓ the same, ✗ not"
            rows.append(("claims", claims))
        if asserts_off():
            why = "off, by python -O or PYTHONOPTIMIZE: what a cell asserts is not tried"
            rows.append(("asserts", f"{why}; unset it and restart the kernel"))
        return "ftkit is ready", ("setting", "value"), rows


def chosen_model(name: str | None = None) -> str:
    """The model that the dial stands at: a name, a directory or a hub id.

    The argument, else the environment variable FTKIT_MODEL, else "pocket"; "hub" is short for the
    id in HUB.
    """
    name = name or os.environ.get("FTKIT_MODEL") or "pocket"
    return HUB if name == "hub" else name


def asserts_off() -> bool:
    """Whether Python leaves every assert out, the reader's and the libraries' too."""
    return sys.flags.optimize > 0


def device_and_dtype() -> tuple[str, str]:
    """What models compute on and in: ("cuda", "bfloat16"), ("cuda", "float16"), ("cpu", "float32").

    bfloat16 on GPUs of compute capability 8 and above, float16 on older ones: a T4 only emulates
    bfloat16, although torch calls it supported. With the pocket model it is float32 everywhere:
    notebooks hold that model to its last digits, and it is small. The environment variable
    FTKIT_DTYPE chooses another one; UserError where that is none of DTYPES.
    """
    import torch

    # What suits the machine, unless the environment asks for another.
    cuda = torch.cuda.is_available()
    if not cuda or chosen_model() == "pocket":
        usual = "float32"
    else:
        native = torch.cuda.get_device_capability()[0] >= 8
        usual = "bfloat16" if native else "float16"
    dtype = os.environ.get("FTKIT_DTYPE") or usual
    if dtype not in DTYPES:
        raise UserError(
            f"FTKIT_DTYPE is {dtype!r}; give {', '.join(DTYPES)}, or unset it."
            f"{nearest(dtype, DTYPES)}"
        )
    return "cuda" if cuda else "cpu", dtype


@contextmanager
def plain_torch() -> Iterator[None]:
    """Torch as it is by default inside the block, whatever another cell has left on.

    With gradients, new numbers in float32 and on the CPU; after it all is as that cell left it.
    """
    import torch

    dtype, cpu = torch.get_default_dtype(), torch.device("cpu")
    elsewhere = torch.get_default_device() != cpu
    torch.set_default_dtype(torch.float32)
    try:
        # a device in a `with` slows every call, so only where one was set
        with torch.inference_mode(False), torch.enable_grad(), cpu if elsewhere else nullcontext():
            yield
    finally:
        torch.set_default_dtype(dtype)


def processes() -> int:
    """How many processes share a training, as torchrun says in WORLD_SIZE; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE") or 1)


def is_first() -> bool:
    """Whether this is the process that writes and speaks for all: RANK 0, or the only one."""
    return processes() == 1 or int(os.environ.get("RANK") or 0) == 0


def progress_wanted() -> bool:
    """Whether progress bars are shown: in a terminal and in a notebook, where somebody watches.

    FTKIT_PROGRESS=0 turns them off, as tests and recorded notebooks do, because a bar's text
    differs from run to run; FTKIT_PROGRESS=1 shows them in a file too, a line for every step.
    """
    if not is_first():
        return False
    stated = os.environ.get("FTKIT_PROGRESS")
    if stated:
        return stated != "0"
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def bar(what: str, total: int, unit: str = "it") -> "tqdm":
    """A progress bar with the time to go, for work that takes longer than a moment: until then,
    and where nobody watches, it shows nothing.
    """
    from tqdm.auto import tqdm

    hidden = not progress_wanted()
    return tqdm(total=total, desc=what, unit=unit, delay=PATIENCE, leave=False, disable=hidden)


def progress(things: Iterable[T], what: str, total: int) -> Iterator[T]:
    """The things one after the other, of which there are `total`, with a `bar` behind them."""
    with bar(what, total) as shown:
        for thing in things:
            yield thing
            shown.update()


def quiet() -> None:
    """Silence the libraries' own bars, and the warnings that a learner can do nothing about.

    It holds for the whole process: every FutureWarning, of any package, is silenced with them.
    """
    logging.getLogger("httpx").setLevel(logging.WARNING)
    import datasets
    import transformers

    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", message=".*pin_memory.*")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    datasets.utils.logging.disable_progress_bar()


def setup(seed: int = 0, model: str | None = None, threads: int | None = None) -> Environment:
    """Seed everything, choose device and threads, quiet the libraries; returns the `Environment`.

    model: turns the one dial for the whole session (see `chosen_model`). With another one than the
    pocket model, a notebook tries the claims that are the pocket model's and tells how they come
    out (`lessons.claims`). threads: by default OMP_NUM_THREADS, else two at most: the
    pocket model's matrices are too small to feed more. Raises UserError for a seed that is none.

    What it changes outside the kit, for the whole process: the seeds of Python, NumPy and torch and
    torch's number of threads; no FutureWarning is shown any more, of any package (see `quiet`);
    and a given `model` is written into os.environ as FTKIT_MODEL, where later calls and child
    processes find it.
    """
    import torch
    import transformers

    if not is_whole(seed) or not 0 <= seed <= LAST_SEED:
        known = f"a whole number from 0 on, {LAST_SEED:,} at most"
        raise UserError(f"seed is {seed!r}; give {known}, such as setup(seed=0).")

    # The dial, first of all: quieting, the claims and the dtype go by it.
    if model is not None:
        os.environ["FTKIT_MODEL"] = model
    quiet()

    # What decides the numbers.
    transformers.set_seed(seed)
    threads = threads or int(os.environ.get("OMP_NUM_THREADS", 0)) or min(2, os.cpu_count() or 1)
    torch.set_num_threads(threads)
    device, dtype = device_and_dtype()
    return Environment(
        seed=seed,
        model=chosen_model(model),
        device=device,
        dtype=dtype,
        threads=threads,
        python=platform.python_version(),
        versions=recorded_versions(),
    )
