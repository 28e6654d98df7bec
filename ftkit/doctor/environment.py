"""The environment looked over: the installation, the machine, and a second of real work.

    examine()                 what `python -m ftkit doctor` shows; with a folder or a trainer, of it
    examine_environment()     every check that needs no run

Here values from `gathering.py` meet the checks of `judging.py`, in the order in which they are
shown; then comes `selftest.py`. It imports no library of the kit: one that is broken is what it is
to find. Nothing is changed, and nothing is left behind.
"""

import os
import sys
from pathlib import Path
from typing import Any

from ..core.session import asserts_off
from ..core.versions import PACKAGES, loaded_versions, version_of
from . import gathering, judging
from .finding import Finding, Findings
from .selftest import test_yourself

# Modules whose versions matter, if this session has imported them.
WATCHED = (
    *PACKAGES, "accelerate", "tokenizers", "huggingface_hub", "safetensors", "numpy", "pyarrow",
    "matplotlib", "ipywidgets",
)  # fmt: skip
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def examine(what: Any = None, base: str | None = None) -> Findings:
    """The environment looked over; or a run folder, an adapter folder, or a trainer in memory.

    base: of an adapter folder, the model that it is for, where its configuration names none that is
    here. Raises `UserError` for what is none of these.
    """
    if what is None:
        return examine_environment()
    # not at the top: they load torch and TRL, and must not where these are what is broken
    from .adapters import examine_adapter, is_adapter
    from .run_folder import examine_run
    from .trainers import examine_trainer

    if not isinstance(what, str | Path):
        return examine_trainer(what)
    folder = Path(what)
    return examine_adapter(folder, base) if is_adapter(folder) else examine_run(folder)


def examine_environment() -> Findings:
    """Every check of the installation and of the machine, then the self-test."""
    findings = [*examine_installation(), *examine_machine(), *test_yourself()]
    return Findings("The environment", findings)


def examine_installation() -> list[Finding]:
    """Do the installed libraries fit each other and what is loaded already?"""
    # JupyterLab's half of the widgets has to fit the kernel's
    kernel, front, lab = map(version_of, ("ipywidgets", "jupyterlab_widgets", "jupyterlab"))
    asked = gathering.installed_requirements(["ipywidgets"]).get("jupyterlab-widgets", {})
    wanted = judging.front_end_range(kernel, asked.values())
    on_colab = "google.colab" in sys.modules

    loaded = loaded_versions(WATCHED, sys.modules)
    return [
        *judging.check_requirements(gathering.installed_requirements()),
        judging.check_torchao(version_of("torchao"), gathering.torchao_minimum()),
        judging.check_widgets(kernel, front, lab, wanted, colab=on_colab),
        judging.check_loaded_modules(loaded, {name: version_of(name) for name in loaded}),
    ]


def examine_machine() -> list[Finding]:
    """Is there enough of everything, and may it be used?"""
    torch = gathering.torch_facts()
    has_cuda, shipped = gathering.bitsandbytes_libraries(torch.cuda)
    threads = {name: os.environ[name] for name in THREADS if name in os.environ}

    # where the libraries write: is there room, and may this process write there?
    folders = gathering.cache_folders()
    free = {name: gathering.free_disk(folder) for name, (folder, _) in folders.items()}
    writable = [
        judging.check_writable(name, folder, variable, gathering.write_error(folder))
        for name, (folder, variable) in folders.items()
    ]
    return [
        judging.check_bfloat16(torch.capability, gathering.bfloat16_requests()),
        judging.check_cuda_library(torch.cuda, shipped, loaded=has_cuda),
        judging.check_memory(gathering.free_memory()),
        judging.check_disk(free),
        judging.check_threads(gathering.usable_cores(), threads, torch.threads),
        *writable,
        judging.check_asserts(off=asserts_off()),
        judging.check_compiled(
            gathering.uncompiled_packages(PACKAGES), off=sys.dont_write_bytecode
        ),
    ]
