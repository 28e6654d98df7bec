"""What controls offer: check boxes with presets, a model's matrices, lists of values."""

import ipywidgets
import pytest
from pictures import every_position, options

from ftkit import UserError
from ftkit.show import Panel
from ftkit.show.controls import Matrices, Ticks, make_control, offered_by

NAMES = ["h.0.q_proj", "h.0.k_proj", "h.1.q_proj", "lm_head"]
PRESETS = {"all": ["q", "k", "v"], "one": ["k"]}


@pytest.fixture
def ticks():
    return Ticks(dict.fromkeys("qkv", True), PRESETS)


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


def test_nothing_to_choose_is_the_users_mistake():
    with pytest.raises(UserError, match="there is nothing to choose for 'r'; give at least one"):
        make_control("r", [])


def test_every_value_of_a_control_is_known(ticks):
    assert offered_by(make_control("r", [1, 2.5])) == [1, 2.5]
    assert offered_by(make_control("name", ["a", "b"])) == ["a", "b"]
    assert offered_by(ticks)[:3] == [[], ["v"], ["k"]] and len(offered_by(ticks)) == 8
    assert offered_by(ipywidgets.Dropdown(options=["x", "y"])) == ["x", "y"]
    assert offered_by(ipywidgets.Dropdown(options=[("a", 1), ("b", 2)])) == [1, 2]
    assert offered_by(ipywidgets.Checkbox()) == [False, True]
    assert offered_by(ipywidgets.IntSlider(3, 1, 7, 2)) == [1, 3, 5, 7]


@pytest.mark.parametrize(
    ("control", "said"),
    [
        (ipywidgets.Text("x"), "a Text has no list of values"),
        (ipywidgets.FloatSlider(), "a FloatSlider has no list of values"),
        (Ticks({f"m{i}": True for i in range(13)}), "13 check boxes have 8,192 choices"),
    ],
)
def test_a_control_without_end_cannot_be_listed(control, said):
    with pytest.raises(UserError, match=said):
        offered_by(control)
