"""A drawing: what it holds, and what a notebook's test compares; areas, frames and colours."""

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from urllib.parse import unquote

import nbformat
import numpy as np
import pytest
from pictures import elements, numbers, pixels, texts

from ftkit import show
from ftkit.show import svg
from ftkit.show.svg import Area, Frame
from ftkit.tools import outputs

ROOT = Path(__file__).parents[2]


def test_a_drawing_is_a_picture_and_a_line():
    shown = svg.drawing("A title", [svg.words(20, 60, "here")], "what it shows", "beside")
    assert (repr(shown), shown._repr_svg_()) == ("what it shows", shown.svg)
    assert texts(shown) == ["A title\xa0\xa0\xa0beside", "here"]
    (image,) = ET.fromstring(f"<p>{shown._repr_html_().removesuffix('>')}/></p>")
    kind, _, data = image.get("src").partition(",")
    assert (kind, unquote(data), image.get("alt")) == ("data:image/svg+xml", shown.svg, shown.text)


def test_a_number_needs_no_mark_in_a_picture():
    shown = svg.drawing("≈1 of", [svg.words(20, 60, "≈2 %, W ≈ x")], "≈4 rows", "≈3 GiB")
    assert texts(shown) == ["1 of\xa0\xa0\xa03 GiB", "2 %, W ≈ x"]
    assert 'aria-label="4 rows"' in shown.svg
    assert 'alt="4 rows"' in shown._repr_html_()
    assert repr(shown) == "≈4 rows", "a terminal, and nbval, keep it"


def test_names_are_written_not_run():
    name = "<script>\"'&"
    shown = svg.drawing(name, [svg.words(20, 60, name)], name, name)
    assert "<script>" not in shown.svg + shown._repr_html_()
    assert texts(shown) == [f"{name}\xa0\xa0\xa0{name}", name]


def test_an_area_knows_its_edges():
    area = Area(10, 20, 100, 40)
    assert (area.right, area.bottom, area.middle) == (110, 60, (60, 40))
    assert area.below(5, 30) == Area(10, 65, 100, 30)
    assert area.beside(5, 30) == Area(115, 20, 30, 40)
    assert area.shrink_to(20, 10) == Area(50, 35, 20, 10)
    shown = svg.drawing("", [area.box("red", ("blue", 2), radius=3)], "")
    (_, box) = elements(shown.svg, "rect")
    assert numbers(box, "x", "y", "width", "height", "rx") == [10, 20, 100, 40, 3]
    assert (box.get("fill"), box.get("stroke"), box.get("stroke-width")) == ("red", "blue", "2")


def test_a_frame_puts_values_where_its_axes_say():
    frame = Area(10, 20, 100, 40).frame((0, 10), (0, 1))
    assert frame == Frame(10, 20, 100, 40, (0, 10), (0, 1))
    assert [frame.at(0, 0), frame.at(10, 1), frame.at(5, 0.5)] == [(10, 60), (110, 20), (60, 40)]
    axes = frame.axes({0: "0", 10: "10"}, {1: "1"}, "share") + frame.x_label("rows")
    places = {t.text: numbers(t, "x", "y") for t in ET.fromstring(f"<g>{axes}</g>").iter("text")}
    assert places["10"] == [110, 60 + svg.UNDER_TICK]
    assert places["share"] == [10 - svg.OVER_AXIS, 20 - svg.OVER_FRAME]
    assert places["rows"] == [60, 60 + svg.UNDER_AXIS]
    assert "points='60.0,20.0 60.0,60.0'" in frame.upright(5, "red")


def test_a_logarithmic_frame_has_equal_steps_for_equal_factors():
    frame = Area(0, 0, 30, 20).frame((1, 1000), (1, 100), log_x=True, log_y=True)
    assert frame.at(10, 10) == pytest.approx((10, 10))
    assert frame.at(100, 1) == pytest.approx((20, 20))


def test_colours_mix():
    assert svg.mix("#000000", "#ffffff", 0.5) == "#808080"
    shades = svg.shades()
    assert len(shades) == svg.LEVELS
    assert (shades[0], shades[7], shades[14]) == (show.PLAIN, "#ffffff", show.ACCENT)


def test_a_heat_map_holds_the_values():
    values = np.array([[-9.0, -1.0, 0.0], [0.4, 1.0, 9.0]])
    (found,) = pixels(svg.heat_map(Area(0, 0, 3, 2), values, 1.0))
    assert found.tolist() == [[0, 0, 7], [10, 14, 14]]


def notebook(line, digit):
    """A notebook whose one cell shows a picture: its line, and the picture's only digit."""
    shown = {
        "text/plain": line,
        "image/svg+xml": f"<svg>{digit}</svg>",
        "text/html": f'<img alt="{digit}" src="data:image/svg+xml,{digit}">',
    }
    output = nbformat.v4.new_output("execute_result", shown)
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", outputs=[output])])


def test_the_engine_compares_a_drawings_line_and_keeps_its_newest_picture():
    old, new = notebook("rank 8", 1), notebook("rank 8", 2)
    assert outputs.difference(old, new) is None
    assert "rank 9" in outputs.difference(old, notebook("rank 9", 1))
    outputs.keep_equal(old, new)
    assert "<svg>2</svg>" in str(new), "a picture that was drawn anew is written"


SHOWN = """import random


class Shown:
    def __repr__(self):
        return "rank 8"

    def _repr_svg_(self):
        return f"<svg>\\n<g>{random.random()}</g>\\n</svg>"

    def _repr_html_(self):
        return f'<img alt="{random.random()}" src="data:image/svg+xml,{random.random()}">'


Shown()"""


def test_nbval_compares_a_pictures_line_and_not_its_digits(tmp_path):
    nb = nbformat.v4.new_notebook()
    for count, line in ((1, "rank 8"), (2, "rank 9")):
        (cell,) = notebook(line, 0.5).cells
        cell.source, cell.execution_count = SHOWN, count
        cell.outputs[0].execution_count = count
        nb.cells.append(cell)
    nbformat.write(nb, tmp_path / "picture.ipynb")
    command = [sys.executable, "-m", "pytest", "-q", "picture.ipynb"]
    command += ["-c", ROOT / "pyproject.toml", "--rootdir", tmp_path]
    command += ["-o", "addopts=", "-p", "no:cacheprovider", "--nbval", "--nbval-current-env"]
    command += [f"--nbval-sanitize-with={ROOT / 'tests' / 'sanitize.cfg'}"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert "1 failed, 1 passed" in done.stdout, done.stdout
    assert "rank 9" in done.stdout
