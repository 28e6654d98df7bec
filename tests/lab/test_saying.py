"""Sentences follow from figures: other figures, another sentence; chance is no finding."""

import dataclasses
import re

import pytest

from ftkit import UserError
from ftkit.core.statistics import compare_answers
from ftkit.lab import saying

NOT_ONE = [0] * 100
SUITES = [f"skill {n}" for n in range(14)]


def right(n, of=100):
    """n right answers, then wrong ones."""
    return [1] * n + [0] * (of - n)


def measured(task=(0, 60), made_up=(0, 0), suites=None, rows=True):
    """What a base and a tuned model answered, by counts of 100 (of each skill: of 50)."""
    suites = suites or {}
    values = {"task": shares(task, 100), "hallucination": shares(made_up, 100)}
    values["skills"] = {
        name: {"before": before / 50, "after": after / 50, "n": 50}
        for name, (before, after) in suites.items()
    }
    answers = {
        "task": {"base": right(task[0]), "tuned": right(task[1])},
        "skills": {
            name: {"base": right(before, 50), "tuned": right(after, 50)}
            for name, (before, after) in suites.items()
        },
    }
    return {"values": values, "answers": answers if rows else {}}


def shares(counts, n):
    return {"base": counts[0] / n, "tuned": counts[1] / n, "n": n}


def said(found):
    """The sentences of answers, corrected, by what they ask."""
    sentences = [one.replace("≈", "") for one in saying.say_all(saying.correct(found))]
    return {one.partition(":")[0]: one.partition(": ")[2] for one in sentences}


def test_a_gain_that_the_rows_show_is_said_with_its_interval():
    found = said(saying.compare_base(measured(task=(0, 60))))
    low, high = compare_answers([False] * 100, [bool(one) for one in right(60)]).interval
    assert found["Better on the task"] == (
        f"yes, by {100 * low:.1f} to {100 * high:.1f} points on 100 unseen test rows "
        "(0.0 % before, 60.0 % after)."
    )


@pytest.mark.parametrize(
    ("task", "begins"),
    [
        ((0, 60), "yes, by "),
        ((60, 0), "no, "),
        ((50, 52), "cannot be told. Anything from "),
        ((0, 0), "cannot be told. Anything from "),
    ],
)
def test_other_figures_give_another_sentence(task, begins):
    sentence = said(saying.compare_base(measured(task=task)))["Better on the task"]
    assert sentence.startswith(begins)
    assert "worse" in sentence or begins.startswith("yes")


def test_what_one_test_shows_is_not_said_among_many_that_show_nothing():
    """Six of fifty lost is p = 0.03 by itself, and nothing of note among sixteen."""
    alone = saying.correct([one for one in saying.compare_base(measured(suites={"a": (50, 44)}))])
    assert [one.word for one in alone if one.name == "a"] == ["cannot be told"]
    (single,) = saying.correct([one for one in alone if one.name == "a"][:1])
    own = saying.answer_by_rows("a", saying.difference(right(50, 50), right(44, 50)))
    assert own.p < 0.05 and own.word == "yes" and single.of == 1
    many = {name: (50, 50) for name in SUITES} | {"a": (50, 44)}
    found = saying.correct(saying.compare_base(measured(suites=many)))
    (of_many,) = [one for one in found if one.name == "a"]
    assert of_many.of == len(found) == 18 and of_many.p > 0.05
    assert "By its own interval it is" in of_many.sentence
    assert "among 18 comparisons chance" in of_many.sentence


def test_a_skill_that_is_gone_is_named_and_the_others_share_a_sentence():
    suites = {"copy": (50, 0), "sort": (50, 50), "count": (50, 49)}
    found = said(saying.compare_base(measured(suites=suites)))
    assert found["Forgets copy"].startswith("yes, by ")
    together = found["Forgets sort, count"]
    assert together.startswith("cannot be told, with 50 questions each. ")
    assert "Fell most: count by 2.0 points. One may have lost up to " in together


def test_many_skills_are_counted_and_those_that_fell_most_are_named():
    falls = {"a": (50, 48), "b": (50, 45), "c": (50, 47), "d": (50, 46), "up": (40, 42)}
    found = said(saying.compare_base(measured(suites=falls)))["Forgets any of 5 skills"]
    assert "Fell most: b by 10.0 points, d by 8.0 points, c by 6.0 points. One" in found
    found = said(saying.compare_base(measured(suites=falls | {"gone": (50, 0)})))
    assert "Forgets any of 5 other skills" in found
    kept = {name: (50, 50) for name in "abcde"}
    found = said(saying.compare_base(measured(suites=kept)))["Forgets any of 5 skills"]
    assert "Fell most" not in found


def test_a_gained_skill_is_not_forgotten():
    found = said(saying.compare_base(measured(suites={"copy": (0, 50)})))
    assert re.match(r"no, [\d.]+ to [\d.]+ points gained on 50 questions", found["Forgets copy"])


def test_counts_alone_never_say_more_than_their_rows():
    for task in ((0, 60), (40, 60), (60, 40), (95, 90)):
        by_row, by_count = (
            saying.compare_base(measured(task=task, rows=rows))[0] for rows in (True, False)
        )
        assert by_count.low <= by_row.low and by_count.high >= by_row.high
        assert by_count.p >= by_row.p
        assert by_count.value == pytest.approx(by_row.value)
    assert saying.at_most(0, 60, 100) == saying.difference(NOT_ONE, right(60))


def test_two_runs_are_compared_on_the_rows_that_both_were_asked():
    first, second = measured(task=(0, 90)), measured(task=(0, 40))
    found = said(saying.compare_rows(first, second, "with lr 1"))
    better = found["Better on the task than with lr 1"]
    assert better.startswith("yes, by ") and "(40.0 % with lr 1, 90.0 % here)" in better
    assert found.keys() == {"Better on the task than with lr 1", "Makes up more than with lr 1"} | {
        next(key for key in found if "comparisons" not in key and "task" in key)
    }


def test_other_probes_are_not_compared():
    suites = {"copy": (50, 0)}
    one, two = (measured(suites=suites) | {"probes": name} for name in "ab")
    alike = saying.compare_rows(one, one, "with x")
    assert [answer.name for answer in alike] == ["task", "strangers", "skills"]
    assert [answer.name for answer in saying.compare_rows(one, two, "with x")] == [
        "task",
        "strangers",
    ]


def test_seeds_are_paired():
    first = {0: measured(task=(0, 80)), 1: measured(task=(0, 60)), 2: measured(task=(0, 40))}
    second = {0: measured(task=(0, 70)), 1: measured(task=(0, 49)), 2: measured(task=(0, 31))}
    (task, _) = saying.compare_seeds(first, second, "with lr 1")
    assert task.word == "yes" and task.value == pytest.approx(0.10)
    assert "on 3 seeds, 0, 1, 2 (means: ≈50.0 % with lr 1, ≈60.0 % here)" in task.sentence
    # the same shares, paired otherwise, tell nothing
    shuffled = {0: second[2], 1: second[0], 2: second[1]}
    assert saying.compare_seeds(first, shuffled, "with lr 1")[0].word == "cannot be told"


@pytest.mark.parametrize("rows", [True, False])  # where it was not kept, the counts have to do
def test_seeds_that_agree_on_one_question_say_nothing_of_others(rows):
    """Spread over seeds is zero where each lost the same one question of fifty."""
    one = {"suites": {"copy": (50, 49)}, "task": (0, 30), "rows": rows}
    words = {
        answer.name: answer.word
        for answer in saying.compare_seeds({seed: measured(**one) for seed in range(3)})
    }
    assert words == {"task": "yes", "strangers": "cannot be told", "skills": "cannot be told"}


@pytest.mark.parametrize("rows", [True, False])
def test_where_the_questions_leave_it_open_they_are_named_as_the_reason(rows):
    few = {"suites": {"copy": (50, 48)}, "task": (0, 60), "rows": rows}
    found = said(saying.compare_seeds({seed: measured(**few) for seed in range(3)}))
    reason = {
        True: r"so few questions of its skills \(50\) would often show as much by chance "
        r"\(corrected p = ",
        False: r"of so few questions of its skills \(50\) only the counts were kept, and chance "
        r"may show as much \(corrected p up to ",
    }
    assert re.search(
        rf"Over its seeds it is 4\.0 points lost on 3 seeds, .*, but {reason[rows]}",
        found["Forgets what it could do"],
    )


def test_shares_of_few_questions_are_held_against_them():
    """Grid rows keep shares alone: three seeds agree, and the counts of 56 leave it open."""
    pairs = {seed: (32 / 56, right / 56) for seed, right in enumerate((25, 24, 23))}
    seeds = saying.answer_by_seeds("skills", pairs)
    assert seeds.word == "yes" and seeds.few == 0
    both = saying.answer_by_seeds("skills", pairs, n=56)
    assert (both.word, both.few) == ("cannot be told", 56)
    assert both.p == saying.at_most(32, 24, 56).p and both.bound
    assert both.sentence.endswith(
        "but of so few questions of its skills (56) only the counts were kept, and chance may show "
        "as much (p up to ≈0.35)."
    )
    # many questions carry it, and then p is the seeds'
    assert saying.answer_by_seeds("skills", pairs, n=5600).p == seeds.p


def test_seeds_beside_their_base_and_one_seed_is_none():
    seeds = {seed: measured(task=(0, 60 + seed)) for seed in range(3)}
    assert saying.compare_seeds(seeds)[0].word == "yes"
    assert saying.compare_seeds({0: seeds[0]}) == []
    with pytest.raises(UserError, match="2 to 10"):
        saying.answer_by_seeds("task", {0: (0.0, 1.0)})


def test_no_difference_in_any_seed_is_said_as_such():
    same = {seed: measured(task=(0, 60)) for seed in range(2)}
    found = said(saying.compare_seeds(same, same, "with x"))
    assert "It is the same on 2 seeds" in found["Better on the task than with x"]


def test_what_is_lost_beside_another_run_is_lost_by_both():
    answer = saying.answer_by_rows("skills", saying.difference(right(50), right(90)), "with lr 1")
    assert re.search("no, .* points fewer lost on 100", answer.sentence)
    assert dataclasses.replace(answer, beside="").sentence.count("gained") == 1


def test_how_many_were_compared_is_said():
    assert "18 comparisons were made" in saying.how_corrected([None] * 18)
    assert "Holm" not in saying.how_corrected([None])
