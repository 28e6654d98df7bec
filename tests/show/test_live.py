"""A still beside its widget: what each front end is given, and what hides the one or the other."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import ipywidgets
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from ftkit.show import Panel, live, still_and_live, svg


@pytest.fixture
def shell():
    """IPython as a kernel has it; it is gone after the test."""
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


def outputs(panel):
    """The data of each output that a cell with a panel has."""
    with capture_output() as captured:
        panel._ipython_display_()
    return [output.data for output in captured.outputs]


def rank_view(r):
    """A picture of a rank."""
    return svg.drawing("A rank", [svg.words(20, 60, str(r))], f"r = {r}")


def test_a_panel_is_a_still_and_a_widget_that_hides_it(shell):
    panel = Panel(rank_view, r=[1, 2])
    still, widget = outputs(panel)
    assert set(still) == {"text/plain", "text/html", "image/svg+xml"}
    assert (still["text/plain"], still["image/svg+xml"]) == ("r = 1", panel.html)
    assert panel.shown._repr_html_() in still["text/html"]
    assert set(widget) == {live.WIDGET}, "a line of text would stand beside the picture"
    ET.fromstring(still["image/svg+xml"])
    (name,) = re.findall(r'class="ft-still (ft-still-[0-9a-f]{12})"', still["text/html"])
    shown, rule = live.hiding(panel.box, name).children
    assert shown is panel.box and f".{name}{{display:none}}" in rule.value


def test_each_time_a_panel_is_shown_has_a_still_of_its_own(shell):
    panel = Panel(rank_view, r=[1, 2])
    (first, _), (second, _) = outputs(panel), outputs(panel)
    assert first["text/html"] != second["text/html"]
    panel.choose(r=2)
    assert outputs(panel)[0]["text/plain"] == "r = 2"


def test_a_still_may_be_html_or_svg(shell):
    for still, kinds in (("<b>4</b>", 2), ('<svg xmlns="x"></svg>', 3)):
        with capture_output() as captured:
            still_and_live(still, "four", ipywidgets.HTML("live"))
        data = captured.outputs[0].data
        assert len(data) == kinds and data["text/plain"] == "four"
        assert ("<b>4</b>" in data["text/html"]) == (kinds == 2)


def test_a_plain_shell_prints_the_line():
    code = "from ftkit.show import Panel; Panel(lambda r: f'rank {r}', r=[1])._ipython_display_()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "Panel(<lambda>: r=1)\n"
