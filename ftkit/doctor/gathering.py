"""What the doctor asks of this machine and this installation: plain values, and no judgement.

    installed_requirements()         what the installed libraries ask of others
    torch_facts()                    GPU, CUDA and threads, as torch sees them
    free_memory(), free_disk(path)   bytes; None where the system does not say
    usable_cores(), cache_folders()  what this process may use, and where libraries write

Every answer works without the library that it asks about, since that may be what is broken. What
the values mean is `judging.py`'s business.
"""

import contextlib
import importlib.metadata
import importlib.util
import math
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from ..core.versions import PACKAGES, version_of

ROOTS = (*PACKAGES, "accelerate", "ftkit")  # whose requirements have to hold
KIB = 1024

# Where Linux says how much memory there is, and a container what it may take of memory and cores.
MEMORY = Path("/proc/meminfo")
MEMORY_LIMIT = Path("/sys/fs/cgroup/memory.max")
CORES_QUOTA = Path("/sys/fs/cgroup/cpu.max")

# {distribution: {who asks: the range of versions that it takes}}
Requirements = dict[str, dict[str, SpecifierSet]]


def installed_requirements(roots: Iterable[str] = ROOTS) -> Requirements:
    """What the installed libraries among `roots` ask of other distributions, extras left out.

    The kit's own libraries are in it even where nobody asks for them.
    """
    roots = list(roots)
    wanted: Requirements = {name: {} for name in roots if name in PACKAGES}
    for root in roots:
        here = version_of(root)
        if here is None:
            continue
        for text in importlib.metadata.requires(root) or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                name = canonicalize_name(requirement.name)
                wanted.setdefault(name, {})[f"{root} {here}"] = requirement.specifier
    return wanted


def torchao_minimum() -> str | None:
    """The lowest torchao that the installed peft accepts; None where it states none.

    It is read in peft's source, since importing it may fail.
    """
    peft = importlib.util.find_spec("peft")
    if peft is None or peft.origin is None:
        return None
    file = Path(peft.origin).with_name("import_utils.py")
    source = file.read_text(encoding="utf-8") if file.is_file() else ""
    stated = re.search(r"TORCHAO_MINIMUM_VERSION\s*=[^\"'\n]*[\"']([^\"']+)", source)
    return stated[1] if stated else None


@dataclass(frozen=True)
class TorchFacts:
    """What torch says of this machine; all None where it cannot be imported."""

    capability: tuple[int, int] | None = None  # of the GPU; None without one
    cuda: str | None = None  # what torch was built for, such as "12.8"; None without a GPU
    threads: int | None = None


def torch_facts() -> TorchFacts:
    """Ask torch for GPU, CUDA and threads; why it cannot be imported the self-test says."""
    try:
        import torch
    except (ImportError, OSError):
        return TorchFacts()
    if not torch.cuda.is_available():
        return TorchFacts(threads=torch.get_num_threads())
    capability = torch.cuda.get_device_capability()
    return TorchFacts(capability, torch.version.cuda, torch.get_num_threads())


def bfloat16_requests() -> list[str]:
    """Who asks for bfloat16 in this process."""
    try:
        import torch
    except (ImportError, OSError):
        return []
    dtype, precision = (
        os.environ.get(name) for name in ("FTKIT_DTYPE", "ACCELERATE_MIXED_PRECISION")
    )
    asks = {
        "FTKIT_DTYPE=bfloat16": dtype == "bfloat16",
        "ACCELERATE_MIXED_PRECISION=bf16": precision == "bf16",
        "torch.set_default_dtype(torch.bfloat16)": torch.get_default_dtype() == torch.bfloat16,
    }
    return [who for who, wants in asks.items() if wants]


def bitsandbytes_libraries(cuda: str | None) -> tuple[bool, list[str]]:
    """(it loaded a CUDA library, the CUDA versions it was shipped for); not asked without a GPU."""
    if cuda is None:
        return False, []
    try:
        from bitsandbytes import cextension
    except (ImportError, OSError, RuntimeError):
        return False, []
    loaded = bool(getattr(cextension.lib, "compiled_with_cuda", False))
    return loaded, cextension.get_available_cuda_binary_versions()


def free_memory(proc: Path = MEMORY, limit: Path = MEMORY_LIMIT) -> int | None:
    """Bytes of memory that programs can still take, in a container its limit at most.

    Where the system does not say what is free, all that there is; None where it says nothing.
    """
    with contextlib.suppress(OSError):
        available = re.search(r"MemAvailable:\s*(\d+)", proc.read_text())
        if available:
            free = KIB * int(available[1])
            # no container, or one without a limit, which is written "max"
            with contextlib.suppress(OSError, ValueError):
                free = min(free, int(limit.read_text()))
            return free
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def free_disk(folder: Path) -> int | None:
    """Free bytes where a folder is or would be made; None where that cannot be asked."""
    with contextlib.suppress(OSError):
        usage = shutil.disk_usage(nearest_existing(folder))
        return usage.free if usage.total else None  # /proc and its like have no size
    return None


def nearest_existing(folder: Path) -> Path:
    """The folder itself or, of one that is still to be made, the nearest above it that is there."""
    folder = folder.absolute()
    return next((place for place in (folder, *folder.parents) if place.exists()), folder)


def write_error(folder: Path) -> str | None:
    """Why no file can be made in a folder, or where it would be made; None where one can.

    It is tried: rights alone say nothing about a read-only disk. Nothing is left behind.
    """
    try:
        with tempfile.TemporaryFile(dir=nearest_existing(folder)):
            return None
    except OSError as error:
        return error.strerror or str(error)


def usable_cores(quota_file: Path = CORES_QUOTA) -> int:
    """Cores that this process may use.

    Those that it is bound to; in a container as many as its quota pays for.
    """
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    # no container, or one without a quota, which is written "max"
    with contextlib.suppress(OSError, ValueError):
        quota, period = map(int, quota_file.read_text().split())
        cores = min(cores, math.ceil(quota / period))
    return cores


def cache_folders(environ: Mapping[str, str] = os.environ) -> dict[str, tuple[Path, str]]:
    """Where the libraries keep what they make: {use: (folder, the variable that moves it)}."""
    # what the desktop's standard says, unless a library has a variable of its own
    home = Path("~").expanduser()
    caches = Path(environ.get("XDG_CACHE_HOME") or home / ".cache")
    settings = Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "matplotlib"
    if not sys.platform.startswith(("linux", "freebsd")):
        settings = home / ".matplotlib"
    hugging_face = Path(environ.get("HF_HOME") or caches / "huggingface").expanduser()
    hub, hub_variable = hugging_face / "hub", "HF_HOME"
    if own := environ.get("HF_HUB_CACHE"):
        hub, hub_variable = Path(own).expanduser(), "HF_HUB_CACHE"
    return {
        "Hugging Face home": (hugging_face, "HF_HOME"),
        "hub cache": (hub, hub_variable),
        "matplotlib folder": (Path(environ.get("MPLCONFIGDIR") or settings), "MPLCONFIGDIR"),
        "temporary folder": (Path(environ.get("TMPDIR") or temporary_folder()), "TMPDIR"),
    }


def temporary_folder() -> str:
    """The folder for temporary files; the usual one where Python may write into none."""
    with contextlib.suppress(FileNotFoundError):
        return tempfile.gettempdir()
    return "/tmp"


def uncompiled_packages(packages: Iterable[str]) -> list[str]:
    """The packages without compiled files beside their source."""
    missing = []
    for name in packages:
        package = importlib.util.find_spec(name)
        if package is None or package.origin is None:
            continue
        if not Path(importlib.util.cache_from_source(package.origin)).exists():
            missing.append(name)
    return missing
