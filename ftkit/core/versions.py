"""The versions of the libraries that every run hangs on.

    version_of(distribution)     what is installed of it, or None
    recorded_versions()          those that every run.json and file of measurements states

What has to hold between versions, and what mends it, is for `doctor` to say. Seen wherever
`setup()` is: `env.versions`.
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
    """{package: installed version} of each of PACKAGES.

    Raises importlib.metadata.PackageNotFoundError where one is missing: the kit needs them all.
    """
    return {package: importlib.metadata.version(package) for package in PACKAGES}
