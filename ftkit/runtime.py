"""One line of setup: seed, device, dtype, threads, versions and the one dial, the model."""

import contextlib
import difflib
import importlib.metadata
import logging
import os
import platform
import shutil
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from . import carryover
from .record import Record

HUB = "Qwen/Qwen2.5-0.5B-Instruct"  # what "hub" means: half a billion parameters, Apache-2.0, not gated; by the formula a T4 holds it
DTYPES = ("float32", "bfloat16", "float16")
PACKAGES = ("torch", "transformers", "peft", "trl", "bitsandbytes", "datasets")


class UserError(ValueError):
    """Something the user can mend: one sentence with the value, what is allowed and the cure. The verbs print it and exit 1."""


def nearest(word: str, known: Iterable[str]) -> str:
    """' Did you mean …?' when a known spelling is close, else nothing."""
    close = difflib.get_close_matches(str(word), list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def data_path(*parts: str) -> Path:
    """A file of the kit's own data: inside the installed package, or at the top of a checkout."""
    inside = Path(__file__).parent / "data"
    return (inside if inside.exists() else Path(__file__).parents[1] / "data").joinpath(*parts)


@dataclass(frozen=True, repr=False)
class Environment(Record):
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
        rows = [("model", self.model), ("seed", self.seed), ("device", f"{self.device}, {self.dtype}"), ("threads", f"≈{self.threads}")]
        if self.model != "pocket":
            rows.append(("claims", "the text's numbers are the pocket model's; what is claimed of it is tried on yours: ✓ the same, ✗ not"))
        return "ftkit is ready", ("setting", "value"), rows


def chosen_model(name: str | None = None) -> str:
    """The dial: the argument, else the environment variable FTKIT_MODEL, else "pocket"; "hub" is short for the id in HUB."""
    name = name or os.environ.get("FTKIT_MODEL") or "pocket"
    return HUB if name == "hub" else name


def device_and_dtype() -> tuple[str, str]:
    """("cuda", "bfloat16") on GPUs of compute capability 8 and above, ("cuda", "float16") on older ones, else ("cpu", "float32").

    A T4 only emulates bfloat16, although torch calls it supported; hence the question for the capability. In a session with the
    pocket model it is float32 everywhere: the notebooks hold that model to its last digits, and it is small. The environment variable
    FTKIT_DTYPE chooses another one.
    """
    import torch

    cuda = torch.cuda.is_available()
    exact = not cuda or chosen_model() == "pocket"
    own = "float32" if exact else "bfloat16" if torch.cuda.get_device_capability()[0] >= 8 else "float16"
    dtype = os.environ.get("FTKIT_DTYPE") or own
    if dtype not in DTYPES:
        raise UserError(f"FTKIT_DTYPE is {dtype!r}; give {', '.join(DTYPES)}, or unset it.{nearest(dtype, DTYPES)}")
    return "cuda" if cuda else "cpu", dtype


def version_of(distribution: str) -> str | None:
    """The installed version of a distribution, such as "huggingface-hub"; None where there is none."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(distribution)
    return None


def progress_wanted() -> bool:
    """False with FTKIT_PROGRESS=0, which tests and recorded notebooks set: a bar's text differs from run to run."""
    return os.environ.get("FTKIT_PROGRESS", "1") != "0"


def quiet() -> None:
    """Silence the libraries' own bars and the warnings that a learner can do nothing about."""
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # on a CPU it announces an optional kernel package at import
    import datasets
    import transformers

    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", message=".*pin_memory.*")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    datasets.utils.logging.disable_progress_bar()


def setup(seed: int = 0, model: str | None = None, threads: int | None = None) -> Environment:
    """Seed everything, choose device and threads, quiet the libraries; returns the record.

    `model` turns the one dial for the whole session (see `chosen_model`); with another one than the pocket model a notebook tries
    the claims that are marked as the pocket model's and tells how they come out (see `carryover`). `threads` defaults to
    OMP_NUM_THREADS, else to two at most: the pocket model's matrices are too small to feed more.
    """
    import torch
    import transformers

    if not isinstance(seed, int) or seed < 0:
        raise UserError(f"seed is {seed!r}; give a whole number from 0 on, such as setup(seed=0).")
    if model is not None:
        os.environ["FTKIT_MODEL"] = model
    quiet()
    carryover.watch(chosen_model(model))
    transformers.set_seed(seed)
    threads = threads or int(os.environ.get("OMP_NUM_THREADS", 0)) or min(2, os.cpu_count() or 1)
    torch.set_num_threads(threads)
    device, dtype = device_and_dtype()
    versions = {p: importlib.metadata.version(p) for p in PACKAGES}
    return Environment(seed, chosen_model(model), device, dtype, threads, platform.python_version(), versions)


def hub_call(hub_id: str, function: str, *arguments: str, **options: object):
    """A function of the hub client on a hub id, its many errors as one sentence each, with the cure."""
    import huggingface_hub
    from huggingface_hub import errors

    huggingface_hub.utils.logging.set_verbosity_error()  # it prints a traceback at each of its own new tries
    if not progress_wanted():
        huggingface_hub.utils.disable_progress_bars()
    try:
        return getattr(huggingface_hub, function)(hub_id, *arguments, **options)
    except errors.GatedRepoError as error:
        how = "log in with `hf auth login` or set HF_TOKEN (on Colab, a secret of that name)"
        raise UserError(f"{hub_id!r} is gated: accept its terms on its page, then {how}.") from error
    except errors.RepositoryNotFoundError as error:
        raise UserError(f"there is no {hub_id!r} that you may see: check the spelling; if it is private, set HF_TOKEN.") from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        raise UserError(
            f"{hub_id!r} is not in the cache and the hub can't be reached: check the network and HF_HUB_OFFLINE, or give a local directory."
        ) from error
    except (OSError, ValueError, errors.HTTPError) as error:  # the client's other errors, a broken connection among them
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise UserError(
            f"could not get {hub_id!r} whole ({reason}), so none of it is used; try again, or give a local directory."
        ) from error


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """A folder in or beside `out` to write into; what it holds moves into `out` when the block ends, and vanishes if the block fails.

    Files move last: a record is there when what it records is.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.is_file():
        raise UserError(f"{out} is a file; give a folder to write into.")
    new = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out if out.is_dir() else out.parent))
    try:
        yield new
        out.mkdir(exist_ok=True)
        for item in sorted(new.iterdir(), key=Path.is_file):
            target = out / item.name
            if target.is_dir():
                shutil.rmtree(target)
            item.replace(target)
    finally:
        shutil.rmtree(new, ignore_errors=True)
