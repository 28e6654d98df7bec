"""Claims put to both grids: figures by seed, answers by interval, and the word that they give."""

import dataclasses
import math

import pytest

from ftkit import UserError, lab
from ftkit.lab import verdicts
from ftkit.lab.verdicts import Claim, Figure, Finding, Outcome, Runs

SEEDS = (0, 1, 2)


def run(method, lr, seed=0, **columns):
    usual = {"curve": [(1, 4.0), (2, 2.0), (3, 0.2), (4, 0.4)], "task": 0.9, "validation": 0.1}
    return Outcome(method, lr, seed, **(usual | {"moved": lr, "kept": 0.8} | columns))


def of_every_seed(*runs):
    """The same runs with each seed, nothing else changed: intervals without a width."""
    return Runs([one._replace(seed=seed) for seed in SEEDS for one in runs], base_kept=0.9)


RUNS = of_every_seed(
    run("lora", 1e-3, task=0.5, validation=0.3, kept=0.88),
    run("lora", 1e-2, task=0.9, validation=0.1, kept=0.8),
    run("lora", 2e-2, task=0.88, validation=0.05, kept=0.7),
    run("lora", 4e-2, task=0.6, validation=0.4, kept=0.3),
    run("full", 1e-4, task=0.7, moved=0.004, kept=0.89),
    run("full", 1e-3, task=0.91, moved=0.02, kept=0.78),
    run("qlora", 1e-2, task=0.87, moved=0.015, kept=0.79),
)


def values(name, runs=RUNS):
    """What a claim measures, a number where every seed gives the same one."""
    (claim,) = (claim for claim in verdicts.CLAIMS if claim.name == name)
    found = set(claim.measure(runs).values())
    assert len(found) == 1
    return found.pop()


def test_each_claim_reads_what_its_sentence_says():
    assert values("learns") == pytest.approx(0.4 / 4.0)
    assert values("costs") == pytest.approx(0.9 - 0.8)
    assert values("hot costs task") == pytest.approx(0.9 - 0.6)
    assert values("hot costs skills") == pytest.approx(0.8 - 0.3)
    assert values("qlora task") == pytest.approx(0.87 - 0.9)
    assert values("qlora text") == pytest.approx(math.log(1.5))
    assert values("qlora skills") == pytest.approx(-0.01)
    assert values("rate ratio") == pytest.approx(math.log(1e-2 / 1e-3))
    assert values("a tenth") == pytest.approx(0.9 - 0.5)
    assert values("full as good") == pytest.approx(0.01)
    assert values("lowest loss") == pytest.approx(0.8 - 0.7)
    assert values("moved with rate") == pytest.approx(1.0)
    assert values("hot moves text") == pytest.approx(math.log(4))
    # the one full run that learned the task moved 0.02, LoRA at the nearest score 0.01
    assert values("LoRA careful") == pytest.approx(math.log(2))


def test_rank_correlations_take_equal_values_at_their_mean_place():
    assert verdicts.ranks([0.3, 0.1, 0.3, 0.2]) == [2.5, 0, 2.5, 1]
    rising = [run("lora", lr, kept=1 - lr, task=0.5) for lr in (0.1, 0.2, 0.3)]
    assert verdicts.correlate(rising, "moved", "kept") == pytest.approx(-1)
    assert verdicts.correlate(rising, "moved", "task") == 0
    runs = of_every_seed(*rising)
    assert values("KL foretells", runs) == pytest.approx(1)
    assert values("KL better", runs) == pytest.approx(1)
    # three pairs at one score: 2, 3 and 1.5 times
    assert values("score blind", runs) == pytest.approx(math.log(2 * 3 * 1.5) / 3)


def test_scores_three_hundredths_apart_are_equal_and_the_lower_rate_is_taken():
    runs = of_every_seed(
        run("lora", 1e-3, task=0.97), run("lora", 1e-2, task=1.0), run("full", 1e-4)
    )
    assert values("rate ratio", runs) == pytest.approx(math.log(10))


CLAIM = Claim("more", "More is more", ("00",), lambda runs: {}, low=0, high=1)
INSIDE, OUTSIDE, ACROSS = ((0.5, 0.51, 0.52), (-0.5, -0.51, -0.52), (0.5, -0.5, 0.1))


@pytest.mark.parametrize(
    ("by_seed", "answer"), [(INSIDE, True), (OUTSIDE, False), (ACROSS, None), ((0.5,), None)]
)
def test_an_answer_needs_an_interval_on_one_side(by_seed, answer):
    assert CLAIM.holds(Figure(dict(enumerate(by_seed)))) is answer


@pytest.mark.parametrize(
    ("pocket", "real", "word"),
    [
        (INSIDE, INSIDE, "carries over"),
        (OUTSIDE, OUTSIDE, "carries over"),
        (INSIDE, OUTSIDE, "does not"),
        (INSIDE, ACROSS, "cannot be told"),
        (ACROSS, INSIDE, "cannot be told"),
        (INSIDE, (0.5,), "cannot be told"),
        (INSIDE, (), "cannot be told"),
    ],
)
def test_the_word_follows_the_figures(pocket, real, word):
    found = Finding(CLAIM, *(Figure(dict(enumerate(values))) for values in (pocket, real)))
    assert found.verdict == word
    assert found.row()[0] == "More is more"
    assert found.row()[-1] == word


def test_figures_are_shown_in_their_unit_with_interval_and_n():
    figure = Figure({0: 0.1, 1: 0.2, 2: 0.3})
    assert figure.in_words("points") == "+20.0 [-4.8, +44.8], n = 3"
    assert figure.in_words("share") == "20.0 % [0.0 %, 44.8 %], n = 3"
    assert figure.in_words("ρ") == "+0.20 [-0.05, +0.45], n = 3"
    assert Figure({0: math.log(10)}).in_words("times") == "10×, n = 1"
    assert Figure({}).in_words("points") == "no runs"


def test_an_interval_ends_where_no_value_can_lie():
    wide = Figure({0: 0.99, 1: 0.8, 2: 0.98})
    assert wide.in_words("points") == "+92.3 [+65.8, +100.0], n = 3"
    assert wide.in_words("ρ") == "+0.92 [+0.66, +1.00], n = 3"
    assert wide.in_words("difference of ρ") == "+0.92 [+0.66, +1.19], n = 3"


def test_factors_have_two_digits_and_no_power_of_ten():
    figure = Figure({0: math.log(20), 1: math.log(200), 2: math.log(130)})
    assert figure.in_words("times") == "80× [3.8×, 1,700×], n = 3"


def test_seeds_that_agree_are_said_to_and_have_no_interval():
    assert Figure(dict.fromkeys(SEEDS, math.log(10))).in_words("times") == "10×, n = 3, all alike"
    assert Figure(dict.fromkeys(SEEDS, 1.0)).in_words("ρ") == "+1.00, n = 3, all alike"


def test_changing_a_rows_figure_changes_the_word(monkeypatch):
    monkeypatch.setattr(verdicts, "pocket_runs", lambda: RUNS)
    monkeypatch.setattr(verdicts, "real_runs", lambda: RUNS)
    assert lab.carry_over()["a tenth"].verdict == "carries over"
    learned = [
        one._replace(task=0.85) if (one.method, one.lr) == ("lora", 1e-3) else one
        for one in RUNS.outcomes
    ]
    changed = dataclasses.replace(RUNS, outcomes=learned)
    monkeypatch.setattr(verdicts, "real_runs", lambda: changed)
    found = lab.carry_over("07b")
    assert found["a tenth"].verdict == "does not"
    assert "1 does not" in str(found).splitlines()[0]


def test_a_part_of_a_grid_is_read_by_seed():
    part = Runs([*RUNS.outcomes[:7], *RUNS.outcomes[7:9]], base_kept=0.9)
    assert part.seeds() == [0]
    assert [run.lr for run in part.of_seed(1)] == [1e-3, 1e-2]
    (claim,) = (claim for claim in verdicts.CLAIMS if claim.name == "a tenth")
    assert claim.measure(part).keys() == {0, 1}
    without = Runs([run("lora", 1e-3), run("full", 1e-3)], base_kept=0.9)
    (claim,) = (claim for claim in verdicts.CLAIMS if claim.name == "qlora task")
    assert claim.measure(without) == {}


def test_a_grid_without_a_whole_seed_is_refused(monkeypatch):
    monkeypatch.setattr(verdicts.grids, "read", lambda name: [])
    with pytest.raises(UserError, match="holds no seed with every run yet; make it"):
        verdicts.real_runs()


def test_the_shipped_grids_decide_a_notebooks_claims():
    every = lab.carry_over()
    assert len(every.findings) >= 8
    assert all(finding.pocket.by_seed.keys() == set(SEEDS) for finding in every.findings)
    assert all(finding.real.by_seed for finding in every.findings)
    for notebook in ("00", "03", "07b", "10"):
        chosen = lab.carry_over(notebook).findings
        assert len(chosen) >= 3
        assert all(notebook in finding.claim.notebooks for finding in chosen)
    assert verdicts.pocket_runs().base_kept > 0.99


def test_it_says_what_smollm2_is_under_the_table():
    shown = lab.carry_over("03")
    assert str(shown).splitlines()[-1] == verdicts.NOTE
    assert shown._repr_html_().endswith("</p>")
    assert "Q4_1" in shown._repr_html_().split("</table>")[1]


def test_a_notebook_without_claims_is_refused_with_those_that_have_some():
    with pytest.raises(UserError, match=r"notebook '13' has no claims .* one of 00, 03, 07b, 10"):
        lab.carry_over("13")
    with pytest.raises(UserError, match="no claim here is named 'tenth'; give one of"):
        lab.carry_over("07b")["tenth"]
