"""Versions of modules that a session has loaded, held against what is installed."""

from types import SimpleNamespace

import pytest

from ftkit.core import versions


@pytest.mark.parametrize(
    ("loaded", "installed", "same"),
    [
        ("2.11.0+cu128", "2.11.0+cu128", True),
        ("2.11.0+cu128", "2.11.0", True),
        ("2.11.0+cpu", "2.11.0+cu128", False),
        ("2.11", "2.11.0", True),
        ("2.11.0", "2.13.0", False),
        ("2.11.0", None, False),
        ("unknown", "unknown", True),
        ("unknown", "1.0", False),
    ],
)
def test_versions_that_are_one_and_versions_that_are_not(loaded, installed, same):
    assert versions.same_version(loaded, installed) == same
    replaced = versions.replaced_modules({"a": loaded}, {"a": installed})
    assert replaced == ([] if same else [("a", loaded, installed)])


def test_only_modules_that_are_loaded_and_state_a_version_have_one():
    modules = {"a": SimpleNamespace(__version__="1"), "b": SimpleNamespace(), "c": None}
    assert versions.loaded_versions(["a", "b", "c", "d"], modules) == {"a": "1"}


def test_an_installed_version_is_read_from_the_metadata():
    assert versions.version_of("torch") == versions.recorded_versions()["torch"]
    assert versions.version_of("no-such-thing") is None
