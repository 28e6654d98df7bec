"""What is wrong here, and the command that mends it: the installation, the machine, and a second of
real work (see `selftest`).

Each check is a function of plain values, so that a test can plant what it should find;
`environment` gathers the values.
"""

import contextlib
import importlib
import importlib.metadata
import importlib.util
import math
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from ..core.results import gigabytes
from ..core.versions import PACKAGES, version_of
from .finding import Finding, Findings
from .run_folder import examine_run
from .selftest import test_yourself

ROOTS = (*PACKAGES, "accelerate", "ftkit")  # whose requirements have to hold
WATCHED = (
    *PACKAGES,
    "accelerate",
    "tokenizers",
    "huggingface_hub",
    "safetensors",
    "numpy",
    "pyarrow",
    "matplotlib",
    "ipywidgets",
)
NATIVE = 8  # the first compute capability whose bfloat16 is not emulated
RAM, DISK = (
    1.5e9,
    1e9,
    # bytes; the tour needs 1.0 GB of memory, and a run's checkpoints or a small hub model about as much
    # disk
)
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def examine(run: str | Path | None = None) -> Findings:
    """What `python -m ftkit doctor` shows: a run folder looked over, or without one the
    environment.
    """
    return examine_environment() if run is None else examine_run(run)


def examine_environment() -> Findings:
    """Every check of the installation and of the machine, then the self-test. Nothing is changed
    and nothing is left behind.
    """
    return Findings("The environment", [*installation(), *machine(), *test_yourself()])


def installation() -> list[Finding]:
    """Do the installed libraries fit each other and what is loaded already?"""
    loaded = {
        name: str(sys.modules[name].__version__)
        for name in WATCHED
        if hasattr(sys.modules.get(name), "__version__")
    }
    kernel, front, lab = map(version_of, ("ipywidgets", "jupyterlab_widgets", "jupyterlab"))
    return [
        *requirements(asked()),
        torchao(version_of("torchao"), torchao_minimum()),
        widgets(kernel, front, lab, front_end_wanted(kernel), "google.colab" in sys.modules),
        replaced(loaded, {name: version_of(name) for name in loaded}),
    ]


def machine() -> list[Finding]:
    """Is there enough of everything, and may it be used?"""
    limit, folders = cores(), caches()
    gpu = gpu_facts()
    return [
        bfloat16(gpu["capability"], bfloat16_wanted()),
        cuda_library(gpu["cuda"], *bitsandbytes_libraries(gpu["cuda"])),
        memory(memory_left()),
        disk({name: free_bytes(folder) for name, (folder, _) in folders.items()}),
        threads(
            limit,
            {name: os.environ[name] for name in THREADS if name in os.environ},
            gpu["threads"],
        ),
        *(writable(name, folder, variable) for name, (folder, variable) in folders.items()),
        bytecode(sys.dont_write_bytecode, uncompiled(PACKAGES)),
    ]


def pip(command: str) -> str:
    """A pip command as it is typed here: in a notebook behind %, and the kernel has to forget what
    it loaded.
    """
    return (
        f"%pip {command}, then restart the kernel"
        if "ipykernel.kernelapp" in sys.modules
        else f"pip {command}"
    )


def asked(roots: Iterable[str] = ROOTS) -> dict[str, dict]:
    """What the installed libraries ask of others, extras left out: {distribution: {who asks:
    `packaging`'s SpecifierSet}}.
    """
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found: dict[str, dict] = {name: {} for name in roots if name in PACKAGES}
    for root in roots:
        if (here := version_of(root)) is None:
            continue
        for text in importlib.metadata.requires(root) or []:
            wanted = Requirement(text)
            if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
                found.setdefault(canonicalize_name(wanted.name), {})[f"{root} {here}"] = (
                    wanted.specifier
                )
    return found


def requirements(
    wanted: Mapping[str, Mapping], version: Callable[[str], str | None] = version_of
) -> list[Finding]:
    """One finding for each distribution that is missing or that a library does not accept; the cure
    fits all that ask for it.

    transformers holds its own requirements against the installation when it is imported, so that
    one hub client too new ends there.
    """
    bad = []
    for name, ranges in wanted.items():
        here = version(name)
        against = [
            f"{who} takes {name}{r}"
            for who, r in ranges.items()
            if here is None or not r.contains(here, prereleases=True)
        ]
        if here is None or against:
            said = f"{name} is {here or 'not installed'}, and {'; '.join(against) or 'the kit needs it'}"
            bad.append(
                Finding(
                    "requirements", False, said, pip(f'install "{name}{tightest(ranges.values())}"')
                )
            )
    n = sum(map(len, wanted.values()))
    return bad or [
        Finding("requirements", True, f"all {n} requirements on {len(wanted)} distributions hold")
    ]


def tightest(ranges: Iterable) -> str:
    """One range that lies in all of them, in as few words: the highest of the lower bounds, the
    lowest of the upper ones.
    """
    from packaging.version import Version

    bounds: dict[str, set[str]] = {}
    for specifier in (s for r in ranges for s in r):
        bounds.setdefault(specifier.operator, set()).add(specifier.version)
    picked = {">=": max, "<": min}
    kept = [
        op + v
        for op, versions in bounds.items()
        for v in ([picked[op](versions, key=Version)] if op in picked else sorted(versions))
    ]
    return ",".join(sorted(kept, reverse=True))


def torchao_minimum() -> str | None:
    """The lowest torchao that the installed peft accepts, read in its source, since importing it
    may fail; None where it states none.
    """
    where = importlib.util.find_spec("peft")
    file = Path(where.origin).with_name("import_utils.py") if where and where.origin else None
    text = file.read_text(encoding="utf-8") if file and file.is_file() else ""
    found = re.search(r"TORCHAO_MINIMUM_VERSION\s*=[^\"'\n]*[\"']([^\"']+)", text)
    return found and found[1]


def torchao(here: str | None, minimum: str | None) -> Finding:
    """peft raises at the first LoRA layer beside a torchao that is too old, whether anything uses
    it or not.
    """
    from packaging.version import Version

    if here is None or minimum is None:
        said = (
            "not installed, and the kit does not need it"
            if here is None
            else f"{here}; the installed peft states no lowest version"
        )
        return Finding("torchao", True, said)
    if Version(here) >= Version(minimum):
        return Finding("torchao", True, f"{here}, and peft accepts {minimum} and later ones")
    said = f"torchao is {here} and peft accepts {minimum} at the lowest, so attaching a LoRA raises an error"
    return Finding("torchao", False, said, pip("uninstall -y torchao"))


def front_end_wanted(kernel: str | None) -> str:
    """The versions of jupyterlab_widgets that fit an ipywidgets, such as "~=3.0.15": what it asks
    for.

    ipywidgets 7.7.1, Colab's, states no upper bound; but from 3 on jupyterlab_widgets knows the
    controls of ipywidgets 8 alone.
    """
    from packaging.specifiers import SpecifierSet

    stated = asked(["ipywidgets"]).get("jupyterlab-widgets", {}).values()
    return tightest([*stated, SpecifierSet("<3" if (kernel or "").startswith("7.") else "")])


def widgets(
    kernel: str | None, front: str | None, lab: str | None, wanted: str, colab: bool = False
) -> Finding:
    """Does JupyterLab's half of the widgets fit the kernel's? kernel: ipywidgets, front:
    jupyterlab_widgets, lab: jupyterlab.
    """
    from packaging.specifiers import SpecifierSet

    if kernel is None:
        return Finding(
            "widgets",
            False,
            "ipywidgets is not installed, so no slider can be shown",
            pip('install "ipywidgets>=8,<9"'),
        )
    if colab or lab is None:
        where = (
            "Colab shows them"
            if colab
            else "there is no JupyterLab here, so another front end shows them"
        )
        return Finding("widgets", True, f"ipywidgets {kernel}; {where}")
    if front is not None and front in SpecifierSet(wanted):
        return Finding(
            "widgets", True, f"ipywidgets {kernel} and jupyterlab_widgets {front} fit each other"
        )
    said = f"ipywidgets {kernel} asks for jupyterlab_widgets{wanted}, which is {front or 'not installed'}, so JupyterLab shows no sliders"
    return Finding(
        "widgets",
        False,
        said,
        pip(f'install "jupyterlab_widgets{wanted}"') + ", and reload JupyterLab's page",
    )


def replaced(loaded: Mapping[str, str], installed: Mapping[str, str | None]) -> Finding:
    """Modules that this session imported before their distribution was replaced: it goes on with
    the old code, or with half of each.
    """
    old = [
        f"{name} {v} is loaded and {installed[name] or 'none'} is installed"
        for name, v in loaded.items()
        if differs(v, installed[name])
    ]
    if old:
        said = f"{'; '.join(old)}, so this session mixes the two"
        return Finding("loaded modules", False, said, "restart the kernel, then run all cells")
    return Finding(
        "loaded modules",
        True,
        f"the {len(loaded)} imported ones are those installed"
        if loaded
        else "nothing is imported yet",
    )


def differs(loaded: str, installed: str | None) -> bool:
    """True for two versions that are not one: a build's name, as in 2.13.0+cpu, counts where both
    state it.
    """
    from packaging.version import InvalidVersion, Version

    try:
        first, second = Version(loaded), Version(installed or "0")
    except InvalidVersion:
        return loaded != installed
    return (
        first != second
        if first.local and second.local
        else Version(first.public) != Version(second.public)
    )


def gpu_facts() -> dict:
    """What torch says: `capability` of the GPU and `cuda`, the version torch was built for, both
    None without a GPU; its `threads`.
    """
    try:
        import torch
    except (ImportError, OSError):  # the self-test says why
        return {"capability": None, "cuda": None, "threads": None}
    here = torch.cuda.is_available()
    capability = torch.cuda.get_device_capability() if here else None
    return {
        "capability": capability,
        "cuda": torch.version.cuda if here else None,
        "threads": torch.get_num_threads(),
    }


def bfloat16_wanted() -> list[str]:
    """Who asks for bfloat16 in this process."""
    with contextlib.suppress(ImportError, OSError):
        import torch

        said = {
            "FTKIT_DTYPE=bfloat16": os.environ.get("FTKIT_DTYPE") == "bfloat16",
            "ACCELERATE_MIXED_PRECISION=bf16": os.environ.get("ACCELERATE_MIXED_PRECISION")
            == "bf16",
            "torch.set_default_dtype(torch.bfloat16)": torch.get_default_dtype() == torch.bfloat16,
        }
        return [who for who, asks in said.items() if asks]
    return []


def bfloat16(capability: tuple[int, int] | None, wanted: Sequence[str]) -> Finding:
    """A GPU older than Ampere only emulates bfloat16, many times slower, though torch calls it
    supported: hence the capability.
    """
    if capability is None:
        return Finding(
            "bfloat16",
            True,
            "torch sees no CUDA GPU; on a CPU the kit computes in float32 unless FTKIT_DTYPE says otherwise",
        )
    name = ".".join(map(str, capability))
    if capability[0] >= NATIVE:
        return Finding(
            "bfloat16",
            True,
            f"the GPU's compute capability is {name}, and from {NATIVE}.0 on it is native",
        )
    if not wanted:
        said = f"the GPU's compute capability is {name}, so all but the pocket model run in float16; in scripts set fp16=True, bf16=False"
        return Finding("bfloat16", True, said)
    cure = "unset FTKIT_DTYPE ACCELERATE_MIXED_PRECISION; torch.set_default_dtype(torch.float32); and in an SFTConfig fp16=True, bf16=False"
    said = f"{' and '.join(wanted)} asks for it, and a GPU of compute capability {name} below {NATIVE}.0 only emulates it, slowly"
    return Finding("bfloat16", False, said, cure)


def bitsandbytes_libraries(cuda: str | None) -> tuple[bool, list[str]]:
    """(bitsandbytes loaded a CUDA library, the CUDA versions that it was shipped for); not asked
    without a GPU.
    """
    if cuda is None:
        return False, []
    try:
        from bitsandbytes import cextension
    except (ImportError, OSError, RuntimeError):
        return False, []
    return bool(cextension.lib.compiled_with_cuda), cextension.get_available_cuda_binary_versions()


def cuda_library(cuda: str | None, loaded: bool, shipped: Sequence[str]) -> Finding:
    """Has bitsandbytes the kernels for the CUDA that torch was built for? cuda: such as "12.8";
    None without a GPU.
    """
    if cuda is None:
        return Finding("bitsandbytes", True, "torch sees no CUDA GPU, so its CPU kernels are used")
    if loaded:
        return Finding("bitsandbytes", True, f"its CUDA library is loaded, for torch's CUDA {cuda}")
    has = f"it was shipped for {', '.join(shipped)}" if shipped else "it was shipped with none"
    said = f"bitsandbytes loaded no library for torch's CUDA {cuda} ({has}), so nothing in four or eight bits runs on the GPU"
    return Finding(
        "bitsandbytes",
        False,
        said,
        pip("install --upgrade --force-reinstall --no-deps bitsandbytes"),
    )


def memory_left(
    proc: Path = Path("/proc/meminfo"), cgroup: Path = Path("/sys/fs/cgroup/memory.max")
) -> int | None:
    """Bytes of memory that programs can still take, in a container its limit at most; where the
    system does not say it, all there are.
    """
    with contextlib.suppress(OSError, ValueError, TypeError):
        left = 1024 * int(re.search(r"MemAvailable:\s*(\d+)", proc.read_text())[1])
        with contextlib.suppress(
            OSError, ValueError
        ):  # no container, or one without a limit, which is written "max"
            left = min(left, int(cgroup.read_text()))
        return left
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def memory(left: int | None) -> Finding:
    """Is there memory for a run of the pocket model?"""
    if left is None:
        return Finding(
            "memory", True, f"unknown: this system does not say; the kit wants {gigabytes(RAM)}"
        )
    if left >= RAM:
        return Finding("memory", True, f"{gigabytes(left)} are free, and the kit wants {gigabytes(RAM)}")
    said = f"{gigabytes(left)} are free and the kit wants {gigabytes(RAM)}, so a run may be killed without a word"
    return Finding(
        "memory",
        False,
        said,
        "shut down other kernels (jupyter server list shows the servers), or give the container more",
    )


def free_bytes(folder: Path) -> int | None:
    """Free space where a folder is or would be made; None where that can't be asked."""
    with contextlib.suppress(OSError):
        usage = shutil.disk_usage(standing(folder))
        return usage.free if usage.total else None  # /proc and its like have no size
    return None


def disk(free: Mapping[str, int | None]) -> Finding:
    """Is there room for checkpoints and caches? free: bytes by the use of the place."""
    known = {name: size for name, size in free.items() if size is not None}
    if not known:
        return Finding("disk", True, f"unknown: this system does not say; the kit wants {gigabytes(DISK)}")
    place = min(known, key=known.__getitem__)
    if known[place] >= DISK:
        return Finding(
            "disk",
            True,
            f"{gigabytes(known[place])} are free where there is least, and the kit wants {gigabytes(DISK)}",
        )
    said = f"{gigabytes(known[place])} are free for the {place} and the kit wants {gigabytes(DISK)}, so checkpoints will not be whole"
    return Finding(
        "disk",
        False,
        said,
        "make room; hf cache ls shows what the hub cache holds, and hf cache rm removes it",
    )


def cores(cgroup: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Cores that this process may use: those that it is bound to, in a container as many as its
    quota pays for.
    """
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(
        OSError, ValueError
    ):  # no container, or one without a quota, which is written "max"
        quota, period = map(int, cgroup.read_text().split())
        here = min(here, math.ceil(quota / period))
    return here


def threads(limit: int, stated: Mapping[str, str], torch_threads: int | None) -> Finding:
    """More threads than cores wait for each other; for small matrices that costs many times what it
    brings.
    """
    asked_for = {
        name: int(value.split(",")[0])
        for name, value in stated.items()
        if value.split(",")[0].strip().isdigit()
    }
    over = [f"{name} is {n}" for name, n in asked_for.items() if n > limit]
    if torch_threads is not None and torch_threads > limit:
        over.append(f"torch uses {torch_threads} threads")
    if over:
        said = f"{' and '.join(over)}, and this process has {limit} core{'s' * (limit > 1)}, so threads wait for each other"
        cure = f"export OMP_NUM_THREADS={limit} MKL_NUM_THREADS={limit} OPENBLAS_NUM_THREADS={limit}, or here setup(threads={limit})"
        return Finding("threads", False, said, cure)
    return Finding("threads", True, f"≈{torch_threads or 'unknown'} for torch, and ≈{limit} cores")


def caches(environ: Mapping[str, str] = os.environ) -> dict[str, tuple[Path, str]]:
    """Where the libraries keep what they make, by use, and the variable that moves it."""
    home = Path("~").expanduser()
    xdg = {
        name: Path(environ.get(f"XDG_{name}_HOME") or home / folder)
        for name, folder in (("CACHE", ".cache"), ("CONFIG", ".config"))
    }
    hub = Path(environ.get("HF_HOME") or xdg["CACHE"] / "huggingface").expanduser()
    figures = (
        xdg["CONFIG"] / "matplotlib"
        if sys.platform.startswith(("linux", "freebsd"))
        else home / ".matplotlib"
    )
    own = environ.get("HF_HUB_CACHE")
    return {
        "Hugging Face home": (hub, "HF_HOME"),
        "hub cache": (Path(own or hub / "hub").expanduser(), "HF_HUB_CACHE" if own else "HF_HOME"),
        "matplotlib folder": (Path(environ.get("MPLCONFIGDIR") or figures), "MPLCONFIGDIR"),
        "temporary folder": (Path(environ.get("TMPDIR") or temporary()), "TMPDIR"),
    }


def temporary() -> str:
    """The folder for temporary files, or the usual one where Python finds none that it may write
    into.
    """
    with contextlib.suppress(FileNotFoundError):
        return tempfile.gettempdir()
    return "/tmp"


def standing(folder: Path) -> Path:
    """The folder itself or, of one that is still to be made, the nearest above it that is there."""
    folder = folder.absolute()
    return next((place for place in (folder, *folder.parents) if place.exists()), folder)


def writable(name: str, folder: Path, variable: str) -> Finding:
    """Can a file be made there? It is tried, in the nearest folder that stands: rights alone say
    nothing about a read-only disk.
    """
    try:
        with tempfile.TemporaryFile(dir=standing(folder)):
            return Finding(name, True, "can be written")
    except OSError as error:
        said = f"{folder} can't be written ({error.strerror}), so what should be kept there is lost or raises an error"
        return Finding(
            name,
            False,
            said,
            f'export {variable}="$(mktemp -d)", or any folder that you may write into',
        )


def uncompiled(packages: Iterable[str]) -> list[str]:
    """The packages without compiled files beside their source."""
    found = []
    for name in packages:
        where = importlib.util.find_spec(name)
        if (
            where
            and where.origin
            and not Path(importlib.util.cache_from_source(where.origin)).exists()
        ):
            found.append(name)
    return found


def bytecode(off: bool, missing: Sequence[str]) -> Finding:
    """Where Python may not write compiled files and there are none, each start compiles the
    libraries again.
    """
    if not off or not missing:
        said = (
            "PYTHONDONTWRITEBYTECODE is set, and the libraries are compiled all the same"
            if off
            else "compiled files are kept"
        )
        return Finding("compiled files", True, said)
    said = f"PYTHONDONTWRITEBYTECODE is set and {', '.join(missing)} are not compiled, so that every import compiles them again"
    return Finding(
        "compiled files",
        False,
        said,
        f"unset PYTHONDONTWRITEBYTECODE; {sys.executable} -m compileall -q {sys.prefix}",
    )
