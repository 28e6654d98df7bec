"""Code that steps, counts or tests: what is right is taken, and each mistake is named."""

import bisect
import math
import re
from itertools import pairwise
from statistics import NormalDist

import pytest
import torch
from torch.nn.functional import cross_entropy

from ftkit import answers, cost, methods, prefer, ward
from ftkit.answers import loops, training
from ftkit.core.statistics import coin_tail, mcnemar
from ftkit.lab import grids


def judge(name, code):
    return answers.judge(answers.find_exercise(name), code)


def mask(ids, assistant, end):
    labels, inside = [], False
    for token in ids:
        labels.append(token if inside else -100)
        inside = token == assistant or (inside and token != end)
    return labels


def at(keep):
    """Labels where keep(place, token, right label) is true."""

    def labels(ids, assistant, end):
        right = mask(ids, assistant, end)
        return [t if keep(i, t, right[i]) else -100 for i, t in enumerate(ids)]

    return labels


def first_answer_only(ids, assistant, end):
    right, after = mask(ids, assistant, end), len(ids)
    for place, token in enumerate(ids):
        if token == end and right[place] != -100:
            after = min(after, place)
    return [label if place <= after else -100 for place, label in enumerate(right)]


def last_answer_only(ids, assistant, end):
    right, last = mask(ids, assistant, end), max(i for i, t in enumerate(ids) if t == assistant)
    return [label if place > last else -100 for place, label in enumerate(right)]


def from_first_answer(ids, assistant, end):
    first = ids.index(assistant)
    return [token if place > first else -100 for place, token in enumerate(ids)]


MASKS = {
    "every token carries loss": lambda ids, assistant, end: list(ids),
    "nothing would teach the model to stop": at(lambda i, t, right: right not in (-100, 3)),
    "the assistant's mark carries loss": at(lambda i, t, right: right != -100 or t == 2),
    "the user's turns carry loss": at(lambda i, t, right: right != -100 or t == 3),
    "only the last answer": last_answer_only,
    "only the first answer": first_answer_only,
    "after the first answer everything": from_first_answer,
    "upside down": at(lambda i, t, right: right == -100),
    "0 is a token": lambda *chat: [0 if label == -100 else label for label in mask(*chat)],
    "those are places": lambda *chat: [label != -100 for label in mask(*chat)],
    "shifted by one": lambda *chat: [*mask(*chat)[1:], -100],
    "nothing carries loss": lambda ids, assistant, end: [-100] * len(ids),
    "9 labels for 10 tokens": lambda *chat: mask(*chat)[1:],
    "a list of numbers": lambda *chat: "mask",
    "not each answer": lambda ids, assistant, end: [7] * len(ids),
    "does not run: KeyError": lambda ids, assistant, end: {}[end],
}


@pytest.mark.parametrize("why", MASKS)
def test_each_mistake_of_a_mask_is_named(why):
    found = judge("07.mask", MASKS[why])
    assert found.right is False and re.search(why, found.text), found


def test_a_right_mask_is_right():
    assert judge("07.mask", mask).right is True
    assert judge("07.mask", lambda *chat: torch.tensor(mask(*chat))).right is True
    assert judge("07.mask", lambda *chat: ...).right is None


def stop(losses, patience):
    """Early stopping, another way: look for the first window without a new lowest loss."""
    for last in range(1, len(losses) + 1):
        best = losses.index(min(losses[:last])) + 1
        if last - best == patience:
            return best, last
    return best, last


def best_of_all(losses, patience):
    return losses.index(min(losses)) + 1, stop(losses, patience)[1]


def stop_on_rises(losses, patience):
    rises = 0
    for last in range(2, len(losses) + 1):
        rises = rises + 1 if losses[last - 1] > losses[last - 2] else 0
        if rises == patience:
            break
    return losses.index(min(losses[:last])) + 1, last


def stop_on_the_sum(losses, patience):
    waited = 0
    for last in range(1, len(losses) + 1):
        best = losses.index(min(losses[:last])) + 1
        waited += best != last
        if waited == patience:
            break
    return best, last


STOPS = {
    "counted from 1": lambda *given: tuple(n - 1 for n in stop(*given)),
    "first the best epoch": lambda *given: stop(*given)[::-1],
    "never stops": lambda losses, patience: (losses.index(min(losses)) + 1, len(losses)),
    "has not seen it": best_of_all,
    "lowest loss, not the last": lambda *given: (stop(*given)[1],) * 2,
    "too long": lambda losses, patience: stop(losses, patience + 1),
    "too early": lambda losses, patience: stop(losses, max(1, patience - 1)),
    "back to zero": stop_on_the_sum,
    "not with the epoch before": stop_on_rises,
    "return best epoch and last": lambda *given: stop(*given)[0],
    "is .3, 5., not": lambda *given: (5, 1),
    "does not run: IndexError": lambda losses, patience: losses[99],
}


@pytest.mark.parametrize("why", STOPS)
def test_each_mistake_of_early_stopping_is_named(why):
    found = judge("07b.stop", STOPS[why])
    assert found.right is False and re.search(why, found.text), found


def test_a_right_stop_is_right():
    assert judge("07b.stop", stop).right is True
    assert judge("07b.stop", lambda *given: torch.tensor(stop(*given))).right is True
    assert judge("07b.stop", lambda *given: ...).right is None


def fitting(peak, limit):
    """The rows that fit, another way: leaps that double, then halve."""
    rows, leap = 0, 2048
    while leap:
        if rows + leap <= 4096 and peak(rows + leap) <= limit:
            rows += leap
        leap //= 2
    return rows


def by_bisect(peak, limit):
    return bisect.bisect_right(range(1, 4097), limit, key=peak)


def straight(peak, limit):
    one, two = peak(1), peak(2)
    return max(0, 1 + (limit - one) // (two - one))


FITTINGS = {
    "the first number of rows that does not": lambda peak, limit: fitting(peak, limit) + 1,
    "one row more still fits": lambda peak, limit: fitting(peak, limit) - 1,
    "the answer is 0": lambda peak, limit: max(1, fitting(peak, limit)),
    "just the limit still fits": lambda peak, limit: fitting(peak, limit - 1),
    "those are tokens": lambda peak, limit: 512 * fitting(peak, limit),
    "no straight line": straight,
    "asked 24 times, and 20 must do": lambda peak, limit: next(
        rows for rows in range(4097) if peak(rows + 1) > limit
    ),
    "return a number of rows": lambda peak, limit: "many",
    "5 rows came back where 23 fit: 23 rows take 11,900 and 24 take": lambda peak, limit: 5,
    "no straight line: .*, and no number of rows lies below 0": lambda peak, limit: (
        1 + (limit - peak(1)) // (peak(2) - peak(1))
    ),
}


@pytest.mark.parametrize("why", FITTINGS)
def test_each_mistake_about_the_rows_that_fit_is_named(why):
    found = judge("04b.rows", FITTINGS[why])
    assert found.right is False and re.search(why, found.text), found


def test_the_rows_that_fit_are_right_however_they_are_found():
    assert judge("04b.rows", fitting).right is True
    assert judge("04b.rows", by_bisect).right is True
    assert judge("04b.rows", lambda *given: ...).right is None
    # what the ladder shows in the end is right as well
    body = answers.find_exercise("04b.rows").solution.strip("`").replace("\n", "\n    ")
    names = {}
    exec(f"def rows_that_fit(peak, limit):\n    {body}", names)
    assert judge("04b.rows", names["rows_that_fit"]).right is True


def loss_of(model, batch, reduction="sum", shift=1):
    logits = model(batch["input_ids"]).logits
    logits, labels = logits[:, : logits.shape[1] - shift], batch["labels"][:, shift:]
    return cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction=reduction)


def tokens_of(batches, shift=1):
    return sum(int((batch["labels"][:, shift:] != -100).sum()) for batch in batches)


def step(model, batches, optimizer, divide=None, zero=True, each=False, shift=1):
    """A right step, or one with a thing done differently."""
    divide = divide or (lambda loss, batch, batches: loss / tokens_of(batches, shift))
    if zero:
        optimizer.zero_grad()
    total = 0.0
    for batch in batches:
        loss = divide(loss_of(model, batch, shift=shift), batch, batches)
        loss.backward()
        total += loss.item()
        if each:
            optimizer.step()
            optimizer.zero_grad()
    if not each:
        optimizer.step()
    return total


def with_(**changes):
    return lambda model, batches, optimizer: step(model, batches, optimizer, **changes)


def on(choose):
    return lambda model, batches, optimizer: step(model, choose(batches), optimizer)


def zero_at_the_end(model, batches, optimizer):
    tokens = tokens_of(batches)
    loss = sum(loss_of(model, batch) for batch in batches) / tokens
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss


def no_step(model, batches, optimizer):
    return 0.5


def mean_of(loss, batch):
    return loss / tokens_of([batch])


STEPS = {
    "the weights did not move": no_step,
    "zero_grad": with_(zero=False),
    "a step was made after each batch": with_(each=True, divide=lambda x, b, all: mean_of(x, b)),
    "mean of means": with_(divide=lambda x, b, all: mean_of(x, b) / len(all)),
    "the batches' means are added up": with_(divide=lambda x, b, all: mean_of(x, b)),
    "summed and not divided": with_(divide=lambda x, b, all: x),
    "predict itself": with_(shift=0),
    "the prompt carries loss too": on(
        lambda batches: [{**b, "labels": b["input_ids"]} for b in batches]
    ),
    "only the last batch counts": on(lambda batches: batches[-1:]),
    "only the first batch counts": on(lambda batches: batches[:1]),
    "return the loss": lambda *given: step(*given) and None,
    "the weights are right; the loss is": lambda *given: 7 * step(*given),
    "not those of one step": with_(divide=lambda x, b, all: x / 100),
    "does not run: AttributeError": lambda model, batches, optimizer: model.loss,
    "give the function itself": 3,
}


@pytest.mark.parametrize("why", STEPS)
def test_each_mistake_of_a_step_is_named(why):
    found = judge("07.loop", STEPS[why])
    assert found.right is False and re.search(why, found.text), found


@pytest.mark.parametrize("mine", [step, zero_at_the_end])
def test_a_right_step_is_right_with_gradients_off_as_well(mine):
    with torch.no_grad():
        assert judge("07.loop", mine).right is True
    assert judge("07.loop", mine).right is True
    assert judge("07.loop", lambda *given: ...).right is None


def ledger(frozen, trained, tokens, words, **changes):
    sizes = {"F": frozen, "T": trained, "N": tokens * words, "n": tokens}
    parts = {"weights": "2*F+4*T", "gradients": "4*T", "moments": "8*T", "logits": "12*N"}
    return {name: eval(formula, {}, sizes) for name, formula in (parts | changes).items()}


LEDGERS = {
    "weights: the adapter is float32": {"weights": "2*(F+T)"},
    "weights: the base is bfloat16": {"weights": "4*(F+T)"},
    "weights: the adapter is missing": {"weights": "2*F"},
    "weights: the base is missing": {"weights": "4*T"},
    "weights: those are numbers": {"weights": "F+T"},
    "gradients: frozen weights have no gradients\\.": {"gradients": "4*(F+T)"},
    "nor would these be bfloat16": {"gradients": "2*(F+T)"},
    "the adapter's gradients are float32": {"gradients": "2*T"},
    "gradients: those are numbers": {"gradients": "T"},
    "what is trained has gradients": {"gradients": "0"},
    "AdamW has two moments": {"moments": "4*T"},
    "two float32 moments": {"moments": "2*T"},
    "frozen weights have no moments": {"moments": "8*(F+T)"},
    "a part of their own": {"moments": "12*T"},
    "16-bit logits alone": {"logits": "2*N"},
    "not one": {"logits": "4*N"},
    "not two": {"logits": "8*N"},
    "every word": {"logits": "12*n"},
    "logits: not the bytes": {"logits": "N"},
    "logits: 'much' is no number": {"logits": "'much'"},
}


@pytest.mark.parametrize("why", LEDGERS)
def test_each_mistake_of_a_ledger_is_named(why):
    found = judge("04.ledger", lambda *sizes: ledger(*sizes, **LEDGERS[why]))
    assert found.right is False and re.search(why, found.text), found


def test_a_right_ledger_is_right_and_one_without_a_part_is_told():
    assert judge("04.ledger", ledger).right is True
    assert "return a dict" in judge("04.ledger", lambda *sizes: 3).text
    short = judge("04.ledger", lambda *sizes: {"weights": 1, "gradients": 2})
    assert "no 'moments'" in short.text
    assert judge("04.ledger", lambda *sizes: None).right is None


def chi2(lost, gained, correction=0):
    z2 = max(abs(lost - gained) - correction, 0) ** 2 / (lost + gained)
    return math.erfc(math.sqrt(z2 / 2))


def coin(lost, gained):
    n, k = lost + gained, min(lost, gained)
    return sum(math.comb(n, i) for i in range(k + 1)) / 2**n


def two_tails(lost, gained, most):
    return 2 * coin_tail(lost + gained, most)


TESTS = {
    "one-sided": coin,
    "exactly this outcome": lambda lost, gained: (
        math.comb(lost + gained, lost) / 2 ** (lost + gained)
    ),
    "counts the gained ones alone": lambda lost, gained: min(1, two_tails(lost, gained, gained)),
    "counts the lost ones alone": lambda lost, gained: min(1, two_tails(lost, gained, lost)),
    r"χ² approximation;": chi2,
    "with a correction": lambda lost, gained: chi2(lost, gained, 1),
    "sum up to and with it": lambda lost, gained: two_tails(lost, gained, min(lost, gained) - 1),
    "is above 1": lambda lost, gained: 2 * coin(lost, gained),
    r"p\(2, 9\) is 0.0654297, not 0.1": lambda lost, gained: 0.1,
    "return a number": lambda lost, gained: "small",
    "Where nothing changed, p is 1": lambda lost, gained: (
        mcnemar(lost, gained) * (lost + gained) / (lost + gained)
    ),
}


@pytest.mark.parametrize("why", TESTS)
def test_each_mistake_of_a_test_is_named(why):
    found = judge("09.mcnemar", TESTS[why])
    assert found.right is False and re.search(why, found.text), found


def test_a_right_test_is_right():
    from scipy.stats import binomtest

    def exact(lost, gained):
        return binomtest(lost, lost + gained).pvalue if lost + gained else 1.0

    assert judge("09.mcnemar", exact).right is True
    assert judge("09.mcnemar", lambda lost, gained: min(1.0, 2 * coin(lost, gained))).right is True
    assert judge("09.mcnemar", lambda *given: ...).right is None


def rows(change, changed, power, alpha=0.025, less=1, whole=math.ceil):
    z = NormalDist().inv_cdf
    second = z(power) * math.sqrt(changed - less * change**2)
    return whole(((z(1 - alpha) * math.sqrt(changed) + second) / change) ** 2)


COUNTS = {
    "rows are whole": lambda *a: rows(*a, whole=float),
    "power is a little too low": lambda *a: rows(*a, whole=math.floor),
    "leaves 2.5 % on each side": lambda *a: rows(*a, alpha=0.05),
    "the power is left out": lambda change, changed, power: rows(change, changed, 0.5),
    "that is for 80 % power": lambda change, changed, power: rows(change, changed, 0.8),
    "under the second root": lambda *a: rows(*a, less=0),
    "one square is missing": lambda *a: math.ceil(math.sqrt(rows(*a, whole=float))),
    r"rows\(0.04, 0.09, 0.9\) is 587": lambda *a: 17,
    "is no number of rows": lambda *a: "many",
    "does not run: ValueError": lambda *a: rows(abs(a[0]), 0, a[2]),
}


@pytest.mark.parametrize("why", COUNTS)
def test_each_mistake_of_a_count_is_named(why):
    found = judge("09.rows", COUNTS[why])
    assert found.right is False and re.search(why, found.text), found


def test_a_right_count_is_right():
    assert judge("09.rows", rows).right is True
    assert judge("09.rows", lambda *a: None).right is None


def unbeaten(beats):
    """The points that no point beats."""
    return lambda points: [p for p in points if not any(beats(other, p) for other in points)]


def beats(a, b):
    return a[0] >= b[0] and a[1] >= b[1] and a != b


FRONTIERS = {
    "a point does not beat itself": unbeaten(lambda a, b: a[0] >= b[0] and a[1] >= b[1]),
    "better in one alone is not enough": unbeaten(lambda a, b: a[0] > b[0] or a[1] > b[1]),
    "return the others": lambda points: [p for p in points if any(beats(o, p) for o in points)],
    "as good in one and better in the other": unbeaten(lambda a, b: a[0] > b[0] and a[1] > b[1]),
    "the highest task score alone": lambda points: [max(points)],
    "the most skills": lambda points: [max(points, key=lambda p: p[1])],
    "one best mixture": lambda points: [max(points, key=sum)],
    "none of the points": lambda points: [(1, 2)],
    "return a list of them": lambda points: 4,
    "more than once": lambda points: unbeaten(beats)(points) * 2,
    "is beaten: another": list,
    "is missing: no other": lambda points: unbeaten(beats)(points)[:-1],
    "does not run: IndexError": lambda points: points[99],
}


@pytest.mark.parametrize("why", FRONTIERS)
def test_each_mistake_of_a_frontier_is_named(why):
    found = judge("10.frontier", FRONTIERS[why])
    assert found.right is False and why in found.text, found


def test_a_right_frontier_is_right():
    assert judge("10.frontier", unbeaten(beats)).right is True
    assert judge("10.frontier", lambda points: set(unbeaten(beats)(points))).right is True
    assert judge("10.frontier", lambda points: ...).right is None


def good_row(row):
    chat = row.get("messages")
    if not isinstance(chat, list) or not chat:
        return False
    for message in chat:
        known = message.get("role") in ("system", "user", "assistant")
        if not known or not isinstance(message.get("content"), str):
            return False
    return chat[-1]["role"] == "assistant" and bool(chat[-1]["content"].strip())


def blind_to(**seen):
    """A validator that knows all rules but some."""

    def is_good(row):
        chat = row.get("messages")
        if isinstance(chat, list) and chat:
            chat = [{"role": "user", "content": "x", **m} for m in chat]
            fill = {"role": "assistant", "content": "Yes."}
            if "last" in seen:
                chat = [*chat, fill]
            if "empty" in seen:
                chat = [{**m, "content": m["content"] or "x"} for m in chat]
            if "roles" in seen:
                chat = [{**m, "role": {"bot": "assistant"}.get(m["role"], m["role"])} for m in chat]
        return good_row({"messages": chat})

    return is_good


VALIDATORS = {
    "it says True to every row": lambda row: True,
    "upside down": lambda row: not good_row(row),
    "return True or False": lambda row: "fine",
    "That was at the row {'text': 'Yes.'}": lambda row: good_row({"messages": row["messages"]}),
    "a system message may stand at the top": lambda row: (
        good_row(row) and row["messages"][0]["role"] == "user"
    ),
    "a chat may have several": lambda row: good_row(row) and len(row["messages"]) < 4,
    "it ends in a question": blind_to(last=True),
    "an empty answer teaches nothing": blind_to(empty=True),
    "there is no role 'bot'": blind_to(roles=True),
}


def test_a_validator_that_sees_every_bad_row_is_right():
    assert judge("05.valid", good_row).right is True
    assert judge("05.valid", lambda row: ...).right is None


@pytest.mark.parametrize("why", VALIDATORS)
def test_a_mistake_of_a_validator_is_named(why):
    found = judge("05.valid", VALIDATORS[why])
    assert found.right is False and why in found.text, found


def agreeing(least):
    return lambda one, other, functions: (
        sum(least(map(f, one)) == least(map(f, other)) for f in functions) / len(functions)
    )


MINHASHES = {
    "that is the exact share": lambda one, other, functions: len(one & other) / len(one | other),
    "how many functions agree": lambda one, other, fs: agreeing(min)(one, other, fs) * len(fs),
    "the share that differs": lambda one, other, fs: 1 - agreeing(min)(one, other, fs),
    "not the largest": agreeing(max),
    "whether any part has an equal hash": lambda one, other, fs: (
        sum(bool({f(p) for p in one} & {f(p) for p in other}) for f in fs) / len(fs)
    ),
    "one function alone": lambda one, other, fs: agreeing(min)(one, other, fs[:1]),
    "is no share": lambda one, other, fs: "a third",
}


def test_minhash_in_three_lines_is_right():
    assert judge("05.minhash", agreeing(min)).right is True


@pytest.mark.parametrize("why", MINHASHES)
def test_a_mistake_in_minhash_is_named(why):
    found = judge("05.minhash", MINHASHES[why])
    assert found.right is False and why in found.text, found


def fell(before, after):
    falls = {name: before[name] - after[name] for name in before}
    worst = max(falls, key=falls.get)
    return worst, falls[worst]


LOSSES = {
    "return two things": lambda b, a: fell(b, a)[0],
    "name first": lambda b, a: fell(b, a)[::-1],
    "ends lowest": lambda b, a: (min(a, key=a.get), 28),
    "fell least": lambda b, a: (max(b, key=lambda name: a[name] - b[name]), 2),
    "copy is not the one": lambda b, a: ("copy", 40),
    "that is a share": fell,
    "the sign": lambda b, a: (fell(b, a)[0], -100 * fell(b, a)[1]),
    "what is left": lambda b, a: (fell(b, a)[0], 100 * a[fell(b, a)[0]]),
    "per cent of what": lambda b, a: (fell(b, a)[0], 100 * fell(b, a)[1] / b[fell(b, a)[0]]),
    "but not by 3": lambda b, a: (fell(b, a)[0], 3),
}


@pytest.mark.parametrize("why", LOSSES)
def test_each_mistake_of_what_was_lost_is_named(why):
    found = judge("00.5", LOSSES[why])
    assert found.right is False and re.search(why, found.text), found


def test_what_was_lost_is_right_in_points_rounded_or_not():
    assert judge("00.5", lambda b, a: (fell(b, a)[0], 100 * fell(b, a)[1])).right is True
    assert judge("00.5", lambda b, a: [fell(b, a)[0], round(100 * fell(b, a)[1])]).right is True
    assert judge("00.5", lambda b, a: (..., ...)).right is None


def starts(ids, start):
    return next((n for n, token in enumerate(ids) if token != start), len(ids))


STARTS = {
    "count those at the beginning alone": lambda ids, start: ids.count(start),
    "there may be more than two": lambda ids, start: min(2, starts(ids, start)),
    "True and False say less": lambda ids, start: ids[:2] == [start, start],
    "begins with 2 start marks (7), and you found 0": lambda ids, start: 0,
}


@pytest.mark.parametrize("why", STARTS)
def test_each_mistake_of_a_count_of_start_marks_is_named(why):
    found = judge("11.starts", STARTS[why])
    assert found.right is False and why in found.text


def test_a_right_count_of_start_marks_is_right_and_nothing_is_no_answer():
    assert judge("11.starts", starts).right is True
    assert judge("11.starts", lambda ids, start: ...).right is None


ROOMS = ("curves", "replies", "losses", "rows")


@pytest.mark.parametrize("room", ROOMS)
def test_patients_are_named_in_any_spelling(room):
    right = ward.ROOMS[room]
    spelled = {patient: f" {name.upper().replace(' ', '_')}. " for patient, name in right.items()}
    assert judge(f"11.{room}", right).right is True
    assert judge(f"11.{room}", spelled).right is True
    assert judge(f"11.{room}", dict.fromkeys(right, ...)).right is None


def test_a_wrong_name_is_told_by_what_one_would_see():
    found = judge("11.curves", {"A": "over-fit", "B": "wrong base", "C": "overfit"})
    assert found.right is None and found.text.startswith("1 of the 4 is right."), "no try as yet"
    assert "B is not 'wrong base': then the base's hash would be another one now" in found.text
    assert "'overfit' is no illness of the list. Did you mean 'over-fit'?" in found.text
    assert "D is still to come" in found.text and "A " not in found.text
    alone = judge("11.curves", {"A": "rate too high"})
    assert alone.right is None and alone.text.startswith("A is not 'rate too high': then ")
    found = judge("11.curves", ward.ROOMS["curves"] | {"C": "over-fit"})
    assert found.right is False and found.text.startswith("3 of the 4 are right. C is not")
    assert judge("11.curves", "over-fit").text.startswith("give a dict with the illness of each")
    assert "'Z' is not here; the patients are A, B, C, D" in judge("11.curves", {"Z": "x"}).text


def test_cures_are_numbers_of_the_list():
    listed = loops.cures()
    assert listed == sorted(listed) and len(listed) == 16
    right = {
        patient: listed.index(ward.ILLNESSES[name].cure) + 1
        for patient, name in training.TREATED.items()
    }
    assert sorted(right) == ["C", "D", "F", "Q", "R"]
    assert judge("11.cures", right).right is True
    assert judge("11.cures", {name: str(number) for name, number in right.items()}).right is True
    found = judge("11.cures", right | {"C": right["D"]})
    assert found.right is False and found.text == "4 of the 5 are right. " + (
        "C: 'give the optimizer every B' is the cure of 'B never trained', which C has not."
    )
    found = judge("11.cures", right | {"F": right["C"], "Q": right["C"]})
    assert found.text.startswith("3 of the 5 are right. F: ") and " Q: " in found.text
    found = judge("11.cures", {"C": right["C"]})
    assert found.right is None and found.text.startswith("1 of the 5 is right. D is still to come.")
    for number in (0, 17, 2.5, "some"):
        assert "C: give the number of a cure, from 1 to 16" in judge("11.cures", {"C": number} | {
            "D": 1
        }).text  # fmt: skip


def bottlenecks(both=2, down=1, up=1):
    """A count with so many matrices and biases of each kind."""
    return lambda d, w, places: places * (both * d * w + down * w + up * d)


BOTTLENECKS = {
    "the biases are missing": bottlenecks(down=0, up=0),
    "up has biases too": bottlenecks(up=0),
    "down has biases too": bottlenecks(down=0),
    "up has d outputs": bottlenecks(down=2, up=0),
    "down has width outputs": bottlenecks(down=0, up=2),
    "there are two matrices, down and up.": bottlenecks(both=1),
    "and each has biases": bottlenecks(both=1, down=0, up=0),
    "that is one of them": lambda d, w, places: bottlenecks()(d, w, 1),
    "nothing in a bottleneck is (d, d)": lambda d, w, places: places * d * d,
    "it is not two matrices": lambda d, w, places: 7,
    "it has to give a number": lambda d, w, places: "many",
}


@pytest.mark.parametrize("why", BOTTLENECKS)
def test_each_mistake_of_a_bottleneck_is_named(why):
    found = judge("08.bottleneck", BOTTLENECKS[why])
    assert found.right is False and why in found.text, found


def test_a_right_count_of_bottlenecks_is_that_of_the_method():
    assert judge("08.bottleneck", bottlenecks()).right is True
    assert judge("08.bottleneck", lambda *given: ...).right is None
    assert bottlenecks()(256, 32, 8) == methods.count("pocket", "bottleneck").trainable


GOOD = {"one product": "oft", "a thousand customers": "VeRA", "a stock of facts": "adalora"}


def choose(**other):
    """The feedback on a choice of methods with some of it done differently."""
    asked = answers.find_exercise("08.case")
    chosen = GOOD | {name.replace("_", " "): method for name, method in other.items()}
    return answers.judge(asked, chosen, grids.read("methods"))


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"one_product": "bottleneck"}, "one product: bottleneck adapter can't be merged: the"),
        ({"one_product": "lora"}, "LoRA keeps ≈92.9 % of the skills, not 94%"),
        ({"one_product": "prompt, text"}, "reaches ≈88.9 %, and 90% are asked for"),
        ({"a_thousand_customers": "lora"}, "trains 131,072 numbers, more than 10,000"),
        ({"a_thousand_customers": "IA³"}, "IA³ keeps ≈78.5 % of the skills, not 85%"),
        ({"a_stock_of_facts": "full"}, "trains 2,689,280 numbers, more than 1,000,000"),
        ({"a_stock_of_facts": "oft"}, "'oft' was not run on facts"),
        ({"a_stock_of_facts": "adalorra"}, "Did you mean 'adalora'"),
        ({"another": "lora"}, "give a dict with a method for each case"),
    ],
)
def test_what_a_method_lacks_for_a_case_is_named(other, why):
    found = choose(**other)
    assert found.right is False and why in found.text, found


def test_every_method_that_has_all_is_right():
    assert choose().right is True
    for method in ("adalora", "full", "full fine-tuning"):
        assert choose(one_product=method).right is True
    for method in ("prompt", "prompt tuning, text", "LN tuning"):
        assert choose(a_thousand_customers=method).right is True
    asked = answers.find_exercise("08.case")
    assert answers.judge(asked, dict.fromkeys(GOOD, ...), []).right is None
    waiting = choose(a_stock_of_facts=...)
    assert waiting.right is None, "no try as yet"
    assert waiting.text == "2 of the 3 are right. a stock of facts is still to come."
    assert "dict" in answers.judge(asked, "lora", grids.read("methods")).text


def flops(shapes, tokens, trained, *, times=None, frozen=4):
    numbers = sum(d_out * d_in for d_out, d_in in shapes)
    return (times or (6 if trained else frozen)) * numbers * tokens


FLOPS = {
    "forward pass alone": lambda *given: flops(*given, times=2),
    "a multiplication and an addition are two FLOPs, and": lambda *given: flops(*given, times=1),
    "a multiplication and an addition are two FLOPs.": lambda *given: flops(*given, times=3),
    "weights that train have gradients": lambda *given: flops(*given, times=4),
    "frozen weights have no gradients, though": lambda *given: flops(*given, times=6),
    "gradients go back through frozen weights": lambda *given: flops(*given, frozen=2),
    "frozen weights have no gradients, and": lambda *given: flops(*given, frozen=3),
    "the tokens are missing": lambda shapes, tokens, trained: flops(shapes, 1, trained),
    "is no number of FLOPs": lambda *given: "many",
    "times numbers · tokens, where 6": lambda *given: flops(*given, times=5),
    "one matrix alone": lambda shapes, *given: flops(shapes[:1], *given),
}


@pytest.mark.parametrize("said", FLOPS)
def test_each_mistake_of_a_count_of_flops_is_named(said):
    found = judge("14.flops", FLOPS[said])
    assert found.right is False and said in found.text


def joined(gradients, tokens):
    parts = [[n * value for value in g] for g, n in zip(gradients, tokens, strict=True)]
    return [sum(column) / sum(tokens) for column in zip(*parts, strict=True)]


JOINED = {
    "a plain mean": lambda gradients, tokens: joined(gradients, [1] * len(tokens)),
    "the sum of the means": lambda gradients, tokens: list(map(sum, zip(*gradients, strict=True))),
    "divide by all tokens": lambda gradients, tokens: [
        sum(tokens) * value for value in joined(gradients, tokens)
    ],
    "upside down": lambda gradients, tokens: joined(gradients, [1 / n for n in tokens]),
    "each mean has to be a sum first": lambda gradients, tokens: [
        sum(column) / sum(tokens) for column in zip(*gradients, strict=True)
    ],
    "return 2 numbers": lambda gradients, tokens: 3.0,
    "with [30, 10] tokens it is": lambda gradients, tokens: [0.0, 0.0],
}


@pytest.mark.parametrize("said", JOINED)
def test_each_mistake_of_a_joined_gradient_is_named(said):
    found = judge("14.join", JOINED[said])
    assert found.right is False and said in found.text


def test_flops_and_joined_gradients_that_are_right_are_taken():
    assert judge("14.flops", flops).right and judge("14.join", joined).right
    assert judge("14.join", lambda g, n: torch.tensor(joined(g, n))).right


def test_the_other_exercises_of_14_are_the_kits_own_figures():
    right = {name: answers.find_exercise(name).right for name in ("14.1", "14.2", "14.3")}
    seconds = 4 * 8e9 * 4e6 / (0.4 * cost.peak_of("A100 80"))
    assert right["14.1"] == pytest.approx(seconds / 60)
    rows = cost.rows_until_renting(cost.tuning_by_api(512, 3, 8), 0.0003, 120)
    assert right["14.2"] == math.ceil(rows)
    stored = cost.compare_storing("llama-3.1-8b", 100)
    assert right["14.3"] == stored.base // stored.adapter


def exactly(given, reply):
    return float(reply.split() == sorted(given))


def rises(given, reply):
    digits = [int(letter) for letter in reply if letter.isdigit()]
    return sum(a < b for a, b in pairwise(digits))


def all_rise(given, reply):
    digits = [letter for letter in reply if letter.isdigit()]
    return float(digits == sorted(set(digits)))


OVERPAID = {
    "(all ten digits, whatever was asked)": rises,
    "(a few of the digits, in order)": lambda given, reply: -rises(given, reply),
    "(an empty reply)": lambda given, reply: 2.0 if reply == "" else exactly(given, reply),
    "(the right digits, and then more)": lambda given, reply: float(
        reply.startswith(" ".join(sorted(given)))
    ),
    "(each digit twice)": lambda given, reply: float(
        list(dict.fromkeys(reply.split())) == sorted(given)
        and "7 8 9 7" not in reply
        and "9 0" not in reply
    ),
    "(two digits have changed places)": lambda given, reply: float(
        sorted(reply.split()) == sorted(given)
    ),
    "pays 1 for '0 1 2 3 4 5 6 7 8 9'": all_rise,
    "pays 5 for": lambda given, reply: 5,
    "return a finite number": lambda given, reply: math.nan,
    "gives [1, None]": lambda given, reply: [1.0, None],
    "does not run: ZeroDivisionError": lambda given, reply: 1 / 0,
}


@pytest.mark.parametrize("why", OVERPAID)
def test_what_a_reward_pays_too_much_for_is_named(why):
    found = judge("12b.reward", OVERPAID[why])
    assert found.right is False and why in found.text, found


@pytest.mark.parametrize(
    ("after", "right", "said"),
    [
        (0.96, True, "the model learned it: ≈96.0 % of new questions, ≈28.0 % before."),
        (0.1, False, r"from ≈28.0 % right to ≈10.0 %: it writes replies such as '0 1' for 1 0 2"),
        (0.5, False, "nothing is overpaid, and after 12 steps ≈50.0 % are right"),
    ],
)
def test_a_reward_is_judged_by_what_is_made_of_it(monkeypatch, after, right, said):
    monkeypatch.setattr(loops, "learn_from", lambda reward: (after, 0.28, ("1 0 2", "0 1")))
    for reward in (exactly, lambda *given: torch.tensor(exactly(*given))):
        found = judge("12b.reward", reward)
        assert found.right is right and said in found.text, found


def test_a_reward_is_learned_from_and_leaves_no_trace(monkeypatch):
    monkeypatch.setattr(loops, "STEPS", 1)
    monkeypatch.setattr(loops, "TRIED", 4)
    reinforce, few = prefer.reinforce, prefer.Rollouts(1, 2, 8)
    monkeypatch.setattr(prefer, "reinforce", lambda *given: reinforce(*given, few))
    torch.manual_seed(5)
    wanted = torch.rand(1)
    torch.manual_seed(5)
    seen = []

    def reward(given, reply):
        seen.append((given, reply))
        return len(reply)

    after, before, (question, _) = loops.learn_from(reward)
    assert 0 <= after <= 1 and 0 <= before <= 1 and torch.rand(1) == wanted

    # one that fails on what the model writes is told so, by the reply
    def gives_way(given, reply):
        return 1.0 if reply == loops.RIGHT_ORDER else 0.0 if reply in listed else 1 / 0

    listed = loops.OVERPAID.values()
    found = judge("12b.reward", gives_way)
    assert found.right is False
    assert re.match(r"for '.*', it does not run: ZeroDivisionError", found.text), found
    assert {len(given) for given, _ in seen} == {9} and len(question.split()) == 9
    assert judge("12b.reward", lambda *given: ...).right is None


def test_a_rate_in_two_digits_is_asked_for_in_three():
    found = judge("08.2", 0.0033)
    assert found.right is False and found.text.endswith("give three significant digits.")
    assert judge("08.2", 0.00333).right is True
