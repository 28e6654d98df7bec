"""Controls in front of a view: what they offer, when they draw, and what a page gets to see."""

import threading
import time

import pytest
from pictures import every_position, options

from ftkit import UserError
from ftkit.show import Panel, svg
from ftkit.show.panel import Matrices, Ticks

NAMES = ["h.0.q_proj", "h.0.k_proj", "h.1.q_proj", "lm_head"]
PRESETS = {"all": ["q", "k", "v"], "one": ["k"]}


def rank_view(r):
    """A picture of a rank."""
    return svg.drawing("A rank", [svg.words(20, 60, str(r))], f"r = {r}")


@pytest.fixture
def ticks():
    return Ticks(dict.fromkeys("qkv", True), PRESETS)


def test_numbers_get_a_slider_strings_a_menu_and_booleans_boxes():
    panel = Panel(lambda **chosen: str(chosen), r=[1, 2.5], name=["a", "b"], on={"x": True})
    assert [type(control).__name__ for control in panel.controls.values()] == [
        "SelectionSlider",
        "Dropdown",
        "Ticks",
    ]
    assert panel.values() == {"r": 1, "name": "a", "on": ["x"]}
    assert panel.controls["r"].options == (("1", 1), ("2.5", 2.5))


def test_a_control_stands_at_its_start_where_that_is_offered():
    assert Panel(rank_view, start={"r": 8}, r=[4, 8]).values() == {"r": 8}
    assert Panel(rank_view, start={"r": 16}, r=[4, 8]).values() == {"r": 4}


def test_what_is_no_longer_offered_gives_way_to_the_next_lower():
    panel = Panel(lambda side, r: f"{side} {r}", side=["wide", "thin"], r=below)
    panel.controls["r"].value = 8
    panel.controls["side"].value = "thin"
    assert (panel.values(), options(panel.controls["r"])) == ({"side": "thin", "r": 4}, [1, 2, 4])
    panel.controls["side"].value = "wide"
    assert panel.values() == {"side": "wide", "r": 4}, "what is still offered stays"


def below(side):
    """The ranks that a matrix of this shape has."""
    return [1, 2, 4, 8] if side == "wide" else [1, 2, 4]


def test_a_move_that_narrows_another_control_draws_once():
    drawn = []
    panel = Panel(lambda side, r: drawn.append((side, r)) or "x", side=["wide", "thin"], r=below)
    panel.controls["r"].value = 8
    drawn.clear()
    panel.controls["side"].value = "thin"
    assert drawn == [("thin", 4)]


def test_a_layer_and_a_matrix_of_it():
    matrices = Matrices(NAMES)
    panel = Panel(lambda **chosen: matrices.name(**chosen), **matrices.controls)
    assert [panel.html for _ in every_position(panel)] == ["lm_head", *NAMES[:3]]
    assert options(panel.controls["layer"]) == [-1, 0, 1]


def test_a_preset_ticks_its_boxes_and_tells_once(ticks):
    heard = []
    ticks.observe(heard.append, "value")
    ticks.presets["one"].click()
    assert (ticks.value, len(heard)) == (["k"], 1)
    ticks.boxes["v"].value = True
    assert (ticks.value, len(heard)) == (["k", "v"], 2)


def test_a_box_that_is_not_there_is_the_users_mistake(ticks):
    with pytest.raises(UserError, match=r"no box 'qq' to tick; there are q, k, v\. Did you mean"):
        ticks.value = ["k", "qq"]
    assert ticks.value == ["q", "k", "v"], "nothing has changed"


def test_a_callback_from_another_thread_does_not_leave_an_old_picture():
    begun = threading.Event()

    def slow(r: int) -> str:
        if r == 2:
            begun.set()
            time.sleep(0.2)
        return f"rank {r}"

    panel = Panel(slow, r=[1, 2, 3])
    thread = threading.Thread(target=setattr, args=(panel.controls["r"], "value", 2))
    thread.start()
    assert begun.wait(10)
    panel.controls["r"].value = 3
    thread.join()
    assert panel.html == "rank 3"


def test_a_panel_in_a_cell_is_a_widget_a_picture_and_a_line(ticks):
    panel = Panel(rank_view, r=[1, 2])
    view = {"version_major": 2, "version_minor": 0, "model_id": panel.box.model_id}
    assert panel._repr_mimebundle_() == {
        "text/plain": "r = 1",
        "text/html": panel.shown._repr_html_(),
        "image/svg+xml": panel.html,
        "application/vnd.jupyter.widget-view+json": view,
    }
    assert "ft-r" in panel.controls["r"]._dom_classes
    assert "ft-view" in panel.picture._dom_classes
    chosen = Panel(lambda targets: str(targets), targets=ticks)
    assert "ft-targets" in ticks.box._dom_classes and "ft-q" in ticks.boxes["q"]._dom_classes
    assert chosen.box.children[0].children == (ticks.box,)
