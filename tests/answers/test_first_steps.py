"""Code of the reader's about what an answer says in figures."""

import re
import statistics

import pytest

from ftkit.answers import first_steps
from ftkit.lab import grids


def by_values(answer, figures):
    """A reader's own way, without the kit's pattern."""
    left = []
    for word in answer.split():
        number = word.strip(".,%")
        if number[:1].isdigit():
            places = len(number.partition(".")[2])
            value = float(number.replace(",", ""))
            if value not in [round(figure, places) for figure in figures]:
                left.append(number)
    return left


def backed_ones(answer, figures):
    numbers = re.findall(first_steps.WRITTEN, answer)
    return [number for number in numbers if number not in first_steps.unbacked(answer, figures)]


WRONG = {
    "return the others": backed_ones,
    "a figure that rounds to it": lambda answer, figures: [
        number
        for number in re.findall(first_steps.WRITTEN, answer)
        if float(number.replace(",", "")) not in figures
    ],
    "its comma belongs to it": lambda answer, figures: [
        n for n in re.findall(r"\d+(?:\.\d+)?", answer) if not first_steps.backed(n, figures)
    ],
    "belongs to the sentence": lambda answer, figures: [
        n for n in re.findall(r"\d[\d,]*(?:\.\d+)?", answer) if not first_steps.backed(n, figures)
    ],
    "all numbers came back": lambda answer, _: re.findall(first_steps.WRITTEN, answer),
    "all numbers came back: leave out": lambda answer, _: re.findall(r"\d[\d,]*", answer),
    "'50', not 50.0": lambda *given: [float(n) for n in first_steps.unbacked(*given)],
    "return a list": lambda *_: "6.5",
    "it is ['50'], not ['0.08']": lambda *_: ["0.08"],
}


def test_unbacked_numbers_are_found_in_more_than_one_way():
    assert first_steps.check_unbacked(first_steps.unbacked).right is True
    assert first_steps.check_unbacked(by_values).right is True
    assert first_steps.check_unbacked(lambda *_: ...).right is None


@pytest.mark.parametrize("why", WRONG)
def test_a_wrong_one_is_named(why):
    found = first_steps.check_unbacked(WRONG[why])
    assert found.right is False and why in found.text


def test_what_16_says_of_the_rank_at_one_scale_was_measured():
    # r, α and what came out: % of the tickets right, % of the skills kept
    found = {(4, 8): (59, 98), (16, 32): (98, 95), (64, 128): (99, 93)}
    for (r, alpha), (right, kept) in found.items():
        runs = grids.select(grids.read(), data="tickets", r=r, alpha=alpha, lr=2e-3, epochs=2)
        runs = grids.select(runs, quant=None, dora=False)
        assert len(runs) == 3 and alpha / r == 2
        assert round(100 * statistics.fmean(row.task for row in runs)) == right
        assert round(100 * statistics.fmean(map(grids.skill, runs))) == kept


def test_the_printed_solution_is_right():
    solution = next(asked for asked in first_steps.EXERCISES if asked.id == "16.unbacked").solution
    made = {}
    exec(solution.strip("`"), made)
    assert first_steps.check_unbacked(made["my_unbacked"]).right is True
