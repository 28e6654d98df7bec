"""What several files state of the project is the same in all of them."""

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONDA_NAMES = {"pytorch": "torch", "matplotlib-base": "matplotlib"}  # as the channel calls them


def bounds(requirements):
    """{distribution: its range} of pip's requirements; the later of two statements wins."""
    return {r.name: r.specifier for r in map(Requirement, requirements) if r.name != "ftkit"}


STATED = bounds([*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["lab"]])


def outside(environment, stated):
    """The packages of an environment file whose range is not the one stated."""
    rows = [row for row in environment["dependencies"] if isinstance(row, str)]
    asked = bounds(row for row in rows if not row.startswith(("python=", "pip")))
    return {
        name: (str(range_), str(stated.get(CONDA_NAMES.get(name, name))))
        for name, range_ in asked.items()
        if range_ != stated.get(CONDA_NAMES.get(name, name))
    }


@pytest.fixture(scope="module")
def environment():
    return yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))


def test_the_conda_environment_states_the_bounds_of_pyproject(environment):
    assert outside(environment, STATED) == {}


def test_its_python_is_one_that_the_project_takes(environment):
    (python,) = (row for row in environment["dependencies"] if str(row).startswith("python="))
    assert python.partition("=")[2] in SpecifierSet(PROJECT["requires-python"])


def test_it_installs_the_project_itself_by_pip(environment):
    assert {"pip": ["-e .[test]"]} in environment["dependencies"]


@pytest.mark.parametrize("row", ["numpy", "numpy>=2.0", "jupyterlab>=4.2", "scipy>=1"])
def test_another_range_or_a_package_that_nobody_asks_for_is_seen(row):
    assert outside({"dependencies": [row, {"pip": []}]}, STATED)


def test_the_readme_names_every_notebook_by_its_title():
    rows = re.findall(
        r"\| \[(\w+)\]\(notebooks/([^)]+)\) \| ([^|]+) \|", (ROOT / "README.md").read_text()
    )
    titles = {}
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        first = "".join(json.loads(path.read_text())["cells"][0]["source"]).splitlines()[0]
        titles[path.name] = first.removeprefix("# ")
    assert {name: title for _, name, title in rows} == titles
    assert [number for number, _, _ in rows] == [name.split("_")[0] for _, name, _ in rows]
