"""Controls in front of a view: what they offer, when they draw, and what a page gets to see."""

import threading
import time

import pytest
from pictures import options

from ftkit import UserError
from ftkit.show import Panel, svg
from ftkit.show.controls import Ticks


def rank_view(r):
    """A picture of a rank."""
    return svg.drawing("A rank", [svg.words(20, 60, str(r))], f"r = {r}")


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


def test_controls_can_be_found_on_the_page():
    panel = Panel(lambda targets: str(targets), targets=Ticks(dict.fromkeys("qkv", True)))
    ticks = panel.controls["targets"]
    assert "ft-view" in panel.picture._dom_classes
    assert "ft-targets" in ticks.box._dom_classes and "ft-q" in ticks.boxes["q"]._dom_classes
    assert panel.box.children[0].children == (ticks.box,)


def test_what_has_to_move_besides_is_said():
    panel = Panel(lambda side, r: f"{side} {r}", side=["wide", "thin"], r=below)
    panel.controls["r"].value = 8
    assert (panel.note, panel.told.layout.display) == ("", "none")
    panel.controls["side"].value = "thin"
    assert panel.note == "r = 8 is not offered here; now 4."
    assert (panel.told.value, panel.told.layout.display) == (panel.note, None)
    panel.controls["r"].value = 2
    assert (panel.note, panel.told.layout.display) == ("", "none")


def test_several_controls_can_be_set_and_drawn_once():
    drawn = []
    panel = Panel(lambda side, r: drawn.append((side, r)) or "x", side=["thin", "wide"], r=below)
    drawn.clear()
    panel.choose(r=8, side="wide")
    assert drawn == [("wide", 8)] and panel.note == ""
    panel.choose(side="thin")
    assert drawn[1:] == [("thin", 4)] and panel.note == "r = 8 is not offered here; now 4."


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"r": 3}, r"^r is 3, and there is 1, 2, 4 to choose from; 2 is nearest\.$"),
        ({"r": 8, "side": "thin"}, r"^r is 8, and there is 1, 2, 4"),
        ({"side": "thn"}, r"^side is 'thn', and there is wide, thin to .* Did you mean 'thin'\?$"),
        (
            {"sides": "thin"},
            r"^there is no control 'sides'; there are side, r\. Did you mean 'side'",
        ),
    ],
)
def test_what_is_not_offered_is_one_sentence_and_changes_nothing(values, said):
    panel = Panel(lambda side, r: f"{side} {r}", side=["wide", "thin"], r=below)
    panel.choose(side="thin", r=2)
    with pytest.raises(UserError, match=said):
        panel.choose(**values)
    assert (panel.values(), panel.html) == ({"side": "thin", "r": 2}, "thin 2")


def test_a_control_that_is_set_by_hand_says_it_too():
    panel = Panel(rank_view, r=[1, 2, 4])
    with pytest.raises(UserError, match=r"^r is 16, and there is 1, 2, 4 to choose from"):
        panel.controls["r"].value = 16
    assert panel.text == "r = 1"
    panel.controls["r"].value = 2.0
    assert panel.text == "r = 2"


def test_a_view_that_refuses_what_is_chosen_is_its_sentence():
    def view(r):
        if r == 2:
            raise UserError("r is 2 & that is <no> good.")
        return f"rank {r}"

    panel = Panel(view, r=[1, 2, 3])
    panel.controls["r"].value = 2
    assert panel.html == panel.picture.value == "<p>r is 2 &amp; that is &lt;no&gt; good.</p>"
    panel.controls["r"].value = 3
    assert panel.html == "rank 3"


def test_controls_stay_inside_a_narrow_page():
    panel = Panel(lambda **chosen: "x", r=[1, 2], name=["a", "b"])
    for control in panel.controls.values():
        assert (control.layout.max_width, control.layout.min_width) == ("100%", "0")
    assert panel.box.children[0].layout.flex_flow == "row wrap"
