"""The one dial: every notebook runs unchanged on other architectures, and tells of each claim how
it came out there.

The models have random weights, so hardly a claim about learning holds; what is tested is that
nothing else depends on the pocket model.
"""

from pathlib import Path

import nbformat
import pytest
from families import write

from ftkit.core import pocket_claims
from ftkit.tools import notebooks, outputs

FOLDER = Path(__file__).parents[2] / "notebooks"
# Each family meets notebooks that ask for single layers, train, quantize and merge; so does
# bfloat16, as on a GPU.
FAMILY = {
    "00": "gemma",
    "01": "phi",
    "02": "phi",
    "03": "llama",
    "04": "qwen",
    "07": "gemma",
    "09": "llama",
    "10": "qwen",
    "13": "phi",
}
IN_BFLOAT16 = ("00", "04", "07", "13")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The directory of a family's model, written when it is first asked for."""
    top = tmp_path_factory.mktemp("models")
    # heads as wide as the residual stream, because notebook 02 attaches adapters of rank 128
    return lambda family: (
        top / family
        if (top / family).exists()
        else write(family, top / family, num_key_value_heads=4)
    )


def test_every_notebook_has_a_model():
    assert FAMILY.keys() == {path.name[:2] for path in FOLDER.glob("*.ipynb")}


@pytest.mark.parametrize("number", FAMILY)
def test_it_runs_to_its_end_and_tells_every_claim(number, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("FTKIT_MODEL", str(folder(FAMILY[number])))
    monkeypatch.setenv("FTKIT_DTYPE", "bfloat16" if number in IN_BFLOAT16 else "float32")
    report = notebooks.run_notebooks([number], folder=FOLDER, out=tmp_path)
    assert report.failed == [], report.reasons
    (path,) = tmp_path.glob("*.ipynb")
    marked = sum(
        len(pocket_claims.marked_claims(cell.source))
        for cell in outputs.code_cells(nbformat.read(path, as_version=4))
    )
    assert sum(report.claims[path.stem].values()) >= marked
