"""Figures: what is drawn are the numbers that were given, and it shows itself without pyplot."""

import base64
import math
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

from ftkit import UserError, show
from ftkit.show import plots


def heights(figure):
    return [round(patch.get_height()) for patch in figure.axes[0].patches]


def written(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def test_curves_show_both_losses_and_the_kept_step():
    figure = show.curves([(1, 2.0), (2, 1.0)], [(2, 1.5)], best=2)
    training, validation, kept = figure.axes[0].lines
    assert training.get_ydata().tolist() == [2.0, 1.0]
    assert validation.get_ydata().tolist() == [1.5]
    assert set(kept.get_xdata()) == {2}
    assert written(figure) == ["training", "validation", "kept"]
    assert written(show.curves([(1, 2.0), (2, 1.0)])) == ["training"]


def test_a_figure_shows_itself_as_a_png():
    assert show.curves([(1, 2.0), (2, 1.0)])._repr_png_().startswith(b"\x89PNG")
    code = (
        "import sys; from ftkit import show; show.new_figure(); print('pyplot' in str(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_described_figure_is_an_image_with_words():
    figure = show.curves([(1, 2.0), (2, 1.0)], [(2, 1.5)], best=2)
    plain = figure.png()
    height = figure.get_figheight()
    assert figure._repr_html_() is None
    assert figure.describe("The loss falls to ≈1 & stays.", "One curve <down>") is figure
    words = "The loss falls to 1 & stays. One curve <down>"
    assert (repr(figure), figure._repr_png_()) == (words, None)
    (image,) = ET.fromstring(f"<p>{figure._repr_html_().removesuffix('>')}/></p>")
    assert image.get("alt") == words
    data = base64.b64decode(image.get("src").removeprefix("data:image/png;base64,"))
    assert data.startswith(b"\x89PNG")
    assert data != plain, "the title is drawn"
    assert figure.get_suptitle() == "The loss falls to 1 & stays."
    assert figure.get_figheight() > height, "the picture itself is as large as before"
    again = figure.get_figheight()
    assert figure.describe("Another title").get_figheight() == again


def test_words_of_a_figure_are_by_default_what_its_axes_say():
    shares = {"task": {"base": (0.0, 0.0, 0.1), "tuned": (0.9, 0.8, 0.95)}}
    assert show.bars(shares).describe("It learns").alt == "It learns. share, %: base, tuned"
    loss = show.curves([(1, 2.0), (2, 1.0)], best=2).describe("It learns")
    assert loss.alt == "It learns. loss, nats per answer token by step: training, kept"
    assert show.new_figure()[0].describe("A line").alt == "A line. a drawing"
    curve = show.lines({"IA³": [(1, 2), (2, 3)], "r = 8": [(1, 1), (2, 1)]}, "step", "loss")
    assert curve.describe("It learns").alt == "It learns. loss by step: IA³"  # ³ is no figure


def test_a_long_title_takes_as_many_lines_as_it_needs():
    title = " ".join(["words"] * 30)
    figure = show.new_figure(3.0, 2.0)[0].describe(title)
    lines = figure.get_suptitle().splitlines()
    assert " ".join(lines) == title
    assert len(lines) > 1 and max(map(len, lines)) <= 33


@pytest.mark.parametrize("title", ["", "  "])
def test_a_title_says_something(title):
    with pytest.raises(UserError, match="the title of the picture is empty"):
        show.new_figure()[0].describe(title)


def test_skills_are_dumbbells_from_the_bottom_up():
    figure = show.skills({"copy": 1.0, "sort": 0.5}, {"tuned": {"copy": 0.9, "sort": 0.1}})
    before, after = (c for c in figure.axes[0].collections if len(c.get_offsets()) == 2)
    assert before.get_offsets()[:, 0].tolist() == [50.0, 100.0]
    assert after.get_offsets()[:, 0].tolist() == [10.0, 90.0]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["sort", "copy"]


def test_bars_have_their_values_and_intervals():
    figure = show.bars({"task": {"base": (0.0, 0.0, 0.1), "tuned": (0.9, 0.8, 0.95)}})
    assert heights(figure) == [0, 90]
    assert written(figure) == ["0", "90"]
    bars = [bar for lines in figure.axes[0].collections for bar in lines.get_segments()]
    ends = [bar[:, 1].tolist() for bar in bars]
    assert ends == [pytest.approx([0, 10]), pytest.approx([80, 95])]


def test_intervals_are_coloured_where_they_leave_zero_out():
    figure = show.intervals({"sure": (0.3, 0.1, 0.5), "unsure": (0.1, -0.2, 0.4)}, "points")
    colours = [line.get_color() for line in figure.axes[0].lines[:2]]
    assert colours == ["gray", show.ACCENT], "drawn from the bottom up"
    assert figure.axes[0].get_ylim() == (-0.6, 1.6), "no point lies on the frame"


def test_lines_carry_a_band_and_a_mark():
    band = [(1, 1, 0, 2), (2, 2.9, 2, 3)]
    ax = show.lines({"a": [(1, 2), (2, 3)], "b": band}, "x", "y", mark=1.5).axes[0]
    first, second, mark = ax.lines
    assert (list(first.get_ydata()), list(second.get_ydata())) == ([2, 3], [1, 2.9])
    assert len(ax.collections) == 1, "one curve has a band"
    assert set(mark.get_xdata()) == {1.5}


def test_names_at_the_ends_of_lines_do_not_lie_on_each_other():
    def pushed(lower, upper):
        """How far the two names are pushed up, in points."""
        series = {"a": [(1, 1), (2, lower)], "b": [(1, 1), (2, upper)]}
        names = show.lines(series, "x", "y").axes[0].texts
        assert [name.get_text() for name in names] == ["a", "b"]
        return [name.xyann[1] for name in names]

    assert pushed(2, 3) == [0, 0]
    level, higher = pushed(3, 3.01)
    assert level == 0 and higher > 10


@pytest.mark.parametrize(("first", "scale"), [(0, "symlog"), (1, "log")])
def test_a_logarithmic_axis_has_zero_where_the_numbers_have_it(first, scale):
    ax = show.lines({"a": [(first, 1), (2, 2), (8, 3)]}, "x", "y", xlog=True, ylog=True).axes[0]
    assert (ax.get_xscale(), ax.get_yscale()) == (scale, "log")
    assert [label.get_text() for label in ax.get_xticklabels()] == [str(first), "2", "8"]


def test_a_heat_map_is_numbered_from_one():
    figure = show.heat([[0.1, 0.2, 0.0], [0.3, 0.9, 0.0]], "j", "i", "φ", top=1.0)
    image = figure.axes[0].images[0]
    assert image.get_array().tolist() == [[0.1, 0.2, 0.0], [0.3, 0.9, 0.0]]
    assert (image.get_extent(), image.get_clim()) == ([0.5, 3.5, 2.5, 0.5], (0, 1.0))


def test_a_histogram_counts_every_value_and_marks_levels_below():
    figure = show.histogram([0.0] * 3 + [1.0], {"nf4": [0, 1], "int4": [0.5]}, "w", bins=2)
    ax = figure.axes[0]
    assert heights(figure) == [3, 1]
    rows = [segment for c in ax.collections for segment in c.get_segments()]
    assert [row[0][0] for row in rows] == [0, 1, 0.5]
    assert all(y < 0 for row in rows for y in row[:, 1])
    assert min(ax.get_yticks()) == 0 and not math.isclose(ax.get_ylim()[0], 0)
    assert written(figure) == ["nf4", "int4"]


def test_words_stand_at_the_rows_and_those_that_are_settled_share_a_colour():
    changes = {"up": (0.3, 0.1, 0.5), "down": (-0.3, -0.5, -0.1), "open": (0.2, 0.1, 0.3)}
    figure = show.intervals(changes, "points", {"up": "yes", "down": "no"}, "open")
    words = {text.get_text(): (text.xy[0], text.get_color()) for text in figure.axes[0].texts}
    assert words == {
        "no": (-0.5, show.PLAIN),
        "yes": (0.5, show.PLAIN),
        "open": (0.3, "gray"),
    }


def test_histograms_share_their_bins_and_tell_their_means():
    figure = show.histograms({"old": [0.0] * 3 + [2.0], "new": [-0.2, 0.1]}, "w", bins=4)
    names = [[text.get_text() for text in ax.texts] for ax in figure.axes]
    assert names == [["old: mean 0"], ["new: mean 0"]]
    old, new = ([round(bar.get_x(), 6) for bar in ax.patches] for ax in figure.axes)
    assert old == new and len(old) == 4
    assert [bar.get_height() for bar in figure.axes[0].patches] == [3, 0, 0, 1]
    assert figure.axes[0].lines[0].get_xdata()[0] == 0.5


def test_a_method_has_one_colour_and_its_skills_are_dashed():
    looks = plots.line_looks(["LoRA, task", "LoRA, skills", "full fine-tuning, task"])
    lora, full = show.METHOD_COLOURS["lora"], show.METHOD_COLOURS["full"]
    assert looks == [(lora, "-"), (lora, "--"), (full, "-")]
    assert plots.line_looks(["QLoRA", "DoRA"]) == [
        (show.METHOD_COLOURS[name], "-") for name in ("qlora", "dora")
    ]


@pytest.mark.parametrize("names", [["LoRA r = 1", "LoRA r = 8"], ["LoRA", "random"]])
def test_names_that_no_method_tells_apart_get_the_colours_in_turn(names):
    assert plots.line_looks(names) == [(colour, "-") for colour in plots.COLOURS[:2]]
