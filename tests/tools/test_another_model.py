"""The one dial: every notebook runs unchanged on other architectures, and tells of each claim how
it came out there.

The models have random weights, so hardly a claim about learning holds; what is tested is that
nothing else depends on the pocket model.
"""

import ast
from pathlib import Path

import nbformat
import pytest
from families import write

from ftkit.tools import notebooks, outputs

FOLDER = Path(__file__).parents[2] / "notebooks"
# Each family meets notebooks that ask for single layers, train, quantize and merge; so does
# bfloat16, as on a GPU.
FAMILY = {
    "00": "gemma",
    "01": "phi",
    "01b": "phi",
    "02": "phi",
    "02b": "phi",
    "03": "llama",
    "04": "qwen",
    "04b": "qwen",
    "05": "qwen",
    "06": "llama",
    "07": "gemma",
    "07b": "gemma",
    "08": "qwen",
    "09": "llama",
    "09b": "gemma",
    "10": "qwen",
    "11": "gemma",
    "12": "llama",
    "12b": "qwen",
    "13": "phi",
    "14": "qwen",
    "15": "llama",
    "16": "llama",
    "17": "qwen",
    "18": "phi",
    "ten": "llama",
}
IN_BFLOAT16 = ("00", "04", "07", "13")


# Half as wide as usual and with short rows, for what is tested is not what it learns. Notebook 02b
# attaches adapters of rank 128 and 13 cuts 100,000 bytes off one: there it is wide.
NARROW = {"hidden_size": 64, "intermediate_size": 128, "num_key_value_heads": 4}
WIDE = {"num_key_value_heads": 4}


def pocket_sentences(cell):
    """How many claims of the pocket model alone a cell writes out: claims(…, pocket={…: …})."""
    calls = (node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Call))
    given = [k.value for c in calls if ast.unparse(c.func) == "claims" for k in c.keywords]
    return sum(len(value.keys) for value in given if isinstance(value, ast.Dict))


def test_claims_of_the_pocket_model_are_counted():
    source = 'x = 1\nclaims({"a": True}, pocket={"b": x > 0, "c": lambda: x})'
    assert pocket_sentences(nbformat.v4.new_code_cell(source)) == 2


def test_every_notebook_has_a_model():
    assert FAMILY.keys() == {path.stem.split("_")[0] for path in FOLDER.glob("*.ipynb")}


# A few run every time, the others on Mondays: all take a quarter of an hour of one core.
ALWAYS = ("ten", "10", "15")


@pytest.mark.parametrize(
    "number",
    [pytest.param(n, marks=() if n in ALWAYS else pytest.mark.weekly) for n in FAMILY],
)
def test_it_runs_to_its_end_and_tells_every_claim(number, tmp_path, monkeypatch):
    config = WIDE if number in ("02b", "13") else NARROW
    model = write(FAMILY[number], tmp_path / "model", vocabulary=1600, ending=4.0, **config)
    monkeypatch.setenv("FTKIT_MODEL", str(model))
    monkeypatch.setenv("FTKIT_DTYPE", "bfloat16" if number in IN_BFLOAT16 else "float32")
    report = notebooks.run_notebooks([number], folder=FOLDER, out=tmp_path / "executed")
    assert report.failed == [], report.reasons
    (path,) = (tmp_path / "executed").glob("*.ipynb")
    cells = outputs.code_cells(nbformat.read(path, as_version=4))
    claimed = sum(map(pocket_sentences, cells))
    assert sum(report.claims[path.stem].values()) >= claimed
