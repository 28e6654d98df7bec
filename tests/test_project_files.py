"""What several files state of the project is the same in all of them."""

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from ftkit.forgetting import explorer, plane
from ftkit.lab import grids

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


def test_the_oldest_trl_of_the_matrix_is_the_oldest_that_pyproject_takes():
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    oldest, newest, coming = workflow["jobs"]["trl"]["strategy"]["matrix"]["trl"]
    (least,) = (one.version for one in STATED["trl"] if one.operator == ">=")
    assert oldest == f"trl=={least}" and newest == "trl" and coming.startswith("trl @ git+")


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
    assert f"ftkit is {len(titles)} notebooks" in (ROOT / "README.md").read_text()


# README's picture: the playground with a run that learned its task and forgot.
PICTURE = ROOT / "notebooks" / "playground.svg"
CHOSEN, GENTLER = "LoRA r = 16, lr 0.016, 2 epochs", "LoRA r = 16, lr 0.001, 6 epochs"


def playground():
    """{setting in words: its spot}, and the picture of the chosen one as SVG."""
    spots = plane.gather_spots(grids.read("playground"))
    named = {str(setting): spot for setting, spot in spots.items()}
    return named, explorer.plane_view(spots, named[CHOSEN].setting).svg + "\n"


def test_the_readmes_picture_is_the_playground_and_its_words_are_true():
    named, svg = playground()
    assert PICTURE.read_text(encoding="utf-8") == svg, "python tests/test_project_files.py"
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    chosen, gentler = named[CHOSEN], named[GENTLER]
    assert f"one of its {len(named)} settings" in text and {s.seeds for s in named.values()} == {3}
    right, kept = round(100 * chosen.task[0]), round(100 * chosen.skills[0])
    assert f"{right} % of the tickets right, {kept} % of the skills" in text
    assert 0.8 < chosen.skills[0] < 0.85 and chosen.loss < 0.002
    rate, epochs = (chosen.setting.lr / gentler.setting.lr, gentler.setting.epochs)
    assert (rate, epochs / chosen.setting.epochs) == (16, 3)
    assert round(gentler.task[0], 2) == 0.99 and round(1 - gentler.skills[0], 2) == 0.02


if __name__ == "__main__":
    PICTURE.write_text(playground()[1], encoding="utf-8")
