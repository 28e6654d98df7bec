"""What the doctor makes of an installation and a machine: each check takes values, gives a finding.

    check_requirements(wanted)          do the installed libraries take each other?
    check_widgets(…), check_torchao(…)  two clashes that pip does not see
    check_bfloat16(…), check_memory(…), check_disk(…), check_threads(…), …

Because the values are given, a test can plant what a check should find. They come from
`gathering.py`; `environment.py` puts the two together. What a run folder holds is judged in
`run_folder.py`.
"""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from ..core.results import gigabytes
from ..core.versions import replaced_modules, version_of
from .finding import Finding

NATIVE = 8  # the first compute capability whose bfloat16 is not emulated

# Bytes: the tour needs 1.0 GB of memory, and a run's checkpoints or a small hub model about as much
# disk.
RAM, DISK = 1.5e9, 1e9

Ranges = Mapping[str, SpecifierSet]  # {who asks: the versions of one distribution that it takes}


def pip(command: str) -> str:
    """A pip command as it is typed here.

    In a notebook it stands behind %, and the kernel has to forget what it loaded.
    """
    if "ipykernel.kernelapp" in sys.modules:
        return f"%pip {command}, then restart the kernel"
    return f"pip {command}"


def check_requirements(
    wanted: Mapping[str, Ranges], version: Callable[[str], str | None] = version_of
) -> list[Finding]:
    """Is each distribution there, in a version that all take who ask for it? One finding for each.

    The cure fits all that ask. transformers holds its own requirements against the installation
    when it is imported, so that one hub client too new ends there.
    """
    wrong = []
    for name, ranges in wanted.items():
        # who does not take what is here
        here = version(name)
        against = [f"{who} takes {name}{r}" for who, r in ranges.items() if not takes(r, here)]
        if here is None or against:
            message = (
                f"{name} is {here or 'not installed'}, "
                f"and {'; '.join(against) or 'the kit needs it'}"
            )
            cure = pip(f'install "{name}{narrowest_range(ranges.values())}"')
            wrong.append(Finding.wrong("requirements", message, cure))
    # one finding for all that is well
    if wrong:
        return wrong
    count = sum(map(len, wanted.values()))
    fine = f"all {count} requirements on {len(wanted)} distributions hold"
    return [Finding.fine("requirements", fine)]


def takes(versions: SpecifierSet, here: str | None) -> bool:
    """Whether a range takes the installed version, pre-releases too; None is taken by none."""
    return here is not None and versions.contains(here, prereleases=True)


def narrowest_range(ranges: Iterable[SpecifierSet]) -> str:
    """One range that lies in all of them, in as few words as can be.

    That is the highest of the lower bounds, the lowest of the upper ones, and the rest as it is:
    of ">=1.2,<3" and ">=1.10,!=1.11" it is ">=1.10,<3,!=1.11".
    """
    bounds: dict[str, set[str]] = {}
    for versions in ranges:
        for specifier in versions:
            bounds.setdefault(specifier.operator, set()).add(specifier.version)
    if ">=" in bounds:
        bounds[">="] = {max(bounds[">="], key=Version)}
    if "<" in bounds:
        bounds["<"] = {min(bounds["<"], key=Version)}
    parts = [operator + version for operator, versions in bounds.items() for version in versions]
    return ",".join(sorted(parts, reverse=True))


def check_torchao(here: str | None, minimum: str | None) -> Finding:
    """Is torchao new enough for peft, or absent?

    peft raises at the first LoRA layer beside one that is too old, whether anything uses it or not.
    """
    if here is None:
        return Finding.fine("torchao", "not installed, and the kit does not need it")
    if minimum is None:
        return Finding.fine("torchao", f"{here}; the installed peft states no lowest version")
    if Version(here) >= Version(minimum):
        return Finding.fine("torchao", f"{here}, and peft accepts {minimum} and later ones")
    return Finding.wrong(
        "torchao",
        f"torchao is {here} and peft accepts {minimum} at the lowest, "
        "so attaching a LoRA raises an error",
        pip("uninstall -y torchao"),
    )


def front_end_range(kernel: str | None, stated: Iterable[SpecifierSet]) -> str:
    """The versions of jupyterlab_widgets that fit an ipywidgets, such as "~=3.0.15".

    kernel: the version of ipywidgets; stated: what it asks for. ipywidgets 7.7.1, Colab's, states
    no upper bound; but from 3 on jupyterlab_widgets knows the controls of ipywidgets 8 alone.
    """
    upper = "<3" if (kernel or "").startswith("7.") else ""
    return narrowest_range([*stated, SpecifierSet(upper)])


def check_widgets(
    kernel: str | None, front: str | None, lab: str | None, wanted: str, *, colab: bool = False
) -> Finding:
    """Does JupyterLab's half of the widgets fit the kernel's?

    kernel, front, lab: versions of ipywidgets, jupyterlab_widgets, jupyterlab; wanted: the range of
    the second that fits the first; colab: the session is on Colab, which has its own front end.
    """
    # is there anything to fit, and a JupyterLab that it has to fit?
    if kernel is None:
        return Finding.wrong(
            "widgets",
            "ipywidgets is not installed, so no slider can be shown",
            pip('install "ipywidgets>=8,<9"'),
        )
    if colab:
        return Finding.fine("widgets", f"ipywidgets {kernel}; Colab shows them")
    if lab is None:
        elsewhere = "there is no JupyterLab here, so another front end shows them"
        return Finding.fine("widgets", f"ipywidgets {kernel}; {elsewhere}")
    # the half that JupyterLab loads
    if front is not None and front in SpecifierSet(wanted):
        return Finding.fine(
            "widgets", f"ipywidgets {kernel} and jupyterlab_widgets {front} fit each other"
        )
    return Finding.wrong(
        "widgets",
        f"ipywidgets {kernel} asks for jupyterlab_widgets{wanted}, "
        f"which is {front or 'not installed'}, so JupyterLab shows no sliders",
        pip(f'install "jupyterlab_widgets{wanted}"') + ", and reload JupyterLab's page",
    )


def check_loaded_modules(loaded: Mapping[str, str], installed: Mapping[str, str | None]) -> Finding:
    """Is what this session has imported still what is installed?

    Else it goes on with the old code, or with half of each.
    """
    replaced = [
        f"{module.name} {module.loaded} is loaded and {module.installed or 'none'} is installed"
        for module in replaced_modules(loaded, installed)
    ]
    if replaced:
        return Finding.wrong(
            "loaded modules",
            f"{'; '.join(replaced)}, so this session mixes the two",
            "restart the kernel, then run all cells",
        )
    if not loaded:
        return Finding.fine("loaded modules", "nothing is imported yet")
    return Finding.fine("loaded modules", f"the {len(loaded)} imported ones are those installed")


def check_bfloat16(capability: tuple[int, int] | None, requests: Sequence[str]) -> Finding:
    """Does anybody ask for a bfloat16 that this GPU only emulates?

    One older than Ampere does, many times slower, though torch calls it supported: hence the
    capability. requests: who asks for it in this process.
    """
    if capability is None:
        return Finding.fine(
            "bfloat16",
            "torch sees no CUDA GPU; on a CPU the kit computes in float32 unless FTKIT_DTYPE says "
            "otherwise",
        )
    # a GPU that has it, and one that nobody asks for it
    number = ".".join(map(str, capability))
    has = f"the GPU's compute capability is {number}"
    if capability[0] >= NATIVE:
        return Finding.fine("bfloat16", f"{has}, and from {NATIVE}.0 on it is native")
    if not requests:
        return Finding.fine(
            "bfloat16",
            f"{has}, so all but the pocket model run in float16; "
            "in scripts set fp16=True, bf16=False",
        )
    # it would work, and slowly: the cure is all that may ask for it
    return Finding.wrong(
        "bfloat16",
        f"{' and '.join(requests)} asks for it, and a GPU of compute capability {number} below "
        f"{NATIVE}.0 only emulates it, slowly",
        "unset FTKIT_DTYPE ACCELERATE_MIXED_PRECISION; torch.set_default_dtype(torch.float32); "
        "and in an SFTConfig fp16=True, bf16=False",
    )


def check_cuda_library(cuda: str | None, shipped: Sequence[str], *, loaded: bool) -> Finding:
    """Has bitsandbytes the kernels for the CUDA that torch was built for?

    cuda: such as "12.8", None without a GPU; shipped: the versions it came with; loaded: it found
    one that fits.
    """
    if cuda is None:
        return Finding.fine("bitsandbytes", "torch sees no CUDA GPU, so its CPU kernels are used")
    if loaded:
        return Finding.fine("bitsandbytes", f"its CUDA library is loaded, for torch's CUDA {cuda}")
    has = f"it was shipped for {', '.join(shipped)}" if shipped else "it was shipped with none"
    return Finding.wrong(
        "bitsandbytes",
        f"bitsandbytes loaded no library for torch's CUDA {cuda} ({has}), "
        "so nothing in four or eight bits runs on the GPU",
        pip("install --upgrade --force-reinstall --no-deps bitsandbytes"),
    )


def check_memory(free: int | None) -> Finding:
    """Is there memory for a run of the pocket model? free: bytes, None where unknown."""
    wants = f"the kit wants {gigabytes(RAM)}"
    if free is None:
        return Finding.fine("memory", f"unknown: this system does not say; {wants}")
    if free >= RAM:
        return Finding.fine("memory", f"{gigabytes(free)} are free, and {wants}")
    return Finding.wrong(
        "memory",
        f"{gigabytes(free)} are free and {wants}, so a run may be killed without a word",
        "shut down other kernels (jupyter server list shows the servers), "
        "or give the container more",
    )


def check_disk(free: Mapping[str, int | None]) -> Finding:
    """Is there room for checkpoints and caches? free: {use of a place: bytes, None if unknown}."""
    wants = f"the kit wants {gigabytes(DISK)}"
    known = {place: size for place, size in free.items() if size is not None}
    if not known:
        return Finding.fine("disk", f"unknown: this system does not say; {wants}")
    place = min(known, key=known.__getitem__)
    least = gigabytes(known[place])
    if known[place] >= DISK:
        return Finding.fine("disk", f"{least} are free where there is least, and {wants}")
    return Finding.wrong(
        "disk",
        f"{least} are free for the {place} and {wants}, so checkpoints will not be whole",
        "make room; hf cache ls shows what the hub cache holds, and hf cache rm removes it",
    )


def check_threads(cores: int, stated: Mapping[str, str], torch_threads: int | None) -> Finding:
    """Are there as many cores as threads?

    More threads wait for each other; for small matrices that costs many times what it brings.
    stated: {variable: its value}, such as {"OMP_NUM_THREADS": "8"} or a list for nested loops.
    """
    # what is asked for, and what torch took
    over = []
    for name, value in stated.items():
        outer = value.split(",")[0].strip()
        if outer.isdigit() and int(outer) > cores:
            over.append(f"{name} is {int(outer)}")
    if torch_threads is not None and torch_threads > cores:
        over.append(f"torch uses {torch_threads} threads")
    # against what there is
    if not over:
        used = f"≈{torch_threads or 'unknown'} for torch, and ≈{cores} cores"
        return Finding.fine("threads", used)
    return Finding.wrong(
        "threads",
        f"{' and '.join(over)}, and this process has {cores} core{'s' * (cores > 1)}, "
        "so threads wait for each other",
        f"export OMP_NUM_THREADS={cores} MKL_NUM_THREADS={cores} OPENBLAS_NUM_THREADS={cores}, "
        f"or here setup(threads={cores})",
    )


def check_asserts(*, off: bool) -> Finding:
    """Are asserts tried?

    With `python -O`, or PYTHONOPTIMIZE set, Python leaves them out: a cell that asserts what is
    false goes through without a word.
    """
    if not off:
        return Finding.fine("asserts", "are tried")
    return Finding.wrong(
        "asserts",
        "python -O or PYTHONOPTIMIZE leaves them out, so a false one goes through without a word",
        "unset PYTHONOPTIMIZE, and start Python or the kernel again without -O",
    )


def check_writable(name: str, folder: Path, variable: str, reason: str | None) -> Finding:
    """Can a file be made there? reason: why not; None where it can."""
    if reason is None:
        return Finding.fine(name, "can be written")
    return Finding.wrong(
        name,
        f"{folder} can't be written ({reason}), "
        "so what should be kept there is lost or raises an error",
        f'export {variable}="$(mktemp -d)", or any folder that you may write into',
    )


def check_compiled(missing: Sequence[str], *, off: bool) -> Finding:
    """Are the libraries compiled?

    Where Python may not write compiled files and there are none, each start compiles them again.
    missing: those without; off: PYTHONDONTWRITEBYTECODE is set.
    """
    variable = "PYTHONDONTWRITEBYTECODE"
    if not off:
        return Finding.fine("compiled files", "compiled files are kept")
    if not missing:
        return Finding.fine(
            "compiled files", f"{variable} is set, and the libraries are compiled all the same"
        )
    return Finding.wrong(
        "compiled files",
        f"{variable} is set and {', '.join(missing)} are not compiled, "
        "so that every import compiles them again",
        f"unset {variable}; {sys.executable} -m compileall -q {sys.prefix}",
    )
