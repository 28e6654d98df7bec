"""What cells show: which differences count, and what a run may leave as it was."""

from pathlib import Path

import nbformat
import pytest
from nbval.plugin import get_sanitize_patterns

from ftkit.core import about
from ftkit.core.results import html_text
from ftkit.lessons import OTHER, SAME, UNASKED, Checked
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
    near, far = (html_text(about(value)) for value in (0.1342, 0.13))
    assert outputs.sanitize(near) == outputs.sanitize(far) == "~N"
    assert outputs.sanitize(html_text("0.1342")) != outputs.sanitize(html_text("0.13"))


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


def test_a_picture_within_html_is_compared_as_a_picture_is():
    def shown(data, alt):
        image = f'<img alt="{alt}" src="data:image/png;base64,{data}">'
        html = {"text/html": image, "text/plain": "the same words"}
        cell = nbformat.v4.new_code_cell(
            "1", outputs=[nbformat.v4.new_output("display_data", html)]
        )
        return nbformat.v4.new_notebook(cells=[cell])

    old, same, new = shown("AA", "a"), shown("AA", "a"), shown("BB", "a")
    assert outputs.difference(old, new) is None
    outputs.keep_equal(old, same)
    outputs.keep_equal(old, new)
    assert same.cells[0].outputs is old.cells[0].outputs
    assert new.cells[0].outputs is not old.cells[0].outputs, "what is drawn anew is written"


WIDGET = {outputs.WIDGET: {"model_id": "5f3a"}}


def test_what_is_tidy_has_no_live_widget_beside_its_still():
    still = {"text/html": '<div class="ft-still ft-still-0a1b2c3d4e5f">x</div>', "text/plain": "x"}
    shown = [nbformat.v4.new_output("display_data", data) for data in (still, WIDGET)]
    shown.append(nbformat.v4.new_output("stream", text="said"))
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", outputs=shown)])
    before = nbformat.from_dict(nb)
    outputs.tidy(nb)
    first, said = nb.cells[0].outputs
    assert first.data["text/html"] == '<div class="ft-still">x</div>'
    assert said.text == "said"
    assert outputs.difference(nb, before) is None, "with the widget or without, it is the same"


FOLDED = {"jupyter": {"source_hidden": True}, "cellView": "form", "tags": ["hide-input"]}


@pytest.mark.parametrize(
    "mark",
    [{"jupyter": {"source_hidden": True}}, {"cellView": "form"}, {"tags": ["hide-input"]}, FOLDED],
)
def test_a_fold_gets_the_marks_of_every_front_end(mark):
    cell = nbformat.v4.new_code_cell("1", metadata=mark)
    assert outputs.is_folded(cell)
    outputs.tidy(nbformat.v4.new_notebook(cells=[cell]))
    assert cell.metadata == FOLDED


def test_a_fold_keeps_its_other_tags_and_an_open_cell_stays_open():
    folded = nbformat.v4.new_code_cell("1", metadata={"cellView": "form", "tags": ["slow"]})
    in_sight = nbformat.v4.new_code_cell("2", metadata={"tags": ["slow"]})
    outputs.tidy(nbformat.v4.new_notebook(cells=[folded, in_sight]))
    assert folded.metadata == {**FOLDED, "tags": ["slow", "hide-input"]}
    assert in_sight.metadata == {"tags": ["slow"]}
    assert not outputs.is_folded(in_sight)


def test_nbval_and_the_engine_hide_the_same():
    told = Path(__file__).parents[1].joinpath("sanitize.cfg").read_text(encoding="ascii")
    assert tuple(get_sanitize_patterns(told)) == outputs.SANITIZE


def test_claims_are_counted_by_the_way_they_came_out():
    lines = [f"{SAME}: a", f"{SAME}: b", f"{UNASKED}, KeyError: c", "✓ something else"]
    told = nbformat.v4.new_output("stream", name="stdout", text="\n".join(lines))
    checked = repr(Checked(("f",), {"g": OTHER, "h": SAME}))
    result = nbformat.v4.new_output("execute_result", {"text/plain": checked})
    elsewhere = nbformat.v4.new_output("stream", name="stderr", text=f"{OTHER}: d")
    cells = [nbformat.v4.new_code_cell("1", outputs=[told, elsewhere, result])]
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("x"), *cells])
    assert outputs.count_claims(nb) == {SAME: 3, OTHER: 1, UNASKED: 1}
