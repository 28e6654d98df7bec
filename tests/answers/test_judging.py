"""Code that decides: what is right is taken, and each mistake is named."""

import pytest

from ftkit import answers, decide
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
    saved = decide.break_even(
        decide.cost_of_call(1074, 0, (0.5, 0)), decide.cost_of_call(74, 0, (0.5, 0)), 4
    )
    assert saved.calls == answers.find_exercise("06.1").right
    found = [str(rank) for rank in range(4)]
    assert decide.context_precision(found, {"1", "3"}) == answers.find_exercise("06.2").right
    told = decide.choose(lacks="facts", facts_change="weekly").what
    assert told == answers.find_exercise("06.3").right


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
