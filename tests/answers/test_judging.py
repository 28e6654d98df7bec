"""Code that decides: what is right is taken, and each mistake is named."""

import math
from itertools import accumulate

import numpy as np
import pytest

from ftkit import answers, cost, decide, operate
from ftkit.answers import judging
from ftkit.core import statistics


def judge(name, code):
    return answers.judge(answers.find_exercise(name), code)


def parse(reply):
    pairs = [line.strip().partition(": ") for line in reply.splitlines()]
    truths = {"yes": True, "no": False}
    return {k: int(v) if v.isdigit() else truths.get(v, v) for k, colon, v in pairs if colon}


def pairs_of(reply, sign=": ", most=1):
    return [line.split(sign, most) for line in reply.splitlines() if sign in line]


def typed(value):
    return int(value) if value.isdigit() else {"yes": True, "no": False}.get(value, value)


PARSERS = {
    "digits are a whole number": lambda reply: dict(pairs_of(reply)),
    "yes is True and no is False": lambda reply: {
        k: int(v) if v.isdigit() else v for k, v in pairs_of(reply)
    },
    "the values have a blank": lambda reply: dict(pairs_of(reply, ":")),
    "keys have blanks": lambda reply: {f" {k}": typed(v) for k, v in pairs_of(reply)},
    "at the first ': ' alone": lambda reply: {
        k[0]: typed(k[-1]) for k in pairs_of(reply, ": ", -1)
    },
    "return a dict": lambda reply: pairs_of(reply),
    "leave it out": lambda reply: {
        line.split(": ", 1)[0]: typed(line.split(": ", 1)[1]) for line in reply.splitlines()
    },
}


@pytest.mark.parametrize("said", PARSERS)
def test_each_mistake_of_a_parser_is_named(said):
    found = judge("06.parser", PARSERS[said])
    assert found.right is False
    assert said in found.text


def test_parsers_that_are_right_are_taken():
    assert judge("06.parser", parse).right
    assert judge("06.parser", decide.read_list).right
    assert judge("06.parser", lambda reply: ...).right is None


RECALLS = {
    "divide by the number of questions": lambda r, w, k: sum(hits(r, w, k)),
    "only the first k count": lambda r, w, k: sum(hits(r, w, 3)) / 5,
    "one passage too few": lambda r, w, k: sum(hits(r, w, k - 1)) / 5,
    "the k-th passage alone": lambda r, w, k: sum(p[k - 1] == x for p, x in pairs(r, w)) / 5,
    "recall divides by the questions": lambda r, w, k: sum(hits(r, w, k)) / 5 / k,
    "is no share": lambda r, w, k: "all",
}


def pairs(ranked, wanted):
    return zip(ranked, wanted, strict=True)


def hits(ranked, wanted, k):
    return [right in places[:k] for places, right in pairs(ranked, wanted)]


@pytest.mark.parametrize("said", RECALLS)
def test_each_mistake_of_a_recall_is_named(said):
    found = judge("06.recall", RECALLS[said])
    assert found.right is False
    assert said in found.text


def test_a_recall_that_is_right_is_taken():
    assert judge("06.recall", lambda r, w, k: sum(hits(r, w, k)) / len(w)).right


def test_the_other_exercises_of_06_are_the_kits_own_figures():
    saved = cost.break_even(
        cost.cost_of_call(1074, 0, (0.5, 0)), cost.cost_of_call(74, 0, (0.5, 0)), 4
    )
    assert saved.calls == answers.find_exercise("06.1").right
    found = [str(rank) for rank in range(4)]
    assert decide.context_precision(found, {"1", "3"}) == answers.find_exercise("06.2").right
    told = decide.choose(lacks="facts", facts_change="weekly").what
    assert told == answers.find_exercise("06.3").right


@pytest.mark.parametrize(
    ("prompted", "tuned", "paid"),
    [(109e-6, 133e-6, "never"), (1, 1, "never"), (135e-6, 132e-6, "about a million"),
     (1.6e-3, 132e-6, "about a thousand")],
)  # fmt: skip
def test_a_dearer_call_never_pays_a_tuning_back(prompted, tuned, paid):
    asked = answers.find_prediction("06.pays")
    assert asked.truth({"list + parser": prompted, "tuned": tuned}) == paid


@pytest.mark.parametrize(
    ("agreed", "second", "everything", "best"),
    [
        (0.99, 0.98, 0.6, "the last two, alike"),
        (0.99, 0.9, 0.6, "those on which two prompts agree"),
        (0.8, 0.9, 0.6, "the second prompt alone"),
        (0.8, 0.8, 0.9, "all of them"),
    ],
)
def test_two_ways_to_choose_rows_may_be_alike(agreed, second, everything, best):
    shares = {"all of them": everything, "those with grounded values": 0.5}
    shares |= {"those on which two prompts agree": agreed, "the second prompt alone": second}
    assert answers.find_prediction("05.teacher").truth(shares) == best


def kappa(one, other):
    n = len(one)
    p = sum(a == b for a, b in zip(one, other, strict=True)) / n
    e = sum(one.count(w) * other.count(w) for w in {*one, *other}) / n**2
    return (p - e) / (1 - e)


def alike(one, other):
    return sum(a == b for a, b in zip(one, other, strict=True)) / len(one)


def chance(one, other):
    return sum(one.count(w) * other.count(w) for w in {*one, *other}) / len(one) ** 2


def beyond(one, other, e):
    return (alike(one, other) - e) / (1 - e)


def pooled(one, other):
    both = [*one, *other]
    return sum((both.count(w) / len(both)) ** 2 for w in {*both})


KAPPAS = {
    "take away what chance gives": alike,
    "not yet divided": lambda a, b: alike(a, b) - chance(a, b),
    "not 1 in so many words": lambda a, b: beyond(a, b, 1 / len({*a, *b})),
    "they give Scott's π": lambda a, b: beyond(a, b, pooled(a, b)),
    "what chance gives alone": chance,
    "is no number": lambda a, b: "much",
}


@pytest.mark.parametrize("said", KAPPAS)
def test_each_mistake_of_a_kappa_is_named(said):
    found = judge("09.kappa", KAPPAS[said])
    assert found.right is False
    assert said in found.text


def test_kappas_that_are_right_are_taken():
    assert judge("09.kappa", kappa).right
    assert judge("09.kappa", lambda a, b: statistics.kappa(a, b).value).right
    assert judge("09.kappa", lambda a, b: ...).right is None
    assert judge("09.kappa", lambda a, b: 0.3).right is False


def harms(verdicts):
    """By wording, whether each request was met."""
    return [[said == "harm" for said in row] for row in verdicts.values()]


def attacked(verdicts):
    return sum(map(any, zip(*harms(verdicts), strict=True))) / 8


ATTACKED = {
    "the mean over wordings": lambda v: sum(map(sum, harms(v))) / 24,
    "best single wording": lambda v: max(map(sum, harms(v))) / 8,
    "every wording works": lambda v: sum(map(all, zip(*harms(v), strict=True))) / 8,
    "'neither' is no harm": lambda v: (
        sum(set(request) != {"right"} for request in zip(*v.values(), strict=True)) / 8
    ),
    "that is a count": lambda v: 8 * attacked(v),
    "counts once": lambda v: sum(map(sum, harms(v))) / 8,
    "is no share": lambda v: "half",
    "it is 0.500, not 0.3": lambda v: 0.3,
    "KeyError": lambda v: v["shouted"],
}


@pytest.mark.parametrize("said", ATTACKED)
def test_each_mistake_about_the_wordings_of_an_attack_is_named(said):
    found = judge("09b.attacked", ATTACKED[said])
    assert found.right is False
    assert said in found.text


def test_a_share_of_attacked_requests_is_taken_as_a_number_or_a_rate():
    assert judge("09b.attacked", attacked).right
    assert judge("09b.attacked", lambda v: statistics.Rate(round(8 * attacked(v)), 8)).right
    assert judge("09b.attacked", lambda v: ...).right is None


def rank(nats):
    return sum(other <= nats[0] for other in nats)


EXPOSED = {
    "those are nats": lambda n: math.log(len(n) / rank(n)),
    "few nats are likely": lambda n: math.log2(len(n) / (len(n) - rank(n) + 1)),
    "that is the rank alone": lambda n: -math.log2(rank(n)),
    "rank 1, not 0": lambda n: math.log2(len(n) / (rank(n) - 1)),
    "how unlikely the secret is": lambda n: n[0] / math.log(2),
    "that is a ratio": lambda n: len(n) / rank(n),
    "is no number": lambda n: "bits",
    "at rank 3 of 16 it is 2.415 bits, not 1.7": lambda n: 1.7,
}


@pytest.mark.parametrize("said", EXPOSED)
def test_each_mistake_of_an_exposure_is_named(said):
    found = judge("09b.exposure", EXPOSED[said])
    assert found.right is False
    assert said in found.text


def test_exposures_that_are_right_are_taken():
    assert judge("09b.exposure", lambda n: math.log2(len(n)) - math.log2(rank(n))).right
    assert judge("09b.exposure", lambda n: ...).right is None


def test_the_exercises_of_09b_are_the_kits_own_figures():
    least = answers.find_exercise("09b.1").right
    assert statistics.Rate(0, least).interval[1] < 0.01 <= statistics.Rate(0, least - 1).interval[1]
    assert statistics.Rate(0, 40).interval[1] == pytest.approx(0.088, abs=5e-4)


WRONG_SUMS = {
    "it never falls below 0": lambda v, s: judging.add_up(v, s, floor=False),
    "the slack is missing": lambda v, s: judging.add_up(v, 0.0),
    "each day by itself": lambda v, s: [max(0.0, x - s) for x in v],
    "each day is cut at 0": lambda v, s: list(accumulate(max(0.0, x - s) for x in v)),
    "rings for a fall": lambda v, s: judging.add_up(v, s, sign=-1),
    "the slack is added": lambda v, s: judging.add_up(v, -s),
    "return one sum for each day": lambda v, s: judging.add_up(v, s)[-1],
    "it is [": lambda v, s: [1.0] * len(v),
}


@pytest.mark.parametrize("why", WRONG_SUMS)
def test_a_wrong_cusum_is_named(why):
    found = judging.check_cusum(WRONG_SUMS[why])
    assert found.right is False and why in found.text


def test_a_cusum_of_ones_own_is_right_as_a_list_or_an_array():
    assert judging.check_cusum(judging.add_up).right is True
    assert judging.check_cusum(lambda v, s: np.array(judging.add_up(v, s))).right is True
    assert judging.check_cusum(lambda v, s: operate.cusum(np.array(v), s)).right is True
    assert judging.check_cusum(lambda v, s: ...).right is None


def p(day, rate):
    return rate ** day[0] * (1 - rate) ** (day[1] - day[0])


def one_rate(old, new, a, b):
    return (old[1] * a + new[1] * b) / (old[1] + new[1])


def right_factor(old, new, a, b):
    one = one_rate(old, new, a, b)
    return p(old, a) * p(new, b) / p(old, one) / p(new, one)


WRONG_FACTORS = {
    "weighted by the requests": lambda o, n, a, b: (
        p(o, a) * p(n, b) / p(o, (a + b) / 2) / p(n, (a + b) / 2)
    ),
    "may not look at the day itself": lambda o, n, a, b: (
        p(o, a) * p(n, b) / p((o[0] + n[0], o[1] + n[1]), (o[0] + n[0]) / (o[1] + n[1]))
    ),
    "upside down": lambda o, n, a, b: 1 / right_factor(o, n, a, b),
    "wrong answers count too": lambda o, n, a, b: (
        a ** o[0] * b ** n[0] / one_rate(o, n, a, b) ** (o[0] + n[0])
    ),
    "its logarithm": lambda o, n, a, b: math.log(right_factor(o, n, a, b)),
    "divide by what one rate gives": lambda o, n, a, b: p(o, a) * p(n, b),
    "is no number": lambda o, n, a, b: "a lot",
    "not 7": lambda o, n, a, b: 7,
}


@pytest.mark.parametrize("why", WRONG_FACTORS)
def test_a_wrong_factor_is_named(why):
    found = judging.check_factor(WRONG_FACTORS[why])
    assert found.right is False and why in found.text


def test_a_days_factor_is_that_of_the_kit():
    assert judging.check_factor(right_factor).right is True
    old, new = ((3, 5), (2, 4)), ((1, 5), (4, 4))  # two days
    sides = [tuple(np.array(column) for column in zip(*days, strict=True)) for days in (old, new)]
    rates = [(days[0][0] + 0.18) / (days[0][1] + 0.36) for days in (old, new)]
    found = operate.evidence(*sides)
    assert math.exp(found[1] - found[0]) == pytest.approx(right_factor(old[1], new[1], *rates))


def test_actions_are_named_and_each_wrong_one_is_told():
    right = {case: action for case, (action, _) in judging.RANG.items()}
    assert judging.check_actions(right).right is True
    assert judging.check_actions({**right, "A": "Wait and Watch"}).right is True
    found = judging.check_actions({**right, "B": "train again", "C": ...})
    assert found.right is None and found.text.startswith("2 of the 4 are right. "), "no try as yet"
    assert "B is not 'train again': the promotion" in found.text and "C is still" in found.text
    found = judging.check_actions(dict.fromkeys(right, "roll back"))
    assert found.right is False and found.text.startswith("1 of the 4 is right. A is not")
    assert "Did you mean" in judging.check_actions({**right, "D": "look at the machin"}).text
    assert "give a dict" in judging.check_actions({"A": "roll back"}).text


def right_word(low, high, bound):
    return "holds" if low >= bound else "fails" if high < bound else "cannot be told"


WRONG_WORDS = {
    "looks at the middle alone": lambda a, h, b: "holds" if (a + h) / 2 >= b else "fails",
    "the upper end may still be above": lambda a, h, b: "holds" if a >= b else "fails",
    "the lower end may still be below": lambda a, h, b: "holds" if h >= b else "fails",
    "a lower end on the bound is enough": lambda a, h, b: (
        "holds" if a > b else "fails" if h < b else "cannot be told"
    ),
    "the other way round": lambda a, h, b: {"holds": "fails", "fails": "holds"}.get(
        right_word(a, h, b), "cannot be told"
    ),
    "never says that it cannot be told": lambda a, h, b: "fails",
    "[0.93, 0.98] about at least 0.9: 'holds'": lambda a, h, b: "cannot be told",
    "Did you mean 'holds'?": lambda a, h, b: "hold",
}


@pytest.mark.parametrize("why", WRONG_WORDS)
def test_a_wrong_judge_is_named(why):
    found = judging.check_verdict(WRONG_WORDS[why])
    assert found.right is False and why in found.text


def test_a_judge_of_ones_own_is_right():
    assert judging.check_verdict(right_word).right is True
    assert judging.check_verdict(lambda *ends: ...).right is None


ROW = {
    "sentence": "LoRA at rank 16 trains less than 1 %",
    "measure": "lora.count",
    "rule": (0, 1),
    "source": "a guide of 2026",
}


@pytest.mark.parametrize(
    ("changes", "right", "said"),
    [
        ({}, True, "read both aloud"),
        ({"sentence": "LoRA is better."}, False, "not than what"),
        ({"measure": "memory.time"}, False, "has no 'time'."),
        ({"measure": ...}, None, "still to come: measure"),
        ({"sentence": "LoRA is usually fine"}, False, "a number or a comparison"),
        ({"source": "a blog"}, False, "no year"),
        ({"sauce": "a guide of 2026"}, False, "'source'"),
    ],
)
def test_a_row_of_ones_own_is_told_what_it_lacks(changes, right, said):
    found = judging.check_own_row(ROW | changes)
    assert found.right is right and said in found.text and ".." not in found.text


def test_a_row_that_is_no_dict_is_told_so():
    assert "give a dict" in judging.check_own_row("LoRA is good").text


def test_five_cases_have_five_words():
    right = {case: word for case, (word, _) in judging.SAID.items()}
    assert judging.check_words(right).right is True
    assert judging.check_words({**right, "B": "fails"}).text.endswith("on either side of it.")
    assert judging.check_words({**right, "B": "holds hear"}).right is False
    assert judging.check_words({**right, "C": ...}).right is None
    assert judging.check_words({"A": "holds"}).right is False


def words(changes, ps, factor=lambda place, many: 1):
    """yes, no or open, of p times a factor by its place."""
    fixed = [p * factor(place, len(ps)) for place, p in enumerate(ps)]
    return judging.in_words(changes, fixed)


WRONG_SENTENCES = {
    "each p by itself": words,
    "stricter than Holm": lambda c, p: words(c, p, lambda _, many: many),
    "never below the one before": lambda c, p: words(
        c, [x * (len(p) - sorted(p).index(x)) for x in p]
    ),
    "sort the p first": lambda c, p: words(c, p, lambda place, many: many - place),
    "for the worse is a no": lambda c, p: [
        word.replace("no", "yes") if word == "no" else word
        for word in judging.in_words(c, statistics.holm(p))
    ],
    "a word for each": lambda c, p: "yes",
    "it is [": lambda c, p: ["perhaps"] * len(p),
}


@pytest.mark.parametrize("why", WRONG_SENTENCES)
def test_a_wrong_judge_of_sentences_is_named(why):
    found = judging.check_sentences(WRONG_SENTENCES[why])
    assert found.right is False and why in found.text


def test_a_judge_of_sentences_is_right_by_holm():
    right = judging.check_sentences(lambda c, p: tuple(judging.in_words(c, statistics.holm(p))))
    assert right.right is True
    assert judging.check_sentences(lambda c, p: ...).right is None


@pytest.mark.parametrize(
    ("means", "place"),
    [
        ({1: 0.9, 2: 0.8, 3: 0.7}, "still the highest"),
        ({1: 0.75, 2: 0.8, 3: 0.7}, "between"),
        ({1: 0.6, 2: 0.8, 3: 0.7}, "the lowest"),
    ],
)
def test_where_the_first_mean_lies(means, place):
    assert judging.place_of_best(means) == place


def test_what_follows_is_told_case_by_case():
    right = {case: word for case, (word, _) in judging.CLAIMED.items()}
    assert judging.check_claimed(right).right is True
    assert judging.check_claimed({**right, "B": "follows"}).right is False
    assert "no proof" in judging.check_claimed({**right, "B": "follows"}).text
    assert "none of follows" in judging.check_claimed({**right, "C": "maybe"}).text
    assert judging.check_claimed({**right, "A": ...}).right is None
    assert "a dict" in judging.check_claimed("follows").text
