"""Code of a reader's own that steps, counts or tests, held against the kit's: the first mistake.

    check_mask, check_step, check_stop    labels of a chat; a step; early stopping (07, 07b)
    check_ledger, check_fitting           the bytes of a LoRA step; the rows that fit (04, 04b)
    check_mcnemar(p), check_rows(rows)    an exact test; how many rows show a difference (09)
    check_frontier, check_most_lost       what no other pair beats; what fell most (10, 00)
    check_validator, check_minhash        can a row be learned from; how alike are two sets (05)
    check_bottleneck, check_cases         what adapters train; {case: method}, by a grid (08)
    check_flops(flops), check_joined(join) FLOPs of a step; what several processes make of it (14)
    check_starts, check_patients, …       start marks of a row; {patient: illness}, or its cure (11)
    check_reward(reward)                  a reward, by what a model makes of it (12b)

Each runs a reader's function on inputs of its own; what it has to give stands in its docstring.
"""

import hashlib
import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from types import SimpleNamespace
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from .. import lora, methods, models, prefer, ward
from ..core.errors import nearest
from ..core.results import percent
from ..core.statistics import coin_tail, mcnemar, rows_needed
from .comparing import (
    A_SHARE,
    NOTHING,
    as_words,
    attempt,
    is_unanswered,
    number_fault,
    plain,
    read_number,
    spell,
    tell_right,
)  # fmt: skip
from .exercise import Feedback
from .matrices import seeded

BOS, USER, ASSISTANT, END = 0, 1, 2, 3  # the marks of the chats that `check_mask` makes up
IGNORED = -100
ONE_TURN = [BOS, USER, 20, 21, END, ASSISTANT, 30, 31, 32, END]
TWO_TURNS = [*ONE_TURN, USER, 22, END, ASSISTANT, 33, END]


def answer_places(ids: Sequence[int]) -> list[list[int]]:
    """The places of each answer, its end mark last."""
    answers, inside = [], False
    for place, token in enumerate(ids):
        if inside:
            answers[-1].append(place)
            inside = token != END
        elif token == ASSISTANT:
            answers.append([])
            inside = True
    return answers


def labels_at(ids: Sequence[int], places: Sequence[int]) -> list[int]:
    """The ids at these places, and −100 elsewhere."""
    return [token if place in places else IGNORED for place, token in enumerate(ids)]


def check_mask(labels: Callable[[list[int], int, int], Sequence[int]]) -> Feedback:
    """Hold labels(ids, assistant, end) against what a trainer is to learn of a chat.

    ids: the tokens of a chat; assistant, end: the ids of the mark that opens an answer and of the
    one that closes every turn. What comes back is as long as ids: the token where it carries loss
    (each answer and its end mark), −100 elsewhere.
    """
    for ids in (ONE_TURN, TWO_TURNS):
        found, fault = attempt(labels, list(ids), ASSISTANT, END)
        if fault is not None:
            return fault
        if mistake := mask_mistake(plain(found), ids):
            return Feedback(False, mistake)
    return Feedback(True, "every answer and its end mark carry loss, and nothing else.")


def mask_mistake(found: Any, ids: Sequence[int]) -> str:
    """The first mistake of a chat's labels, or ""."""
    answers = answer_places(ids)
    every = [place for answer in answers for place in answer]
    right = labels_at(ids, every)
    if not isinstance(found, list):
        return f"labels have to be a list of numbers; this is of type {type(found).__name__}."
    if found == right:
        return ""
    if len(found) != len(ids):
        return f"{len(found)} labels for {len(ids)} tokens: one for each, −100 where no loss is."
    wrong = wrong_turns(ids, answers) | wrong_labels(ids, right, every)
    named = next((why for why, value in wrong.items() if found == value), "")
    return named or "it is not each answer with its end mark, and −100 elsewhere."


def wrong_turns(ids: Sequence[int], answers: Sequence[Sequence[int]]) -> dict[str, list[int]]:
    """Labels at the wrong places, by what is wrong with them."""
    every = [place for answer in answers for place in answer]
    openings = [answer[0] - 1 for answer in answers]
    ends = [place for place, token in enumerate(ids) if token == END]
    return {
        "every token carries loss: the prompt is to be read, not learned.": list(ids),
        "the end mark of the answer is missing: nothing would teach the model to stop.": labels_at(
            ids, [place for answer in answers for place in answer[:-1]]
        ),
        "the assistant's mark carries loss; the template writes it, not the model.": labels_at(
            ids, [*every, *openings]
        ),
        "the end marks of the user's turns carry loss too.": labels_at(ids, [*every, *ends]),
        "only the last answer carries loss; every answer of the chat is to be learned.": labels_at(
            ids, answers[-1]
        ),
        "only the first answer carries loss; every answer of the chat is to be learned.": labels_at(
            ids, answers[0]
        ),
        "after the first answer everything carries loss: switch off at the end mark.": labels_at(
            ids, range(answers[0][0], len(ids))
        ),
    }


def wrong_labels(
    ids: Sequence[int], right: Sequence[int], every: Sequence[int]
) -> dict[str, list[int]]:
    """Labels that are no labels, or upside down, by what is wrong with them."""
    rest = [place for place in range(len(ids)) if place not in every]
    return {
        "upside down: the prompt carries loss, and the answer does not.": labels_at(ids, rest),
        "what carries no loss is −100, not 0: 0 is a token.": [
            0 if label == IGNORED else label for label in right
        ],
        "those are places that carry loss; a label is the token itself, or −100.": [
            int(place in every) for place in range(len(ids))
        ],
        "the labels are shifted by one; the trainer shifts them itself.": [*right[1:], IGNORED],
        "nothing carries loss.": [IGNORED] * len(ids),
    }


class Tiny(torch.nn.Module):
    """A language model of a few numbers: tokens in, `.logits` out, as transformers' models do."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = torch.nn.Embedding(7, 5), torch.nn.Linear(5, 7)

    def forward(self, input_ids: torch.Tensor, **_: Any) -> SimpleNamespace:
        """The logits (rows, tokens, 7) of `input_ids` (rows, tokens)."""
        return SimpleNamespace(logits=self.head(self.embedding(input_ids).tanh()))


def parts() -> list[dict[str, torch.Tensor]]:
    """Two batches with a different number of answer tokens."""
    ids = torch.tensor([[1, 2, 3, 4, 5], [2, 2, 6, 1, 3], [3, 1, 4, 1, 5], [6, 5, 4, 3, 2]])
    labels = ids.clone()
    labels[:2, :3], labels[2:, :1] = IGNORED, IGNORED
    halves = (slice(0, 2), slice(2, 4))
    return [{"input_ids": ids[half], "labels": labels[half]} for half in halves]


def part_loss(model: Tiny, part: Mapping[str, torch.Tensor], *, shift: int = 1) -> torch.Tensor:
    """The summed loss of a batch's answer tokens."""
    logits, labels = model(part["input_ids"]).logits, part["labels"]
    logits, labels = logits[:, : logits.shape[1] - shift], labels[:, shift:]
    return cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum")


def count_tokens(part: Mapping[str, torch.Tensor], shift: int = 1) -> int:
    """The answer tokens of a batch, as they are predicted."""
    return int((part["labels"][:, shift:] != IGNORED).sum())


def right_step(model: Tiny, batches: Sequence[Mapping], optimizer: torch.optim.Optimizer) -> float:
    """One step over all batches, by the mean over their answer tokens."""
    return sized_step(model, batches, optimizer, [sum(map(count_tokens, batches))] * len(batches))


def sized_step(
    model: Tiny,
    batches: Sequence[Mapping],
    optimizer: torch.optim.Optimizer,
    sizes: Sequence[float],
    shift: int = 1,
) -> float:
    """One step, each batch's loss divided by a size of its own."""
    optimizer.zero_grad()
    total = 0.0
    for part, size in zip(batches, sizes, strict=True):
        loss = part_loss(model, part, shift=shift) / size
        loss.backward()
        total += loss.item()
    optimizer.step()
    return total


def without_zeroing(model: Tiny, batches: Sequence[Mapping], optimizer: Any) -> float:
    """A step that adds to the gradients which the last one left."""
    size = sum(map(count_tokens, batches))
    for part in batches:
        (part_loss(model, part) / size).backward()
    optimizer.step()
    return 0.0


def step_after_each(model: Tiny, batches: Sequence[Mapping], optimizer: Any) -> None:
    """A step of the optimizer for every batch."""
    for part in batches:
        right_step(model, [part], optimizer)


def step_unshifted(model: Tiny, batches: Sequence[Mapping], optimizer: Any) -> None:
    """A step in which each token predicts itself."""
    tokens = sum(count_tokens(part, 0) for part in batches)
    sized_step(model, batches, optimizer, [tokens] * len(batches), 0)


def step_on_all(model: Tiny, batches: Sequence[Mapping], optimizer: Any) -> None:
    """A step in which the prompt carries loss too."""
    right_step(model, [{**part, "labels": part["input_ids"]} for part in batches], optimizer)


def divided_by(size: Callable[[Mapping, int], float]) -> Callable[..., Any]:
    """A step that divides each batch's loss by a size of its own."""
    return lambda model, batches, optimizer: sized_step(
        model, batches, optimizer, [size(part, len(batches)) for part in batches]
    )


def on_some(which: slice) -> Callable[..., Any]:
    """A step over some of the batches."""
    return lambda model, batches, optimizer: right_step(model, batches[which], optimizer)


# Steps that people write instead, by what is wrong with them.
WRONG_STEPS: dict[str, Callable[..., Any]] = {
    "the weights did not move: call optimizer.step() once, at the end.": lambda *_: None,
    "the old gradients are still there in the second step: optimizer.zero_grad() belongs to every "
    "step.": without_zeroing,
    "a step was made after each batch: add up the gradients, and step once.": step_after_each,
    "every batch counts alike: that is the mean of means. Divide by the tokens of *all* "
    "batches.": divided_by(lambda part, n: n * count_tokens(part)),
    "the batches' means are added up: divide by the tokens of all batches.": divided_by(
        lambda part, n: count_tokens(part)
    ),
    "the losses are summed and not divided by the number of answer tokens.": divided_by(
        lambda part, n: 1
    ),
    "each token is asked to predict itself: logits at i belong to the label at i + 1.": (
        step_unshifted
    ),
    "the prompt carries loss too: labels of −100 are to be left out.": step_on_all,
    "only the last batch counts.": on_some(slice(-1, None)),
    "only the first batch counts.": on_some(slice(0, 1)),
}


def trained(step: Callable[..., Any]) -> tuple[list[torch.Tensor], Any]:
    """The weights after two steps of plain gradient descent, and what the second one returned."""
    model = seeded(Tiny())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    with torch.enable_grad():
        step(model, parts(), optimizer)
        returned = step(model, parts(), optimizer)
    return [parameter.detach().clone() for parameter in model.parameters()], returned


def are_close(first: Sequence[torch.Tensor], second: Sequence[torch.Tensor]) -> bool:
    """Whether two lists of weights are the same up to rounding."""
    pairs = zip(first, second, strict=True)
    return all(torch.allclose(a, b, rtol=1e-3, atol=1e-5) for a, b in pairs)


def check_step(step: Callable[..., Any]) -> Feedback:
    """Hold step(model, batches, optimizer) against one step over all batches at once.

    model(input_ids).logits is (rows, tokens, words); each batch has `input_ids` and `labels`, both
    (rows, tokens), not shifted, −100 where no loss is. One step of the optimizer, by the mean over
    the answer tokens of all batches; that mean is returned. The code is run twice in a row.
    """
    both, fault = attempt(trained, step) if callable(step) else attempt(step)
    if fault is not None:
        return fault
    weights, said = both
    wanted, loss = trained(right_step)
    untouched = are_close(weights, list(seeded(Tiny()).parameters()))
    if untouched and (said is None or said is ...):
        return NOTHING
    if not are_close(weights, wanted):
        named = [why for why, wrong in WRONG_STEPS.items() if are_close(weights, trained(wrong)[0])]
        other = "the weights are not those of one step by the mean over all answer tokens."
        return Feedback(False, named[0] if named else other)
    return check_returned(said, loss)


def check_returned(said: Any, loss: float) -> Feedback:
    """Whether a step whose weights are right returns its loss."""
    number = read_number(plain(said))
    if number is None:
        return Feedback(False, "the weights are right; return the loss as a number too.")
    if math.isclose(number.value, loss, rel_tol=1e-3):
        return Feedback(True, "weights and loss are those of one batch that holds all rows.")
    return Feedback(
        False,
        f"the weights are right; the loss is {spell(loss)}, the mean over the answer tokens of all "
        f"batches, and not {spell(number.value)}.",
    )


# Validation losses by epoch and a patience: a turn, a second and lower valley behind a wait that is
# too short for it, one that is long enough, losses that only fall, and a tie.
WATCHED = (
    ([0.9, 0.5, 0.4, 0.45, 0.5, 0.6, 0.7], 2),
    ([0.9, 0.5, 0.6, 0.7, 0.3, 0.2], 2),
    ([0.9, 0.5, 0.6, 0.4, 0.45, 0.3], 2),
    ([0.9, 0.5, 0.4, 0.3], 2),
    ([0.9, 0.5, 0.5, 0.5, 0.4], 2),
    ([0.9, 0.5, 0.6, 0.45, 0.5, 0.4], 1),
)


def right_stop(losses: Sequence[float], patience: int) -> tuple[int, int]:
    """The best epoch until the run stops, and the one after which it stops, counted from 1."""
    best, waited = 0, 0
    for epoch, loss in enumerate(losses):
        if epoch == 0 or loss < losses[best]:
            best, waited = epoch, 0
        else:
            waited += 1
        if waited == patience:
            return best + 1, epoch + 1
    return best + 1, len(losses)


def stop_by_total(losses: Sequence[float], patience: int) -> tuple[int, int]:
    """Early stopping that never begins its waiting anew."""
    best, waited = 0, 0
    for epoch, loss in enumerate(losses):
        if epoch and loss >= losses[best]:
            waited += 1
        else:
            best = epoch
        if waited == patience:
            return best + 1, epoch + 1
    return best + 1, len(losses)


def stop_by_last(losses: Sequence[float], patience: int) -> tuple[int, int]:
    """Early stopping that waits for epochs worse than the one before, not than the best."""
    waited, last = 0, len(losses)
    for epoch in range(1, len(losses)):
        waited = waited + 1 if losses[epoch] > losses[epoch - 1] else 0
        if waited == patience:
            last = epoch + 1
            break
    return losses.index(min(losses[:last])) + 1, last


def wrong_stops(losses: Sequence[float], patience: int) -> dict[str, tuple[int, int]]:
    """What people write instead, by what is wrong with it."""
    best, last = right_stop(losses, patience)
    return {
        "epochs are counted from 1.": (best - 1, last - 1),
        "first the best epoch, then the one after which the run stopped.": (last, best),
        "the run never stops: return after `patience` epochs without a new lowest loss.": (
            losses.index(min(losses)) + 1,
            len(losses),
        ),
        "the best epoch comes after the stop: the run has not seen it.": (
            losses.index(min(losses)) + 1,
            last,
        ),
        "the best epoch is the one with the lowest loss, not the last.": (last, last),
        "it waits one epoch too long: stop as soon as `patience` epochs brought nothing.": (
            right_stop(losses, patience + 1)
        ),
        "it stops one epoch too early: the best epoch itself does not count as waiting.": (
            right_stop(losses, max(1, patience - 1))
        ),
        "a new lowest loss has to set the waiting back to zero.": stop_by_total(losses, patience),
        "compare with the best loss so far, not with the epoch before.": stop_by_last(
            losses, patience
        ),
    }


def check_stop(stop: Callable[[list[float], int], Sequence[int]]) -> Feedback:
    """Hold stop(losses, patience) against early stopping by the validation loss.

    losses: one per epoch. It ends once `patience` epochs in a row brought no new lowest loss, else
    with the last one; what comes back is (best epoch until then, last epoch), counted from 1.
    """
    given = []
    for losses, patience in WATCHED:
        found, fault = attempt(stop, list(losses), patience)
        if fault is not None:
            return fault
        numbers = plain(found)
        if not isinstance(numbers, Sequence) or isinstance(numbers, str) or len(numbers) != 2:
            return Feedback(False, f"{spell(found)} came back: return best epoch and last epoch.")
        given.append(tuple(numbers))
    # a mistake is one that explains every case
    right = [right_stop(*case) for case in WATCHED]
    if given != right:
        wrong = [wrong_stops(*case) for case in WATCHED]
        named = [why for why in wrong[0] if given == [case[why] for case in wrong]]
        k = next(k for k, answer in enumerate(given) if answer != right[k])
        rest = f"stop{WATCHED[k]} is {right[k]}, not {spell(given[k])}."
        return Feedback(False, named[0] if named else rest)
    return Feedback(True, "the best epoch so far, and the last one that was run.")


PARTS = ("weights", "gradients", "moments", "logits")


def check_ledger(ledger: Callable[[int, int, int, int], Mapping[str, float]]) -> Feedback:
    """Hold ledger(frozen, trained, tokens, words) against the bytes of a LoRA step with AdamW.

    A bfloat16 base with a float32 adapter: weights 2 · frozen + 4 · trained, gradients 4 · trained,
    moments 8 · trained, logits and loss 12 · tokens · words; a dict with these four names.
    """
    for sizes in ((8_000_000, 40_000, 512, 1280), (500_000, 9_000, 64, 151)):
        found, fault = attempt(ledger, *sizes)
        if fault is not None:
            return fault
        if not isinstance(found, Mapping):
            return Feedback(False, f"return a dict with the names {', '.join(PARTS)}.")
        if missing := [name for name in PARTS if name not in found]:
            return Feedback(False, f"the ledger has no {missing[0]!r}.")
        for name, (right, wrong) in ledger_parts(*sizes).items():
            if mistake := part_mistake(name, found[name], right, wrong):
                return Feedback(False, mistake)
    return Feedback(True, "weights, gradients, moments and logits, to the byte.")


MOST_ROWS, MOST_QUESTIONS = 4096, 20
STRAIGHT = "it is no straight line: with more rows another moment becomes the fullest."
# Peaks by rows, and a limit: in between, reached exactly, passed by the first row, with a kink
# where another moment becomes the fullest, and with so many rows that counting up takes long.
PEAKS: tuple[tuple[Callable[[int], int], int], ...] = (
    (lambda rows: 5000 + 300 * rows, 12_000),
    (lambda rows: 5000 + 700 * rows, 12_000),
    (lambda rows: 13_000 + 100 * rows, 12_000),
    (lambda rows: max(6000 + 10 * rows, 2000 + 40 * rows), 12_000),
    (lambda rows: 100 + rows, 3900),
)


def right_rows(peak: Callable[[int], int], limit: int) -> int:
    """The most rows whose peak does not pass the limit; 0 where one row already does."""
    return bisect_right(range(1, MOST_ROWS + 1), limit, key=peak)


def wrong_rows(peak: Callable[[int], int], limit: int) -> dict[str, int]:
    """What people give instead, by what is wrong with it."""
    right, one = right_rows(peak, limit), peak(1)
    line = 1 + (limit - one) // (peak(2) - one)
    return {
        "that is the first number of rows that does not fit.": right + 1,
        "one row more still fits.": right - 1,
        "where not even one row fits, the answer is 0.": max(1, right),
        "a peak that is just the limit still fits.": right_rows(peak, limit - 1),
        "those are tokens; return the rows.": 512 * right,
        STRAIGHT: max(0, line),
        f"{STRAIGHT[:-1]}, and no number of rows lies below 0.": line,
    }


def tell_rows(found: float, peak: Callable[[int], int], limit: int) -> str:
    """How a wrong number of rows stands to the right one, with the peaks on both its sides."""
    right = right_rows(peak, limit)
    last = f"{right:,} rows take {peak(right):,} and " if right else ""
    more = f"{right + 1:,} {'take' if right else 'row takes'} {peak(right + 1):,} bytes"
    return f"{found:g} rows came back where {right:,} fit: {last}{more}, the limit is {limit:,}."


def check_fitting(fitting: Callable[[Callable[[int], int], int], int]) -> Feedback:
    """Hold rows_that_fit(peak, limit) against the most rows whose peak does not pass the limit.

    peak(rows) grows with the rows, of which there are 4,096 at most, and may be asked 20 times.
    """
    given = []
    for peak, limit in PEAKS:
        asked = []

        def counted(rows: int, peak: Any = peak, asked: list = asked) -> int:
            asked.append(rows)
            return peak(rows)

        found, fault = attempt(fitting, counted, limit)
        if fault is not None:
            return fault
        number = read_number(plain(found))
        if number is None:
            return Feedback(False, f"{spell(found)} came back: return a number of rows.")
        if len(asked) > MOST_QUESTIONS:
            often = f"`peak` was asked {len(asked):,} times, and {MOST_QUESTIONS} must do"
            return Feedback(False, f"{often}: halve what is left with each question.")
        given.append(number.value)
    # a mistake is one that explains every case
    right = [right_rows(*case) for case in PEAKS]
    if given != right:
        wrong = [wrong_rows(*case) for case in PEAKS]
        named = [why for why in wrong[0] if given == [case[why] for case in wrong]]
        k = next(k for k, answer in enumerate(given) if answer != right[k])
        return Feedback(False, named[0] if named else tell_rows(given[k], *PEAKS[k]))
    return Feedback(True, "the most rows that fit, found in a few questions.")


def part_mistake(name: str, found: Any, right: float, wrong: Mapping[str, float]) -> str:
    """What is wrong with one line of the ledger, or ""."""
    number = read_number(plain(found))
    if number is None:
        return f"{name}: {spell(found)} is no number of bytes."
    if math.isclose(number.value, right, rel_tol=1e-6):
        return ""
    named = [why for why, value in wrong.items() if math.isclose(number.value, value, rel_tol=1e-6)]
    return (
        f"{name}: {named[0] if named else 'not the bytes of a LoRA step; look at what it holds.'}"
    )


def ledger_parts(
    frozen: int, trained: int, tokens: int, words: int
) -> dict[str, tuple[float, Mapping[str, float]]]:
    """Each part's bytes, and what people write instead."""
    both, table = frozen + trained, tokens * words
    weights = {
        "the adapter is float32: four bytes.": 2 * both,
        "the base is bfloat16: two bytes.": 4 * both,
        "the adapter is missing.": 2 * frozen,
        "the base is missing: frozen weights lie in memory too.": 4 * trained,
        "those are numbers, not bytes.": both,
    }
    gradients = {
        "frozen weights have no gradients.": 4 * both,
        "frozen weights have no gradients, nor would these be bfloat16.": 2 * both,
        "the adapter's gradients are float32: four bytes.": 2 * trained,
        "those are numbers, not bytes.": trained,
        "what is trained has gradients.": 0,
    }
    moments = {
        "AdamW has two moments.": 4 * trained,
        "two float32 moments: eight bytes.": 2 * trained,
        "frozen weights have no moments.": 8 * both,
        "the gradients are a part of their own.": 12 * trained,
    }
    logits = {
        "those are the 16-bit logits alone; the loss makes float32 of them.": 2 * table,
        "three float32 tensors of that size are alive at once, not one.": 4 * table,
        "three float32 tensors of that size are alive at once, not two.": 8 * table,
        "one number for every token *and* every word.": 12 * tokens,
    }
    return {
        "weights": (2 * frozen + 4 * trained, weights),
        "gradients": (4 * trained, gradients),
        "moments": (8 * trained, moments),
        "logits": (12 * table, logits),
    }


CHANGED = ((2, 9), (5, 16), (12, 3), (0, 6), (5, 5), (0, 0))  # (lost, gained)


def wrong_tests(lost: int, gained: int) -> dict[str, float]:
    """What people compute instead of the exact two-sided p, by what it is."""
    n, fewer = lost + gained, min(lost, gained)
    if n == 0:
        return {}
    tail = coin_tail(n, fewer)
    chi2 = math.erfc(math.sqrt((gained - lost) ** 2 / n / 2))
    corrected = math.erfc(math.sqrt(max(abs(gained - lost) - 1, 0) ** 2 / n / 2))
    return {
        "that is one-sided: as uneven either way is twice as likely.": tail,
        "that is the probability of exactly this outcome; add those that are more uneven.": (
            math.comb(n, fewer) / 2**n
        ),
        "that is twice the probability of exactly this outcome; add the more uneven ones.": (
            2 * math.comb(n, fewer) / 2**n
        ),
        "that counts the gained ones alone: take the smaller of the two.": min(
            1.0, 2 * coin_tail(n, gained)
        ),
        "that counts the lost ones alone: take the smaller of the two.": min(
            1.0, 2 * coin_tail(n, lost)
        ),
        "that is the χ² approximation; count the coin tosses.": chi2,
        "that is the χ² approximation with a correction; count the coin tosses.": corrected,
        "the smaller count itself belongs to the tail: sum up to and with it.": (
            2 * coin_tail(n, fewer - 1)
        ),
    }


def check_mcnemar(p: Callable[[int, int], float]) -> Feedback:
    """Hold p(lost, gained) against McNemar's exact two-sided test (McNemar 1947)."""
    for lost, gained in CHANGED:
        found, fault = attempt(p, lost, gained)
        if fault is not None and (lost, gained) == (0, 0) and fault.right is False:
            return Feedback(False, f"{fault.text} Where nothing changed, p is 1.")
        if fault is not None:
            return fault
        number, right = read_number(plain(found)), mcnemar(lost, gained)
        if number is not None and number.value > 1 + 1e-6:
            return Feedback(False, f"p({lost}, {gained}) is above 1: the two tails meet, cap it.")
        asked = f"p({lost}, {gained}) is {spell(right)}"
        wrong = wrong_tests(lost, gained)
        if said := number_fault(found, right, wrong, asked, "p: return a number"):
            return Feedback(False, said)
    return Feedback(True, "exact, two-sided, and 1 where nothing changed.")


ASKED = ((0.04, 0.09, 0.9), (0.02, 0.1, 0.8), (0.05, 0.2, 0.8), (-0.02, 0.1, 0.8))


def connor(change: float, changed: float, alpha: float, power: float, *, less: float = 1) -> float:
    """The rows before rounding (Connor 1987); alpha: one side's error; less: on δ² in the root."""
    z = NormalDist().inv_cdf
    with_change = z(power) * math.sqrt(changed - less * change**2)
    return ((z(1 - alpha) * math.sqrt(changed) + with_change) / change) ** 2


def check_rows(rows: Callable[[float, float, float], int]) -> Feedback:
    """Hold rows(change, changed, power) against Connor's count (Connor 1987), at 5 %, two-sided."""
    for change, changed, power in ASKED:
        found, fault = attempt(rows, change, changed, power)
        if fault is not None:
            return fault
        number, right = read_number(plain(found)), rows_needed(change, changed, power)
        if number is None:
            return Feedback(False, f"{spell(found)} is no number of rows.")
        if number.value == right:
            continue
        wrong = wrong_counts(change, changed, power)
        named = [why for why, value in wrong.items() if abs(number.value - value) < 1e-3]
        rest = f"rows({change}, {changed}, {power}) is {right:,}, not {spell(number.value)}."
        return Feedback(False, named[0] if named else rest)
    return Feedback(True, "Connor's count, rounded up.")


def wrong_counts(change: float, changed: float, power: float) -> dict[str, float]:
    """What people compute instead, by what is wrong with it."""
    two_sided = connor(change, changed, 0.025, power)
    return {
        "rows are whole: round up.": two_sided,
        "round up, or the power is a little too low.": math.floor(two_sided),
        "a test at 5 % *two-sided* leaves 2.5 % on each side: z is 1.96.": math.ceil(
            connor(change, changed, 0.05, power)
        ),
        "the power is left out: z_power stands in the second part.": math.ceil(
            connor(change, changed, 0.025, 0.5)
        ),
        "that is for 80 % power: take the one that is asked for.": math.ceil(
            connor(change, changed, 0.025, 0.8)
        ),
        "power is a probability: its z is inv_cdf(power).": math.ceil(
            connor(change, changed, 0.025, NormalDist().cdf(power))
        ),
        "under the second root stands ψ − δ².": math.ceil(
            connor(change, changed, 0.025, power, less=0)
        ),
        "the whole is squared and divided by δ²; one square is missing.": math.ceil(
            math.sqrt(two_sided)
        ),
    }


# (task, skills): what no other one beats stands first; the sixth is as good as the third in one.
FRONTIER = ((0.94, 0.999), (0.97, 0.998), (0.997, 0.95), (0.2, 1.0))
BEATEN = ((0.95, 0.96), (0.977, 0.95), (0.98, 0.91), (0.94, 0.95))


def check_frontier(frontier: Callable[[list[tuple[float, float]]], Sequence[Any]]) -> Feedback:
    """Hold frontier(points) against the (task, skills) pairs that no other one beats, in any order.

    One beats another if it is at least as good in both, and better in one.
    """
    points = [pair for both in zip(BEATEN, FRONTIER, strict=True) for pair in both]
    found, fault = attempt(frontier, list(points))
    if fault is not None:
        return fault
    given = list(plain(found)) if isinstance(plain(found), list | tuple | set) else [found]
    pairs = [tuple(pair) if isinstance(pair, list | tuple) else pair for pair in given]
    if strange := [pair for pair in pairs if pair not in points]:
        return Feedback(False, f"{spell(strange[0])} is none of the points: return a list of them.")
    if len(set(pairs)) < len(pairs):
        return Feedback(False, "a point is there more than once.")
    if set(pairs) == set(FRONTIER):
        return Feedback(True, "no other point is at least as good in both and better in one.")
    wrong = wrong_frontiers(points)
    named = [why for why, value in wrong.items() if value == set(pairs)]
    return Feedback(False, named[0] if named else misplaced(pairs))


def wrong_frontiers(points: Sequence[tuple[float, float]]) -> dict[str, set[tuple[float, float]]]:
    """What people return instead, by what is wrong with it."""
    return {
        "nothing is left: a point does not beat itself, and to be better in one alone is not "
        "enough.": set(),
        "those are the beaten ones; return the others.": set(BEATEN),
        "(0.977, 0.95) is beaten by (0.997, 0.95): as good in one and better in the other.": {
            *FRONTIER,
            (0.977, 0.95),
        },
        "that is the highest task score alone; what keeps more than it is not beaten.": {
            max(points)
        },
        "that is the one with the most skills; what learned more than it is not beaten.": {
            max(points, key=lambda pair: pair[1])
        },
        "that is one best mixture of both; a frontier has all that nothing beats.": {
            max(points, key=sum)
        },
    }


def misplaced(pairs: Sequence[Any]) -> str:
    """The first point that is wrongly there, or missing."""
    if beaten := [pair for pair in pairs if pair in BEATEN]:
        return f"{beaten[0]} is beaten: another point is at least as good in both."
    missing = next(pair for pair in FRONTIER if pair not in pairs)
    return f"{missing} is missing: no other point beats it."


# Rows as people have them, and whether each can be learned from; what is said of a wrong verdict.
ASKED_ROW = {"role": "user", "content": "Is it late?"}
SAID_ROW = {"role": "assistant", "content": "Yes."}
CHATS: tuple[tuple[Any, bool, str], ...] = (
    ([ASKED_ROW, SAID_ROW], True, "a question and its answer are a good row."),
    (
        [{"role": "system", "content": "Be brief."}, ASKED_ROW, SAID_ROW],
        True,
        "a system message may stand at the top.",
    ),
    ([ASKED_ROW, SAID_ROW] * 2, True, "a chat may have several questions and answers."),
    ([ASKED_ROW, SAID_ROW, ASKED_ROW], False, "it ends in a question: there is nothing to learn."),
    ([SAID_ROW, ASKED_ROW], False, "the answer has to come last."),
    ([ASKED_ROW, {**SAID_ROW, "content": ""}], False, "an empty answer teaches nothing."),
    ([ASKED_ROW, {**SAID_ROW, "content": "  \n"}], False, "blanks alone are an empty answer."),
    ([ASKED_ROW, {**SAID_ROW, "role": "bot"}], False, "there is no role 'bot'."),
    ([ASKED_ROW, {**SAID_ROW, "content": None}], False, "a content of None is no text."),
    ([ASKED_ROW, {**SAID_ROW, "content": 5}], False, "a content of 5 is a number, and no text."),
    ([ASKED_ROW, {"role": "assistant"}], False, "a message without content is none: ask `get`."),
    ([], False, "a chat without messages is none."),
    (None, False, "messages may be missing: ask `row.get(\"messages\")` before you look inside."),
    ("Yes.", False, "messages have to be a list; this is a text."),
)  # fmt: skip


def check_validator(is_good: Callable[[dict], bool]) -> Feedback:
    """Hold is_good(row) against rows that can be learned from and rows that can't.

    row: {"messages": [...]}. Good is a list of messages, each with a role (system, user or
    assistant) and a text as content, of which the last is the assistant's and is not empty.
    """
    given = []
    for chat, _, _ in CHATS:
        row = {"text": "Yes."} if chat is None else {"messages": chat}
        found, fault = attempt(is_good, row)
        if fault is not None:
            return fault if fault is NOTHING else told_at(fault, row)
        if not isinstance(plain(found), bool):
            return Feedback(False, f"{spell(found)} came back: return True or False.")
        given.append(plain(found))
    right = [verdict for _, verdict, _ in CHATS]
    if given == right:
        return Feedback(True, "every good row passes, and every bad one is seen.")
    if given == [not verdict for verdict in right]:
        return Feedback(False, "upside down: True is for a good row.")
    if len(set(given)) == 1:
        return Feedback(False, f"it says {given[0]} to every row.")
    chat, verdict, why = next(c for c, said in zip(CHATS, given, strict=True) if said != c[1])
    return Feedback(False, f"it says {not verdict} to the messages {chat!r}, but {why}")


def told_at(fault: Feedback, row: Mapping) -> Feedback:
    """An error of the reader's code with the row at which it came."""
    return Feedback(False, f"{fault.text} That was at the row {dict(row)!r}.")


PIECES = (set("abcdefgh"), set("efghijkl"))  # 4 of 12 parts are in both


def hash_functions(n: int = 256) -> list[Callable[[str], int]]:
    """n hash functions of a text, by BLAKE2b with their numbers."""

    def one(number: int) -> Callable[[str], int]:
        def function(part: str) -> int:
            digest = hashlib.blake2b(f"{number} {part}".encode(), digest_size=6).digest()
            return int.from_bytes(digest, "big")

        return function

    return [one(1000 + number) for number in range(n)]


def minima(parts: set[str], functions: Sequence[Callable[[str], int]]) -> list[int]:
    """The least value of a part under each function."""
    return [min(map(function, parts)) for function in functions]


def right_estimate(one: set[str], other: set[str], functions: Sequence[Callable]) -> float:
    """The share of functions under which both sets have the same least value."""
    pairs = zip(minima(one, functions), minima(other, functions), strict=True)
    return sum(a == b for a, b in pairs) / len(functions)


def wrong_estimates(one: set[str], other: set[str], functions: Sequence[Callable]) -> dict:
    """What people return instead, by what is wrong with it."""
    right = right_estimate(one, other, functions)
    tops = [max(map(f, one)) == max(map(f, other)) for f in functions]
    both = [{f(p) for p in one} & {f(p) for p in other} for f in functions]
    return {
        "that is the exact share, by comparing the sets; MinHash has only the least values.": (
            len(one & other) / len(one | other)
        ),
        "that is how many functions agree; return their share.": right * len(functions),
        "that is the share that differs.": 1 - right,
        "take the least value of each set, not the largest, so that others can compare.": (
            sum(tops) / len(tops)
        ),
        "that is whether any part has an equal hash; compare the two least values.": (
            sum(map(bool, both)) / len(both)
        ),
        "one function alone says 0 or 1: take the mean over all of them.": float(
            minima(one, functions)[0] == minima(other, functions)[0]
        ),
        "each part's hash is one number; the least is taken over the parts of *one* set.": (
            sum(min(map(f, one | other)) == min(map(f, one)) for f in functions) / len(functions)
        ),
    }


def check_minhash(estimate: Callable[[set[str], set[str], list], float]) -> Feedback:
    """Hold estimate(one, other, functions) against MinHash's estimate of two sets' likeness.

    one, other: sets of parts; functions: hash functions, each takes a part and gives a number. What
    comes back is the share of functions under which the least values of both sets are equal.
    """
    functions = hash_functions()
    for one, other in (PIECES, (PIECES[0], PIECES[0]), (set("abc"), set("xyz"))):
        found, fault = attempt(estimate, set(one), set(other), list(functions))
        if fault is not None:
            return fault
        right, wrong = right_estimate(one, other, functions), wrong_estimates(one, other, functions)
        asked = f"the functions agree in {right:.3f} of all cases"
        if said := number_fault(found, right, wrong, asked, A_SHARE):
            return Feedback(False, said)
    return Feedback(True, "the share of functions whose least values agree: about one third here.")


# Shares right before and after: what fell most ends neither lowest nor first.
SKILLS_LOST = (
    (
        {"copy": 0.9, "sums": 0.3, "sort": 0.96, "known": 1.0},
        {"copy": 0.5, "sums": 0.02, "sort": 0.2, "known": 0.98},
    ),
    ({"refusal": 0.8, "topic": 0.5}, {"topic": 0.6, "refusal": 0.75}),
)


def check_most_lost(most: Callable[[dict[str, float], dict[str, float]], Sequence]) -> Feedback:
    """Hold most(before, after), shares by skill, against (the skill that fell most, its points)."""
    for before, after in SKILLS_LOST:
        found, fault = attempt(most, dict(before), dict(after))
        if fault is not None:
            return fault
        if mistake := lost_mistake(found, before, after):
            return Feedback(False, mistake)
    return Feedback(True, "the skill that fell most, and its fall in points.")


def lost_mistake(found: Any, before: Mapping[str, float], after: Mapping[str, float]) -> str:
    """What is wrong with a skill and its points, or ""."""
    if not isinstance(found, list | tuple) or len(found) != 2:
        return "return two things: the skill's name, and the points."
    name, points = found
    if not isinstance(name, str) or (number := read_number(plain(points))) is None:
        return "return the skill's name first, then a number of points."

    # the name, then the number
    fall = {skill: before[skill] - after[skill] for skill in before}
    right = max(fall, key=fall.__getitem__)
    if name != right:
        named = {
            min(after, key=after.__getitem__): "ends lowest, but it began low: take the difference",
            min(fall, key=fall.__getitem__): "fell least: a fall is before minus after",
        }
        return f"{name} {named.get(name, 'is not the one that fell most')}."
    wrong = {
        fall[right]: "that is a share; a point is a hundredth.",
        -100 * fall[right]: "the sign: how far it *fell* is above zero.",
        100 * after[right]: "that is what is left, not what was lost.",
        100 * fall[right] / before[right]: "per cent of what was there; points are a difference.",
    }
    if math.isclose(number.value, 100 * fall[right], abs_tol=0.5):
        return ""
    named = [why for value, why in wrong.items() if math.isclose(number.value, value, abs_tol=1e-3)]
    return named[0] if named else f"{right} fell, but not by {spell(points)} points."


def check_starts(count: Callable[[list[int], int], int]) -> Feedback:
    """Hold count(ids, start) against the number of start marks with which a row begins."""
    start = 7
    rows = (
        [7, 7, 20, 21, 3],
        [7, 20, 21, 3],
        [20, 21, 3],
        [7, 7, 7, 20],
        [7, 20, 7, 7],
        [7, 7],
        [],
    )
    for ids in rows:
        found, fault = attempt(count, list(ids), start)
        if fault is not None:
            return fault
        begins = next((n for n, token in enumerate(ids) if token != start), len(ids))
        if isinstance(found, bool):
            return Feedback(False, "True and False say less than asked: how many are there?")
        if found != begins:
            return Feedback(False, starts_mistake(found, ids, start, begins))
    return Feedback(
        True, "one is right, two are one too many; later ones are none of its business."
    )


def starts_mistake(found: object, ids: Sequence[int], start: int, begins: int) -> str:
    """What is wrong with a count of the start marks at the beginning of a row."""
    marks = f"{begins} start mark{'' if begins == 1 else 's'} ({start})"
    said = f"{list(ids)} begins with {marks}, and you found {spell(found)}"
    if found == list(ids).count(start):
        return f"{said}: count those at the beginning alone, and stop at the first other token."
    if found in (1, 2) and begins == 3:
        return f"{said}: there may be more than two."
    return f"{said}."


def bottleneck_numbers(d: int, width: int, places: int) -> int:
    """down (width, d) and up (d, width), each with its biases, in so many places."""
    return places * (2 * d * width + width + d)


def check_bottleneck(count: Callable[[int, int, int], int]) -> Feedback:
    """Hold count(d, width, places) against what bottleneck adapters train.

    d: the width of a token's vector; width: of the bottleneck; places: how many there are.
    """
    for d, width, places in ((256, 32, 8), (4096, 64, 64)):
        found, fault = attempt(count, d, width, places)
        if fault is not None:
            return fault
        number = read_number(plain(found))
        if number is None:
            return Feedback(False, f"it has to give a number; this is {spell(found)}.")
        if number.value != bottleneck_numbers(d, width, places):
            asked = f"count({d}, {width}, {places}) is {spell(plain(found))}: "
            return Feedback(False, asked + wrong_bottleneck(number.value, d, width, places))
    return Feedback(True, "two matrices and two biases, in every place.")


def wrong_bottleneck(found: float, d: int, width: int, places: int) -> str:
    """What is wrong with a count of bottlenecks."""
    both, right = 2 * d * width, bottleneck_numbers(d, width, places)
    wrong = {
        places * both: "the biases are missing: one per output of each matrix.",
        places * (both + width): "up has biases too, d of them.",
        places * (both + d): "down has biases too, width of them.",
        places * (both + 2 * width): "up has d outputs, so d biases.",
        places * (both + 2 * d): "down has width outputs, so width biases.",
        places * (d * width + width + d): "there are two matrices, down and up.",
        places * d * width: "there are two matrices, down and up, and each has biases.",
        right // places: "that is one of them; they stand in several places.",
        places * d * d: "nothing in a bottleneck is (d, d): down is (width, d), up is (d, width).",
    }
    return wrong.get(int(found), "it is not two matrices with their biases, in every place.")


@dataclass(frozen=True)
class Case:
    """What somebody asks of a method: shares from 0 to 1, and the most that it may train."""

    task: str
    exact: float
    skills: float
    most: int | None = None
    merged: bool = False


CASES = {
    "one product": Case("tickets", 0.9, 0.94, merged=True),
    "a thousand customers": Case("tickets", 0.8, 0.85, most=10_000),
    "a stock of facts": Case("facts", 0.9, 0.8, most=1_000_000),
}


def check_cases(chosen: Mapping[str, str], rows: Sequence[Any]) -> Feedback:
    """Hold {case: method} against the runs of the grid "methods", each at its own rate.

    Every method that has all that a case asks for is right.
    """
    example = "{" + ", ".join(f"{name!r}: …" for name in CASES) + "}"
    if not isinstance(chosen, Mapping) or set(chosen) != set(CASES):
        return Feedback(False, f"give a dict with a method for each case: {example}.")
    told = [case_mistake(name, case, chosen[name], rows) for name, case in CASES.items()]
    wrong = [said for said in told if said]
    if not wrong:
        return Feedback(True, "each has all that its case asks for, over three seeds.")
    waits = any(is_unanswered(chosen[name]) for name in CASES)
    return Feedback(None if waits else False, tell_right(len(CASES), wrong))


def case_mistake(name: str, case: Case, chosen: object, rows: Sequence[Any]) -> str:
    """What a method lacks for a case, or ""."""
    if is_unanswered(chosen):
        return f"{name} is still to come."
    known = methods.choose_rates(rows, case.task, case.exact)
    called = {as_words(label): one for label, one in known.items()}
    called |= {as_words(one.title): one for one in known.values()}
    one = called.get(as_words(chosen))
    if one is None:
        return f"{name}: {spell(chosen)} was not run on {case.task}.{nearest(chosen, known)}"
    said = f"{name}: {one.title}"
    if one.exact.value < case.exact:
        return f"{said} reaches {percent(one.exact.value)}, and {case.exact:.0%} are asked for."
    if case.most is not None and one.trainable > case.most:
        return f"{said} trains {one.trainable:,} numbers, more than {case.most:,}."
    if one.skills.value < case.skills:
        return f"{said} keeps {percent(one.skills.value)} of the skills, not {case.skills:.0%}."
    method = methods.METHODS[one.method]
    return "" if method.merges or not case.merged else f"{said} can't be merged: {method.why}."


def check_patients(room: str) -> Callable[[object], Feedback]:
    """A check of what a reader calls the patients of a room: {"A": the illness, …}."""
    right = ward.ROOMS[room]

    def check(answer: object) -> Feedback:
        given, fault = read_names(answer, right, "illness")
        if fault is not None:
            return fault
        told = [patient_mistake(one, given[one], right[one]) for one in right]
        wrong = [said for said in told if said]
        if not wrong:
            return Feedback(True, f"all {len(right)} are named as the doctor names them.")
        waits = any(is_unanswered(given[one]) for one in right)
        return Feedback(None if waits else False, tell_named(len(right), wrong, waits=waits))

    return check


def tell_named(asked: int, wrong: Sequence[str], *, waits: bool) -> str:
    """tell_right; while some are still to come, nobody is told that none of all is right."""
    return " ".join(wrong) if waits and len(wrong) == asked else tell_right(asked, wrong)


def patient_mistake(patient: str, named: object, right: str) -> str:
    """What is said of a patient whose illness is not the one that was named; "" where it is."""
    known = {as_words(name): illness for name, illness in ward.ILLNESSES.items()}
    if as_words(named) == as_words(right):
        return ""
    if is_unanswered(named):
        return f"{patient} is still to come."
    other = known.get(as_words(named))
    if other is None:
        return (
            f"{patient}: {spell(named)} is no illness of the list.{nearest(named, ward.ILLNESSES)}"
        )
    return f"{patient} is not {other.name!r}: then {other.sign}."


def read_names(
    answer: object, right: Mapping[str, str], what: str
) -> tuple[Mapping[str, object], Feedback | None]:
    """A reader's dict, and None; or nothing, and why it is none. Patients left out are dots."""
    first = next(iter(right))
    if not isinstance(answer, Mapping):
        example = "{" + f"{first!r}: …" + "}"
        return {}, Feedback(False, f"give a dict with the {what} of each patient: {example}.")
    strangers = [name for name in answer if name not in right]
    if strangers:
        here = ", ".join(right)
        return {}, Feedback(False, f"{spell(strangers[0])} is not here; the patients are {here}.")
    return {name: answer.get(name, ...) for name in right}, None


def cures() -> list[str]:
    """Every cure of the ward, in the order of the alphabet: the first one is number 1."""
    return sorted({illness.cure for illness in ward.ILLNESSES.values()})


def check_cures(patients: Mapping[str, str]) -> Callable[[object], Feedback]:
    """A check of the numbers of the cures for some patients: {"C": 4, …}.

    patients: {name: illness}.
    """

    def check(answer: object) -> Feedback:
        given, fault = read_names(answer, patients, "number of the cure")
        if fault is not None:
            return fault
        told = [cure_mistake(one, given[one], patients[one]) for one in patients]
        wrong = [said for said in told if said]
        if not wrong:
            return Feedback(True, "each cure takes the fault away, and nothing else.")
        waits = any(is_unanswered(given[one]) for one in patients)
        return Feedback(None if waits else False, tell_named(len(patients), wrong, waits=waits))

    return check


def cure_mistake(patient: str, given: object, right: str) -> str:
    """What is said of the number of a cure that is not that of the illness `right`, or ""."""
    if is_unanswered(given):
        return f"{patient} is still to come."
    listed, number = cures(), read_number(plain(given))
    if number is None or not 1 <= number.value <= len(listed) or number.value % 1:
        return f"{patient}: give the number of a cure, from 1 to {len(listed)}."
    cure = listed[int(number.value) - 1]
    other = next(illness for illness in ward.ILLNESSES.values() if illness.cure == cure)
    if other.name == right:
        return ""
    return f"{patient}: {other.cure!r} is the cure of {other.name!r}, which {patient} has not."


# Nine digits to be sorted, and replies that a reward may overpay, by what is wrong with them.
GIVEN = tuple("308412967")
RIGHT_ORDER = " ".join(sorted(GIVEN))
OVERPAID = {
    "all ten digits, whatever was asked": "0 1 2 3 4 5 6 7 8 9",
    "a few of the digits, in order": "0 1 2",
    "one digit is missing": RIGHT_ORDER.replace(" 4", ""),
    "a digit that was not given stands in another one's place": RIGHT_ORDER.replace("4", "5"),
    "the right digits, and then more": f"{RIGHT_ORDER} 7 8 9",
    "the right digits twice": f"{RIGHT_ORDER} {RIGHT_ORDER}",
    "each digit twice": " ".join(digit + " " + digit for digit in sorted(GIVEN)),
    "two digits have changed places": RIGHT_ORDER.replace("3 4", "4 3"),
    "the question, as it was": " ".join(GIVEN),
    "an empty reply": "",
}
STEPS, TRIED, LEARNED = 12, 50, 0.9  # of the run on a reader's reward; rows asked then; share right


def check_reward(reward: Callable[[list[str], str], float]) -> Feedback:
    """Hold reward(given, reply) against replies that are easily overpaid, then train on it.

    given: the digits of the question, as texts; reply: what the model wrote. A number comes back.
    The base model is reinforced by it for `STEPS` steps; right is a reward on which it learns to
    sort nine digits. About 15 s where the replies leave nothing to object to.
    """
    best, fault = paid(reward, RIGHT_ORDER)
    if fault is not None:
        return fault
    for what, reply in OVERPAID.items():
        pay, fault = paid(reward, reply)
        if fault is not None:
            return fault
        if pay >= best:
            said = f"pays {spell(pay)} for {reply!r} ({what}), and {spell(best)} for the right "
            return Feedback(False, f"for {' '.join(GIVEN)} it {said}{RIGHT_ORDER!r}.")
    learned = learn_from(reward)
    if isinstance(learned, Feedback):
        return learned
    share, before, sample = learned
    if share >= LEARNED:
        return Feedback(
            True,
            f"the model learned it: {percent(share)} of new questions, {percent(before)} before.",
        )
    if share < before:
        wrote = f"such as {sample[1]!r} for {sample[0]}"
        said = (
            f"it went from {percent(before)} right to {percent(share)}: it writes replies {wrote}."
        )
        return Feedback(False, f"the model found a way round it, and {said} What does that earn?")
    return Feedback(
        False,
        f"nothing is overpaid, and after {STEPS} steps {percent(share)} are right, "
        f"{percent(before)} before: too little. The right reply has to earn clearly more than what "
        "is nearly right.",
    )


def paid(
    reward: Callable[[list[str], str], float], reply: str, given: Sequence[str] = GIVEN
) -> tuple[float, Feedback | None]:
    """(what a reward pays for a reply to some digits, None), or (0, what is wrong with it)."""
    found, fault = attempt(reward, list(given), reply)
    if fault is not None:
        return 0.0, Feedback(fault.right, f"for {reply!r}, {fault.text}")
    value = plain(found)
    number = float(value) if isinstance(value, bool | int | float) else math.nan
    if not math.isfinite(number):
        return 0.0, Feedback(
            False, f"for {reply!r} it gives {spell(found)}: return a finite number."
        )
    return number, None


def learn_from(
    reward: Callable[[list[str], str], float],
) -> tuple[float, float, tuple[str, str]] | Feedback:
    """(share right after a run on it, before, a question with the reply in the end).

    Of a reward that fails on what the model writes, what is wrong with it.
    """
    faults: list[Feedback] = []

    def asked(rows: Sequence[Mapping], replies: Sequence[str]) -> list[float]:
        worth = [
            paid(reward, reply, digits_of(row)) for row, reply in zip(rows, replies, strict=True)
        ]
        faults.extend(fault for _, fault in worth if fault is not None)
        return [value for value, _ in worth]

    base, tokenizer = models.load("pocket")
    model: Any = lora.attach(base, seed=0)  # a peft model has the same calls
    rows = prefer.sorting(TRIED, 9, "test", seed=100)
    chats = [row["messages"][:-1] for row in rows]
    before = prefer.exact(rows, models.answer(model, tokenizer, chats, 20))
    # drawn as always, and what comes after is drawn as if nothing had been
    with torch.random.fork_rng():
        torch.manual_seed(0)
        pace = prefer.Pace(2e-3, STEPS, falls=False)
        loop = prefer.reinforce(model, tokenizer, prefer.sorting(400), asked, pace)
        with torch.enable_grad():
            for _ in loop:
                if faults:
                    return faults[0]
    said = models.answer(model, tokenizer, chats, 20)
    after = prefer.exact(rows, said)
    wrong = next((place for place, right in enumerate(after) if not right), 0)
    sample = " ".join(digits_of(rows[wrong])), said[wrong]
    return sum(after) / len(rows), sum(before) / len(rows), sample


def digits_of(row: Mapping) -> list[str]:
    """The digits of a row's question."""
    return [letter for letter in row["messages"][-2]["content"] if letter.isdigit()]


# Matrices (d_out, d_in) and tokens, for a function that counts FLOPs.
MULTIPLIED = (
    ([(4096, 4096), (1024, 4096)], 10),
    ([(14336, 4096), (14336, 4096), (4096, 14336)], 512),
)


def check_flops(flops: Callable[[list, int, bool], float]) -> Feedback:
    """Hold flops(shapes, tokens, trained) against 6 or 4 times numbers · tokens.

    shapes: (d_out, d_in) of each matrix; trained: whether they train, or only something beside
    them. Forward 2 · numbers · tokens, gradients of inputs as many, of weights as many where they
    train.
    """
    for shapes, tokens in MULTIPLIED:
        numbers = sum(d_out * d_in for d_out, d_in in shapes)
        for trained in (True, False):
            found, fault = attempt(flops, list(shapes), tokens, trained)
            if fault is not None:
                return fault
            number, right = read_number(plain(found)), (6 if trained else 4) * numbers * tokens
            if number is None:
                return Feedback(False, f"{spell(found)} is no number of FLOPs.")
            if math.isclose(number.value, right, rel_tol=1e-9):
                continue
            each = [right * d_out * d_in / numbers for d_out, d_in in shapes]
            if any(math.isclose(number.value, alone) for alone in each):
                return Feedback(False, "that is one matrix alone: add up all the shapes.")
            times = number.value / (numbers * tokens)
            said = f"that is {times:g} times numbers · tokens, where {right // numbers // tokens}"
            why = flops_mistake(times, tokens, trained=trained)
            return Feedback(False, why or f"{said} is right for trained = {trained}.")
    return Feedback(True, "6 with the weights trained, 4 with them frozen.")


def flops_mistake(times: float, tokens: int, *, trained: bool) -> str:
    """The likely reason of a count that is so many times numbers · tokens; "" for no usual one."""
    usual = {
        2.0: "that is the forward pass alone; backward comes on top.",
        1.0: "a multiplication and an addition are two FLOPs, and backward comes on top.",
        3.0: "a multiplication and an addition are two FLOPs.",
    }
    if trained:
        usual[4.0] = "weights that train have gradients, too: a third product of the same size."
    else:
        usual[6.0] = "frozen weights have no gradients, though what goes through them has."
        usual[2.0] = "gradients go back through frozen weights as well, to what trains below them."
        usual[3.0] = "frozen weights have no gradients, and each product counts twice its numbers."
    if math.isclose(times * tokens, 6 if trained else 4, rel_tol=1e-9):
        return "the tokens are missing: every token goes through every matrix."
    return next((why for n, why in usual.items() if math.isclose(times, n, rel_tol=1e-9)), "")


# Mean gradients of two, and of three, processes, and how many answer tokens each had.
SHARED = (
    ([[2.0, -1.0], [5.0, 3.0]], [30, 10]),
    ([[1.0, 0.0], [4.0, 2.0], [7.0, -2.0]], [8, 16, 40]),
)


def check_joined(join: Callable[[list, list], Sequence[float]]) -> Feedback:
    """Hold join(gradients, tokens) against the gradient that one process would have computed.

    gradients: of each process the mean over its own answer tokens, as a list of numbers; tokens:
    how many it had. Right is Σ tokens · gradient / Σ tokens.
    """
    for gradients, tokens in SHARED:
        found, fault = attempt(join, [list(one) for one in gradients], list(tokens))
        if fault is not None:
            return fault
        given = plain(found)
        columns = list(zip(*gradients, strict=True))
        right = [weighted(column, tokens) for column in columns]
        numbers = [read_number(one) for one in given] if isinstance(given, list) else []
        if len(numbers) != len(right) or None in numbers:
            return Feedback(False, f"{spell(found)}: return {len(right)} numbers, one gradient.")
        values = [one.value for one in numbers if one is not None]
        if all(map(math.isclose, values, right)):
            continue
        for why, wrong in wrong_joined(columns, tokens).items():
            if all(map(math.isclose, values, wrong)):
                return Feedback(False, why)
        return Feedback(False, f"of {gradients} with {tokens} tokens it is {spell(right)}.")
    return Feedback(True, "the same as one process, however the tokens are spread.")


def weighted(values: Sequence[float], weights: Sequence[float]) -> float:
    """Σ weight · value / Σ weight."""
    return sum(map(math.prod, zip(values, weights, strict=True))) / sum(weights)


def wrong_joined(
    columns: Sequence[Sequence[float]], tokens: Sequence[int]
) -> dict[str, list[float]]:
    """What people join instead, by what is wrong with it."""
    inverse = [1 / count for count in tokens]
    return {
        "a plain mean: a process with few tokens then counts as much as one with many.": [
            sum(column) / len(column) for column in columns
        ],
        "that is the sum of the means: the step would be too long.": [sum(c) for c in columns],
        "that divides means by all tokens: each mean has to be a sum first.": [
            sum(column) / sum(tokens) for column in columns
        ],
        "divide by all tokens: it is a mean over them.": [
            sum(map(math.prod, zip(column, tokens, strict=True))) for column in columns
        ],
        "the weights are upside down: more tokens weigh more.": [
            weighted(column, inverse) for column in columns
        ],
    }
