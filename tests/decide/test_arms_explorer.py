"""Arms of two tasks back to back: the best of each is named, and an arm keeps its colour."""

import pytest

from ftkit import UserError, decide
from ftkit.decide import arms_explorer
from ftkit.show import svg

TASKS = {
    "tickets": {"zero-shot": (0, 0, 0.02), "list": (0.99, 0.96, 1), "tuned": (0.96, 0.95, 0.97)},
    "facts": {"retrieval": (0.99, 0.97, 1), "tuned": (0.42, 0.4, 0.45)},
}


def test_the_title_says_what_is_best_on_each():
    drawn = decide.arms_view(TASKS, "tickets", "facts")
    assert "Best on tickets: list. Best on facts: retrieval." in drawn.svg
    assert drawn.text.startswith("tickets: zero-shot ≈0.0 % [0.0, 2.0], list ≈99.0 %")
    assert drawn.svg.count(">99 ✓<") == 2
    # a bar for each arm of each task, on the white ground
    assert drawn.svg.count("<rect") == 1 + 5
    # and a word where there is none, which is not a measured nothing
    assert drawn.svg.count(">not tried<") == 3


def test_an_arm_has_the_colour_of_what_it_does():
    prompts, tuned = ["zero-shot", "four shots", "list + parser"], ["tuned, 50 rows"]
    names = [*prompts, *tuned, "Retrieval", "tuned, with retrieval"]
    colours = {name: arms_explorer.colour_of(name) for name in names}
    assert colours["zero-shot"] == svg.METHOD_COLOURS["base"]
    assert colours["four shots"] == colours["list + parser"] == svg.PLAIN
    assert colours["tuned, 50 rows"] == svg.ACCENT
    assert len({colours[n] for n in ("tuned, 50 rows", "Retrieval", "tuned, with retrieval")}) == 3


def test_the_menus_choose_the_tasks():
    panel = decide.explore_arms(TASKS)
    assert panel.values() == {"left": "tickets", "right": "facts"}
    panel.choose(left="facts")
    assert "Best on facts: retrieval. Best on facts" in panel.html


def test_tasks_that_are_not_there_are_refused():
    with pytest.raises(UserError, match=r"there is no task 'fact'; .*Did you mean 'facts'"):
        decide.arms_view(TASKS, "fact", "facts")
    with pytest.raises(UserError, match="there are 1 tasks; give two at least"):
        decide.explore_arms({"facts": TASKS["facts"]})
