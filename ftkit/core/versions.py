"""The versions of the libraries that a run hangs on.

Which of them are installed, and the table of those whose version every record states. What has to
hold between them is the doctor's business (`doctor/environment.py`).
"""

import contextlib
import importlib.metadata

PACKAGES = ("torch", "transformers", "peft", "trl", "bitsandbytes", "datasets")


def version_of(distribution: str) -> str | None:
    """The installed version of a distribution, such as "huggingface-hub"; None without one."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(distribution)
    return None


def recorded_versions() -> dict[str, str]:
    """The installed version of each of PACKAGES: what a record of a run or a grid states."""
    return {package: importlib.metadata.version(package) for package in PACKAGES}
