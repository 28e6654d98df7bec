"""The versions of the libraries that every run hangs on.

    version_of(distribution)             what is installed of it, or None
    recorded_versions()                  those that every run.json and file of measurements states
    loaded_versions(names, modules)      those of the modules that a session has imported
    replaced_modules(loaded, installed)  the modules that were replaced under the session

What has to hold between versions, and what mends it, is for `doctor` to say. Seen wherever
`setup()` is: `env.versions`.
"""

import contextlib
import importlib.metadata
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from packaging.version import InvalidVersion, Version

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


def loaded_versions(names: Iterable[str], modules: Mapping[str, object]) -> dict[str, str]:
    """{name: __version__} of those modules that are among `modules`, such as `sys.modules`."""
    versions = {name: getattr(modules.get(name), "__version__", None) for name in names}
    return {name: str(version) for name, version in versions.items() if version is not None}


class Replaced(NamedTuple):
    """A module that a session loaded in one version while another one, or none, is installed."""

    name: str
    loaded: str
    installed: str | None


def replaced_modules(
    loaded: Mapping[str, str], installed: Mapping[str, str | None]
) -> list[Replaced]:
    """Modules that were imported before their distribution was replaced.

    The session goes on with the old code, or with half of each. loaded: {module: version};
    installed: the same modules, None where nothing is installed any more.
    """
    return [
        Replaced(name, version, installed[name])
        for name, version in loaded.items()
        if not same_version(version, installed[name])
    ]


def same_version(loaded: str, installed: str | None) -> bool:
    """Whether two versions are one, however they are written: 2.11 is 2.11.0.

    A build's name, as in 2.13.0+cpu, counts where both state it; some modules leave it out.
    """
    try:
        first, second = Version(loaded), Version(installed or "0")
    except InvalidVersion:
        return loaded == installed
    if first.local and second.local:
        return first == second
    return Version(first.public) == Version(second.public)
