"""What cells show: which differences count, and what a run may leave as it was."""

from pathlib import Path

import nbformat
from nbval.plugin import get_sanitize_patterns

from ftkit.core.pocket_claims import OTHER, SAME, UNASKED
from ftkit.tools import outputs


def test_approximate_numbers_are_not_compared():
    wide = "score  value      n\nloss   ≈0.1342    3\nlr     ≈1.2e-05   4"
    narrow = "score  value    n\nloss   ≈0.13    3\nlr     ≈1e-05   4"
    assert outputs.sanitize(wide) == outputs.sanitize(narrow)
    assert {outputs.sanitize(f"≈{sign}3.5 %") for sign in ("", "-", "+", "−")} == {"~N"}
    assert (
        outputs.sanitize("≈50.0 % [40.1, 59.9]") == outputs.sanitize("≈49.0 % [39.1, 58.9]") == "~N"
    )
    assert outputs.sanitize("0.1342") != outputs.sanitize("0.1343")
    assert outputs.sanitize("≈nan") != outputs.sanitize("≈0.1")


def test_equal_outputs_are_kept_and_pictures_count():
    def cell(value, png):
        data = {"text/plain": f"≈{value}", "image/png": png}
        return nbformat.v4.new_code_cell(
            "1", outputs=[nbformat.v4.new_output("execute_result", data)]
        )

    for value, png, kept in ((2, "same", True), (2, "other", False)):
        old, new = (
            nbformat.v4.new_notebook(cells=[c]) for c in (cell(1, "same"), cell(value, png))
        )
        outputs.keep_equal(old, new)
        assert (new.cells[0].outputs == old.cells[0].outputs) is kept
    assert outputs.difference(old, new) is None, "a changed picture alone is no difference"


def test_nbval_and_the_engine_hide_the_same():
    told = Path(__file__).parents[1].joinpath("sanitize.cfg").read_text(encoding="ascii")
    assert tuple(get_sanitize_patterns(told)) == outputs.SANITIZE


def test_claims_are_counted_by_the_way_they_came_out():
    lines = [f"{SAME}: a", f"{SAME}: b", f"{UNASKED}, KeyError: c", "✓ something else"]
    told = nbformat.v4.new_output("stream", name="stdout", text="\n".join(lines))
    elsewhere = nbformat.v4.new_output("stream", name="stderr", text=f"{OTHER}: d")
    cells = [nbformat.v4.new_code_cell("1", outputs=[told, elsewhere])]
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("x"), *cells])
    assert outputs.count_claims(nb) == {SAME: 2, OTHER: 0, UNASKED: 1}
