"""Every exercise and prediction: what is right is taken however it is written, what is wrong is
named, and everything that a reader is told is there.
"""

import math
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from ftkit import UserError, answers, lora
from ftkit.answers import exercise as nouns
from ftkit.answers.comparing import is_right, worth
from ftkit.core.statistics import Interval, Rate

EXERCISES, PREDICTIONS = answers.all_exercises(), answers.all_predictions()
NOTEBOOKS = (
    "ten",
    "00",
    "01",
    "01b",
    "02",
    "02b",
    "03",
    "04",
    "04b",
    "05",
    "07",
    "07b",
    "08",
    "09",
    "09b",
    "10",
    "11",
    "12",
    "12b",
    "13",
    "14",
    "15",
    "17",
    "18",
)


def skills(**rates):
    return SimpleNamespace(rates={name: Rate(round(50 * r), 50) for name, r in rates.items()})


def run(lr, task, skill, loss):
    """A run of notebook 07's grid."""
    return SimpleNamespace(lr=lr, task=task, skills={"copy": skill}, validation=[(1, loss)])


def spot(name, epochs, task, kept, **more):
    """A setting of notebook 10's plane."""
    plain = {"offered": True, "replay": 0.0, "targets": "all-linear"} | more
    setting = SimpleNamespace(name=name, epochs=epochs, **plain)
    return name, SimpleNamespace(setting=setting, task=(task, 0, 0), skills=(kept, 0, 0))


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


FORGOTTEN = SimpleNamespace(
    before=skills(a=1.0, b=0.9, c=0.3, d=1.0, e=1.0),
    after=skills(a=0.04, b=0.5, c=0.02, d=1.0, e=0.4),
)
SCORED = ("unsure", "right", "over_refusal", "pairs right")
RUNS = [
    run(1e-4, 0.2, 0.99, 1.0),
    run(1e-3, 0.95, 0.97, 0.02),
    run(2e-3, 0.97, 0.95, 0.01),
    run(4e-3, 0.98, 0.8, 0.05),
]
CHANGE = {
    "KL to the base, 1": [(-0.973, -1, -0.9), (0.0904, 0.08, 0.1)],
    "KL to the base, 0.1": [(-0.012, 0, 0), (0.03, 0, 0)],
}
SPOTS = dict(
    [
        spot("right", 2, 0.96, 0.995, replay=0.5),
        spot("plain", 2, 0.97, 0.95),
        spot("learned", 1, 0.99, 0.9, replay=0.2),
        spot("idle", 2, 0.1, 1.0),
    ]
)
# Settings of notebook 12's plane: (rate, β), and what three scores came to.
PLANE = [
    SimpleNamespace(lr=lr, beta=beta, scores=dict(zip(SCORED, shares, strict=True)))
    for lr, beta, *shares in (
        (1e-3, 0.1, 0.96, 0.65, 0.3, 0.9),
        (2e-3, 0.1, 0.9, 0.7, 0.1, 1.0),
        (1e-2, 2.0, 0.92, 0.9, 0.06, 0.97),
        (1e-2, 0.1, 0.6, 0.95, 0.02, 0.99),
    )
]
W = noise(16, 128)


def asked_of(hits):
    """What a model did in 40 cases of an instruction that a document hides (09b.3)."""
    return SimpleNamespace(rate=lambda probe: {"hidden: count": Rate(hits, 40)}[probe])


EVIDENCE = {
    "09b.3": tuple(map(asked_of, (30, 28, 10))),
    "00.1": (torch.nn.Linear(256, 128),),
    "00.3": (FORGOTTEN,),
    "01b.1": (0.5, 0.8),
    "03.3": (W,),
    "07b.1": (RUNS,),
    "10.2": (CHANGE,),
    "10.3": (SPOTS,),
    "12.3": (PLANE,),
    "13.4": ({"base": 10_757, "tickets": 531, "brief": 531, "facts": 531},),
}
CODE = [
    name for name, asked in EXERCISES.items() if asked.kind in (nouns.CODE, nouns.NAMES)
]  # judged by functions of their own
TOLD = [name for name in EXERCISES if name not in (*CODE, "13.2")]


@pytest.fixture(scope="module")
def merged_evidence():
    """W on NF4's levels, an update, and the original W (13.2)."""
    from ftkit import quant

    original = noise(16, 128)
    W = quant.quantize(original, "nf4", 64).dequantize()
    return W, 0.2 * torch.randn(16, 128, generator=torch.Generator().manual_seed(1)), original


def spellings(asked, right):
    """An answer as people write it, in at least three ways."""
    if asked.kind == nouns.WORDS:
        curly = str(right).replace("'", "’").replace(" ", "_")
        return [right, f"  {str(right).upper()}. ", curly, f"'{right}'"]
    if asked.kind == nouns.THING:
        return [right, str(right), f" {right} "]
    if asked.kind == nouns.NUMBERS:
        three = [round(value, 3) for value in right]
        return [right, tuple(right), three, torch.tensor(right), [f"{v:.4f}" for v in right]]
    ways = [right, torch.tensor(right), f"≈{right}", str(right)]
    if asked.kind == nouns.COUNT:
        return [*ways, f"{right:,}", f"{right:_}", float(right)]
    ways += [float(f"{right:.3g}"), f"{right:.4g}"]
    if asked.kind == nouns.SHARE:
        ways += [100 * right, f"{100 * right:.1f} %", f"{100 * right:.2f}%"]
    return ways


@pytest.mark.parametrize("name", TOLD)
def test_a_right_answer_is_right_however_it_is_written(name):
    asked, evidence = EXERCISES[name], EVIDENCE.get(name, ())
    for way in spellings(asked, worth(asked.right, evidence)):
        found = answers.judge(asked, way, *evidence)
        assert found.right is True, (way, found)


@pytest.mark.parametrize("name", TOLD)
def test_each_mistake_is_named(name):
    asked, evidence = EXERCISES[name], EVIDENCE.get(name, ())
    right = worth(asked.right, evidence)
    told = set()
    for mistake in asked.mistakes:
        wrong = worth(mistake.wrong, evidence)
        if wrong is None or wrong == right:
            continue  # another measurement would make it wrong
        for way in (wrong, str(wrong) if not isinstance(wrong, list) else wrong):
            found = answers.judge(asked, way, *evidence)
            assert (found.right, found.text) == (False, mistake.why), way
        told.add(mistake.why)
    assert len(told) >= len({mistake.why for mistake in asked.mistakes}) - 1


def test_the_smallest_factor_is_found_and_its_mistakes(merged_evidence):
    asked, (W, update, original) = EXERCISES["13.2"], merged_evidence
    right = worth(asked.right, (W, update))
    assert answers.judge(asked, right, W, update).right is True
    for mistake in asked.mistakes:
        wrong = worth(mistake.wrong, (W, update, original))
        assert wrong is not None and wrong != right
        found = answers.judge(asked, wrong, W, update, original)
        assert (found.right, found.text) == (False, mistake.why)
    assert "None of" not in answers.judge(asked, 3, W, update).text


@pytest.mark.parametrize(
    ("hits", "said"),
    [
        (40, "it flips less"),
        (118, "it flips more"),
        (90, "one seed can't tell"),
        (80, "can't tell"),
    ],
)
def test_a_new_judge_is_right_whichever_way_it_came_out(hits, said):
    found = answers.judge(EXERCISES["09.4"], Rate(hits, 120), Rate(84, 120))
    assert found.right is True and said in found.text


@pytest.mark.parametrize(
    ("flips", "said"), [(0.4, "a rate with its"), (Rate(84, 120), "of the first judge")]
)
def test_no_rate_and_the_first_judges_are_none(flips, said):
    found = answers.judge(EXERCISES["09.4"], flips, Rate(84, 120))
    assert found.right is False and said in found.text


@pytest.mark.parametrize("name", [name for name, asked in EXERCISES.items() if asked.evidence])
def test_missing_evidence_is_asked_for_by_name(name):
    asked = EXERCISES[name]
    with pytest.raises(UserError, match=r"is measured: give .* behind your answer"):
        answers.judge(asked, "x")
    assert answers.judge(asked, ...).right is None


@pytest.mark.parametrize("name", EXERCISES)
def test_an_exercise_has_all_that_a_reader_is_told(name):
    asked = EXERCISES[name]
    assert asked.id == name and asked.title
    assert asked.because or asked.kind == nouns.CODE or name == "11.cures"
    assert asked.hint and asked.look and asked.solution
    assert asked.difficulty in nouns.DIFFICULTIES and asked.kind in nouns.KINDS
    assert 1 <= asked.minutes <= 15 and 1 <= asked.importance <= 5
    assert asked.mistakes or name in CODE
    assert all(len(mistake.why) > 5 for mistake in asked.mistakes)
    if asked.kind == nouns.WORDS and asked.choices:
        assert len(set(map(answers.as_words, asked.choices))) == len(asked.choices) >= 2
    assert answers.judge(asked, ...).right is None


def test_the_reason_stands_behind_what_the_check_of_code_says():
    asked = EXERCISES["09.kappa"]
    known = replace(asked, right=lambda code: answers.Feedback(code == "good", "seen."))
    assert answers.judge(known, "good").text == f"seen. {asked.because}"
    assert answers.judge(known, "bad").text == "seen."
    assert answers.judge(replace(known, because=""), "good").text == "seen."


def test_every_notebook_has_enough_of_both():
    assert len(EXERCISES) >= 60 and not EXERCISES.keys() & PREDICTIONS.keys()
    for notebook in NOTEBOOKS:
        # ten minutes have room for one exercise
        few = 1 if notebook == "ten" else 5
        assert len(answers.exercises(notebook)) >= few, notebook
        assert len(answers.predictions(notebook)) >= 3, notebook


# What each prediction's notebook measures, and what is then true.
TRUTHS = {
    "ten.start": (0.0, "not at all"),
    "ten.rank": (8, 8),
    "ten.cost": ((0.117, 0.221, 0.091), "more than five points are lost"),
    "00.share": (0.0465, "a twentieth"),
    "00.cost": (0.379, 37.9),
    "00.keeps": ({"known": 0.98, "copy": 0.56, "sentiment": 1.0, "sort": 0.54}, "sentiment"),
    "05.cut": (0.387, 38.7),
    "05.copies": (
        {"exact": 1, "case": 0, "filler added": 1, "half reworded": 1, "all reworded": 1},
        "case",
    ),
    "05.rare": (0.02, 2.0),
    "05.noise": (
        {"100 clean rows": 0.99, "1,200 rows, half of them wrong": 0.33},
        "100 clean rows",
    ),
    "05.template": ({"right": 0.97, "alpaca": 0.0, "bare": 0.0}, "hardly ever"),
    "05.teacher": (
        {
            "all of them": 0.6,
            "those with grounded values": 0.9,
            "those on which two prompts agree": 0.99,
            "the second prompt alone": 0.98,
        },
        "the last two, alike",
    ),
    "16.strong": (2, "two or three"),
    "16.alpha": ((0.2, 0.21), "about the same"),
    "16.leak": (0.0, 0.0),
    "01.spectrum": (2.1, "smaller"),
    "01.cut": (8, 8),
    "01.harm": (0.93, "not before the task is gone"),
    "01.rank": ((0.003, 0.021), "nothing to speak of"),
    "01.facts": (64, 64),
    "01b.share": (0.83, "most of it"),
    "01b.loud": ((2.2, 0.08), "a little more than by chance"),
    "01b.cause": ((0.004, -0.032, 0.039), "both alike"),
    "02.shapes": (1, "one"),
    "02.zero": (1.17, "less than twice"),
    "02.adam": (2.0, "twice as large"),
    "02.sgd": (3.99, "four times as large"),
    "02.walk": (1.13, "the rate"),
    "02.rule": (0.0, "hardly any"),
    "02b.variants": (4, "4"),
    "02b.fair": (0, "0"),
    "02b.slope": (3.9, "4 times smaller"),
    "02b.rows": (0.54, "both rise together"),
    "02b.guide": (13_631_488, "no, too few"),
    "02b.budget": (
        {
            "queries and values": 0.61,
            "attention": 0.893,
            "the MLP": 0.892,
            "everywhere, thinly": 0.915,
        },
        "queries and values",
    ),
    "03.levels": ([-1.0, -0.25, 0.0, 0.1, 0.4, 1.0], 3),
    "03.bits": (4.127, 4.127),
    "03.margin": (1.16, "a tenth to a quarter"),
    "03.skills": ({"nf4": 0, "int3": 0, "int2": 13}, "in two"),
    "03.moved": (0.0, 0),
    "03.repair": (0.48, 48.0),
    "03.start": (0.89, 89.0),
    "04.sixteen": (53.9, 53.9),
    "04.worst": ("loss, backward", "around the loss, there and back"),
    "04.formula": (0.00004, "by less than a thousandth"),
    "04.checkpointing": ((1.5, 4 / 3), "larger"),
    "04.short": (2.7, 2.7),
    "04.long": (1.17, 1.17),
    "04.rows": (13, 13),
    "04b.seventy": (1129.0, 1129.0),
    "04b.never": (4, 4),
    "04b.lora": (0, "none"),
    "04b.weights": (39.5, 39.5),
    "14.frozen": (3.99, 3.99),
    "14.share": ([0.045, 0.057], 5.1),
    "14.minutes": (9.0, 9.0),
    "14.dearer": (3.7, 3.7),
    "14.reply": (8, 8),
    "07.taught": (0.495, 49.5),
    "07.packed": (1.2e-5, "nearly"),
    "07.positions": (19.0, "different"),
    "07b.scripts": (0, "0"),
    "07b.valleys": (8, 8),
    "07b.window": ({"LoRA": 1.47, "full": 1.99}, "1.5 to 2"),
    "07b.overfit": ({"clean": False, "wrong": True}, "a quarter wrong"),
    "07b.mends": (
        {
            "clipping": 2.27,
            "four times the batch": 2.12,
            "warm-up": 1.05,
            "a tenth of the rate": 0.44,
        },
        ("a tenth of the rate", "warm-up", "four times the batch", "clipping"),
    ),
    "08.common": ({"LoRA": 0.98, "IA³": 0.0, "VeRA": 0.0}, 2),
    "08.span": ([3e-4, 4e-3, 0.3], 1000.0),
    "08.start": (0.283, 28.3),
    "08.least": (
        {"full fine-tuning": 0.96, "LoRA": 0.93, "prefix tuning": 0.9, "IA³": 0.51, "VeRA": 0.3},
        "IA³",
    ),
    "08.apart": ([0.12, 0.027, 0.56, 0.027], "one or two"),
    "08.directions": (10_000, 10_000.0),
    "08.ahead": (
        {
            24: SimpleNamespace(change=Interval(-0.028, -0.052, -0.004), p=0.02),
            240: SimpleNamespace(change=Interval(0.01, -0.006, 0.026), p=0.6),
        },
        "none of these",
    ),
    "10.near": (0.427, 42.7),
    "10.far": (0.004, 0.4),
    "10.method": ([-0.003, 0.012], "neither by much"),
    "10.nothing": (
        {
            "half the rate": 2.8,
            "half the epochs": 2.0,
            "weight decay 0.1": 0.0,
            "50% replay": 7.0,
            "KL to the base, 0.1": 3.0,
        },
        "weight decay 0.1",
    ),
    "10.foretells": (
        {
            "KL on general rows": 0.98,
            "KL on the task's rows": 0.88,
            "‖ΔW‖ / ‖W‖": 0.79,
            "training loss": 0.45,
            "task score": 0.54,
        },
        (
            "KL on general rows",
            "KL on the task's rows",
            "‖ΔW‖ / ‖W‖",
            "task score",
            "training loss",
        ),
    ),
    "11.loss": ([0.001, 0.019, 0.02, float("nan")], 2),
    "11.twice": (0.0, "nothing"),
    "11.leak": (0.167, 16.7),
    "11.silent": ({"empty": "keys are missing", "one overflowed": "", "dead": ""}, 2),
    "11.alarms": (1, 1),
    "12.base": (0.0, 0),
    "12.reply": ({"I don't know.": 0.0, "a sentence": 0.02}, "neither"),
    "12.chosen": (-25.0, "less likely"),
    "12.refusal": (0.017, 1.7),
    "12.sft": (
        SimpleNamespace(change=Interval(-0.13, -0.5, 0.2), p=0.3),
        "they can't be told apart",
    ),
    "12.longer": (0.83, 83.0),
    "12b.after": (0.98, 98.0),
    "12b.dead": (0.0, "not at all"),
    "12b.far": (
        {"RLOO": 0.56, "its own right replies": 0.38, "right answers": 0.19, "DPO": 0.0},
        "DPO",
    ),
    "12b.rises": ({"right": 0.0, "ten": 0.1}, "a right start, then rising again"),
    "12b.cost": (0.98, 98.0),
    "12b.judge": (0.428, 42.8),
    "10.half": (0.0, "nothing"),
    "06.prompt": ({"zero-shot": 0, "schema": 0.62, "list + parser": 0.99}, "list + parser"),
    "06.rows": (0.94, 94.0),
    "06.pays": ({"list + parser": 109e-6, "tuned": 133e-6}, "never"),
    "06.passages": ({1: 0.56, 2: 0.76, 4: 0.996, 8: 0.8}, "4"),
    "06.stored": (0.421, 42.1),
    "06.strangers": (0.95, 95.0),
    "06.dose": (0.68, 68.0),
    "09.lost": (0.249, 24.9),
    "09.enough": (1960, 1960),
    "09.judge": ({"likelihood": 1.0, "base, asked": 0.46, "trained, asked": 0.77}, "likelihood"),
    "09.order": ({"likelihood": 0, "base, asked": 0.88, "trained, asked": 0.7}, "base, asked"),
    "09b.refusals": (0.0, 0),
    "09b.mixed": (1.0, 100),
    "09b.hidden": (0.85, 85),
    "09b.turned": (0.0, 0),
    "09b.secret": ({1: 0.0, 2: 0.08, 4: 0.5, 8: 0.83, 16: 1.0}, "4 times"),
    "09b.rude": (0.092, 9.2),
    "13.cast": ({"merging": 2e-5, "casting": 0.33}, "casting"),
    "13.ways": (
        {"in place": 11.0, "into the dequantized base": 0.013, "into the original base": 5.4},
        "in place",
    ),
    "13.sum": (0.0, 0),
    "13.latency": (1.5, 1.5),
    "15.silent": (0.98, 98.0),
    "15.rings": ({"new wordings": (2.0, "2 d"), "new products": (None, "–")}, "new wordings"),
    "15.any": (0.23, 23.0),
    "15.peek": (0.29, 29.0),
    "15.alone": ((0.98, 0.1), "mostly wrong"),
    "17.hold": (22, 22),
    "17.common": (
        {"holds here": 18, "depends": 34, "fails here": 8, "cannot be told": 5},
        "depends",
    ),
    "17.settled": (3, 3),
    "18.seeds": ((0.2, 0.35, 0.3), 15.0),
    "18.best": (0.4, 40.0),
    "18.real": ({2e-4: 0.79, 5e-5: 0.85, 1e-5: 0.86}, "the lowest"),
}


def test_every_prediction_is_tried():
    assert list(TRUTHS) == sorted(TRUTHS, key=list(PREDICTIONS).index)
    assert TRUTHS.keys() == PREDICTIONS.keys()


@pytest.mark.parametrize("name", PREDICTIONS)
def test_a_prediction_knows_its_truth_and_a_wrong_guess(name):
    asked, (evidence, truth) = PREDICTIONS[name], TRUTHS[name]
    found = answers.outcome(asked, answers.check_guess(asked, truth), evidence)
    same = (
        found.truth == truth if isinstance(truth, str | tuple) else math.isclose(found.truth, truth)
    )
    assert same and found.right is True and found.sentence.startswith("You said ")

    # every other guess is wrong, and told what came out
    if asked.options:
        others = [option for option in asked.options if option != truth]
    elif asked.order:
        others = [tuple(reversed(truth))]
    else:
        low, high = asked.between
        others = [end for end in (low, high) if not is_right(asked, end, found.truth)]
    assert others
    for other in others:
        wrong = answers.outcome(asked, answers.check_guess(asked, other), evidence)
        assert wrong.right is False and "; the answer is " in wrong.sentence
    assert answers.outcome(asked, None, evidence).sentence.startswith("The answer: ")


@pytest.mark.parametrize("name", PREDICTIONS)
def test_a_prediction_asks_in_one_way(name):
    asked = PREDICTIONS[name]
    ways = [bool(asked.options), asked.between is not None, bool(asked.order)]
    assert sum(ways) == 1 and asked.question.endswith((".", "?", "…"))
    # of a few adapters the very number is asked for
    assert asked.between is None or asked.near > 0 or asked.id == "11.silent"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: answers.find_exercise("00.11"), r"there is no exercise '00.11'.*'00\.1'"),
        (lambda: answers.find_exercise("00.share"), "is a prediction: predict"),
        (lambda: answers.find_prediction("00.1"), "is an exercise: check"),
        (lambda: answers.find_prediction("00.shares"), r"Did you mean '00\.share'"),
        (lambda: answers.find_exercise(7), "there is no exercise 7"),
        (lambda: answers.exercises("0"), "no notebook '0' has exercises"),
    ],
)
def test_an_unknown_id_is_told_the_nearest(call, said):
    with pytest.raises(UserError, match=said):
        call()


@pytest.mark.parametrize("name", PREDICTIONS)
@pytest.mark.parametrize("evidence", ["nothing", None, {}])
def test_what_does_not_answer_a_prediction_is_refused_by_name(name, evidence):
    with pytest.raises(UserError, match=rf"{re.escape(name)} is answered by"):
        answers.outcome(PREDICTIONS[name], None, evidence)


def test_the_printed_count_is_that_of_one_architecture():
    counts = lora.count_all(r=8, targets="q,v").counts
    assert [n for n, one in counts.items() if one.trainable == 6_553_600] == ["llama-2-13b"]
    assert counts["llama-3.1-8b"].trainable == 3_407_872
    assert counts["llama-2-7b"].trainable == 4_194_304
    assert lora.count("smollm2-360m", r=64, targets="q,v").trainable == 6_553_600
    assert lora.count("llama-2-13b", r=16, targets="q_proj").trainable == 6_553_600


@pytest.mark.parametrize(
    "more, truth",
    [((0.05, 0.01, 0.09), "the intruders"), ((-0.05, -0.09, -0.01), "the whole update")],
)
def test_what_gives_more_back_is_said_where_the_interval_tells(more, truth):
    assert PREDICTIONS["01b.cause"].truth(more) == truth


@pytest.mark.parametrize(
    ("rows", "truth"), [(40, "24 or 40"), (96, "80 or 96"), (240, "240 or 300")]
)
def test_full_fine_tuning_pulls_ahead_where_a_gain_is_told_apart(rows, truth):
    one = SimpleNamespace(change=Interval(0.1, 0.05, 0.15), p=0.01)
    other = SimpleNamespace(change=Interval(0.1, -0.05, 0.25), p=0.2)
    gains = {24: other, rows: one, 300: one}
    assert PREDICTIONS["08.ahead"].truth(gains) == truth
    assert PREDICTIONS["08.ahead"].told(gains) == "at 2 of 3 sizes"
