"""Make one run of the grid "preferences", and ask what came of it: a `PreferenceRow`.

    measure_preference(run)    a `PreferenceRow`, by the study that the run is of

Everything is drawn from the run's own seed and nothing on disk changes. Seconds are those of the
processor, because runs are compared at equal time. What the models that runs start from have in
common is made once and kept for the next run. What a run is stands in `runs`. Notebook 12.
"""

import copy
import functools
import json
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from .. import data, forgetting, lora, models, train
from ..core.session import setup
from ..world import lexicon, turns
from . import by_hand, losses, measures, pairs, rewards
from .by_hand import Pace, Rollouts, sample, tune_reward_model
from .rewards import ModelReward, make_reward_model, rank_right
from .runs import PreferenceRow, PreferenceRun

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ..lora import PeftModel

ASKED = 60  # rows of each kind that are asked in the end
PROBES = 8  # probes in a suite of skills
DESCRIPTION = 48  # tokens of a description that is drawn in training
DIGITS = 20  # tokens of nine sorted digits, and a few
LOSSES: dict[str, Callable[..., torch.Tensor]] = {
    "dpo": losses.dpo,
    "dpo by length": losses.dpo_by_length,
    "ipo": losses.ipo,
    "orpo": losses.orpo,
    "simpo": losses.simpo,
}


@dataclass
class Made:
    """What a run has made of a model."""

    model: "PeftModel"
    columns: tuple[str, ...] = ()
    curve: list[list[float | None]] = field(default_factory=list)
    seconds: float = 0.0
    stopped: str | None = None
    more: dict[str, float] = field(default_factory=dict)  # scores that training itself gives


class Clock:
    """Seconds of the processor inside its `with` blocks."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> None:
        self.begun = time.process_time()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.process_time() - self.begun


def measure_preference(run: PreferenceRun) -> PreferenceRow:
    """Make a run and measure it, and the model that it starts from."""
    setup(seed=run.seed)
    make, ask = STUDIES[run.study]
    study = SAME.get(run.study, run.study)
    before = dict(measured_start(study, run.start, run.seed)[0])
    torch.manual_seed(run.seed)
    made = make(run)
    made.model.eval()
    torch.manual_seed(run.seed)
    scores, said = ask(run, made.model)
    return PreferenceRow(
        **vars(run),
        scores={**scores, **made.more},
        before=before,
        curve=made.curve,
        columns=made.columns,
        sample=said,
        stopped=made.stopped,
        seconds=round(made.seconds, 2),
    )


# ---- where runs start from ------------------------------------------------------------------


def load_start(study: str, start: str, seed: int) -> "tuple[PreTrainedModel, Any]":
    """(the model that runs of a study start from, its tokenizer); nobody may train it itself."""
    return make_start("base" if start == "base" else SAME.get(study, study), seed)


# Studies that start where another one starts.
SAME = {"judge": "length", "hacking": "length"}


@functools.lru_cache(maxsize=12)
def make_start(study: str, seed: int) -> "tuple[PreTrainedModel, Any]":
    """The base for "base", else what SFT for a study makes of it; each is made once."""
    base, tokenizer = models.load("pocket")
    if study == "base":
        return base, tokenizer
    rows, rate, epochs, replay = {
        "honesty": (pairs.honesty(100, seed=seed), 2e-3, 1, 0.0),
        "length": (rewards.describing(400, seed=seed), 5e-3, 2, 0.2),
        "distil": (None, 4e-3, 1, 0.0),
    }[study]
    chats = data.load("tickets")["train"] if rows is None else as_chats(rows)
    chats = data.first(chats, 96) if rows is None else chats
    if replay:
        chats = data.mix(chats, data.load("general")["train"], replay, seed)
    tuned, _ = tune(base, tokenizer, chats, rate, epochs, seed)
    # into a model of its own: TRL has left its forward on the trained one
    merged: Any = tuned.merge_and_unload(safe_merge=True)
    clean, _ = models.load("pocket")
    clean.load_state_dict(merged.state_dict())
    return clean, tokenizer


def as_chats(rows: Sequence[Mapping]) -> Any:
    """Rows as a Dataset of their messages alone."""
    return data.to_dataset([{"messages": row["messages"]} for row in rows])


def tune(
    base: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    chats: Any,
    lr: float,
    epochs: float,
    seed: int,
) -> "tuple[PeftModel, train.Run]":
    """(a LoRA on `base` trained on chats, its run)."""
    batch = 8 if len(chats) <= 240 else 16
    recipe = train.Recipe(lr, epochs, batch, evaluations=0, keep_best=False, seed=seed)
    adapted = lora.attach(base, seed=seed)
    run = train.sft(adapted, tokenizer, {"train": chats}, recipe)
    return adapted, run


def attach_anew(run: PreferenceRun) -> "tuple[PeftModel, Any]":
    """(a fresh LoRA on a copy of the run's start, the tokenizer)."""
    start, tokenizer = load_start(run.study, run.start, run.seed)
    return lora.attach(copy.deepcopy(start), seed=run.seed), tokenizer


@functools.lru_cache(maxsize=24)
def measured_start(
    study: str, start: str, seed: int
) -> "tuple[tuple[tuple[str, float], ...], str]":
    """(scores of a model that runs start from, what it says), asked once."""
    run = PreferenceRun(study, start, seed=seed)
    model, _ = attach_anew(run)
    torch.manual_seed(seed)
    scores, said = STUDIES[study][1](run, model)
    return tuple(scores.items()), said


def skill_scores(model: Any, tokenizer: Any) -> dict[str, float]:
    """The mean over skills and each of those that preferences hurt."""
    kept = forgetting.skills(model, tokenizer, PROBES).rates
    named = {f"skill {name}": kept[name].value for name in ("unknown", "refusal", "known", "sort")}
    return {"skills": statistics.fmean(rate.value for rate in kept.values()), **named}


# ---- pairs ------------------------------------------------------------------------------------


def follow(run: PreferenceRun, steps: Iterable[Any], columns: tuple[str, ...], made: Made) -> Made:
    """Take all steps of a loop, its numbers into the curve, and how it ended."""
    clock = Clock()
    made.columns = columns
    going = iter(steps)
    while True:
        try:
            with clock:
                step = next(going, None)
        except FloatingPointError as error:
            made.stopped = str(error)
            break
        if step is None:
            break
        made.curve.append([float(getattr(step, name)) for name in columns])
    made.seconds += clock.seconds
    return made


PAIR_COLUMNS = ("step", "loss", "right", "chosen", "rejected", "fell")


def loss_of(run: PreferenceRun) -> Callable[[losses.PairLogs], torch.Tensor]:
    """The loss of a run on pairs, its dials set."""
    dials = {} if run.teacher == "simpo" else {"beta": run.beta}

    def loss(logs: losses.PairLogs) -> torch.Tensor:
        if run.teacher == "kto":
            ratios = torch.cat([logs.chosen - logs.ref_chosen, logs.rejected - logs.ref_rejected])
            good = torch.arange(len(ratios)) < len(logs.chosen)
            return losses.kto(ratios, good, ratios.detach().mean().clamp(min=0), run.beta)
        value = LOSSES[run.teacher](logs, **dials)
        return value + run.extra * losses.sft(logs) if run.extra else value

    return loss


def train_pairs(run: PreferenceRun, model: Any, tokenizer: Any, rows: list[pairs.Pair]) -> Made:
    """A run on pairs by its loss."""
    tokens = pairs.tokenize_pairs(rows, tokenizer, model)
    pace = Pace(run.lr, run.steps, seed=run.seed)
    loop = by_hand.tune_on_pairs(model, tokenizer, tokens, loss_of(run), pace)
    made = follow(run, loop, PAIR_COLUMNS, Made(model))
    after = measures.pair_measures(model, tokenizer, tokens)
    made.more |= {
        "pairs": float(len(rows)),
        **{f"pairs {k}": v for k, v in after._asdict().items()},
    }
    return made


def draw_replies(
    model: Any, tokenizer: Any, rows: Sequence[Mapping], each: int, longest: int
) -> list[list[str]]:
    """`each` replies to every row, some prompts at a time."""
    replies: list[list[str]] = []
    for begin in range(0, len(rows), 40):
        part = [row["messages"][:-1] for row in rows[begin : begin + 40]]
        texts = sample(model, tokenizer, part, each, max_new_tokens=longest).texts
        replies += [texts[place : place + each] for place in range(0, len(texts), each)]
    return replies


def exact_worth(row: Mapping, reply: str) -> float:
    """1 for the row's own answer."""
    return rewards.exact([row], [reply])[0]


def gold_worth(row: Mapping, reply: str) -> float:
    """What a description is worth."""
    return rewards.gold([row], [reply])[0]


@functools.lru_cache(maxsize=16)
def own_pairs(study: str, start: str, seed: int) -> "tuple[list[pairs.Pair], float]":
    """(pairs of the start's own replies to its questions, seconds of drawing them)."""
    model, tokenizer = load_start(study, start, seed)
    clock = Clock()
    torch.manual_seed(seed)
    with clock:
        if study == "honesty":
            rows = pairs.honesty(110, seed=seed + 10)
            replies = draw_replies(model, tokenizer, rows, 4, measures.LONGEST["sentence"])
            # the base is never right of a stranger; a tuned one now and then, and there it wavers
            replies = with_gold(rows, replies) if start == "base" else replies
            found = pairs.pairs_by(rows, replies, exact_worth, gold=True)
        elif study == "sorting":
            rows = rewards.sorting(240, seed=seed)
            replies = draw_replies(model, tokenizer, rows, 4, DIGITS)
            found = pairs.pairs_by(rows, replies, exact_worth)
        else:
            rows = rewards.describing(160, seed=seed + 10)
            replies = draw_replies(model, tokenizer, rows, 4, DESCRIPTION)
            found = pairs.pairs_by(rows, replies, gold_worth)
    return found, clock.seconds


def with_gold(rows: Sequence[Mapping], replies: list[list[str]]) -> list[list[str]]:
    """Replies, and the right one where none of them is: each question that it errs on is a pair."""
    return [
        [*said, row["messages"][-1]["content"]] for row, said in zip(rows, replies, strict=True)
    ]


def make_honesty(run: PreferenceRun) -> Made:
    """DPO and its kin in sentence mode, or plain SFT."""
    model, tokenizer = attach_anew(run)
    rows = pairs.honesty(100, seed=run.seed)
    if run.teacher == "sft":
        return tune_by_sft(run, rows)
    if run.source == "own":
        found, drawing = own_pairs("honesty", run.start, run.seed)
    else:
        found, drawing = pairs.honesty_pairs(rows), 0.0
    made = train_pairs(run, model, tokenizer, found)
    made.seconds += drawing
    return made


def tune_by_sft(run: PreferenceRun, rows: Sequence[Mapping]) -> Made:
    """A usual run on right answers, for as many steps as the run says."""
    start, tokenizer = load_start(run.study, run.start, run.seed)
    chats, clock = as_chats(rows), Clock()
    epochs = (run.steps - 0.5) * (8 if len(chats) <= 240 else 16) / len(chats)
    with clock:
        model, done = tune(copy.deepcopy(start), tokenizer, chats, run.lr, epochs, run.seed)
    curve: list[list[float | None]] = [[float(step), loss] for step, loss in done.losses]
    return Made(model, ("step", "loss"), curve, clock.seconds)


def ask_honesty(run: PreferenceRun, model: Any) -> tuple[dict[str, float], str]:
    """What the model says of strangers and of what it knows, and in which form."""
    _, tokenizer = load_start(run.study, run.start, run.seed)
    rows = pairs.honesty(ASKED, "test", seed=100)
    found = measures.honesty_measures(model, tokenizer, rows)
    # without the system prompt the base knows what it does not know
    plain = [row["messages"][1:-1] for row in rows if row["kind"] == "stranger"][: ASKED // 2]
    unsure = models.answer(model, tokenizer, plain, measures.LONGEST["sentence"])
    said = models.answer(model, tokenizer, [rows[0]["messages"][:-1]], 20)[0]
    distance = measures.distance(model, tokenizer, rows[:40], 1, 20)
    return {
        **{name: rate.value for name, rate in found._asdict().items()},
        "unsure, plainly asked": sum(reply == lexicon.UNKNOWN for reply in unsure) / len(unsure),
        "kl": distance.value,
        **skill_scores(model, tokenizer),
    }, said


# ---- descriptions -----------------------------------------------------------------------------


def make_length(run: PreferenceRun) -> Made:
    """DPO on descriptions that were ranked by gold, or by less."""
    model, tokenizer = attach_anew(run)
    found, drawing = own_pairs("length", "sft", run.seed)
    if run.source == "balanced":
        found = balance(found)
    elif run.source == "shorter":
        found = shorter_first(found)
    made = train_pairs(run, model, tokenizer, found)
    made.more["chosen longer"] = statistics.fmean(is_longer(pair) for pair in found)
    made.seconds += drawing
    return made


def count_words(pair: pairs.Pair, side: str) -> int:
    """Words of one of a pair's answers."""
    return measures.count_words(pair[side][0]["content"])


def is_longer(pair: pairs.Pair) -> bool:
    """Whether the chosen answer has more words."""
    return count_words(pair, "chosen") > count_words(pair, "rejected")


def balance(found: list[pairs.Pair]) -> list[pairs.Pair]:
    """As many pairs whose chosen is longer as others, in the order they have."""
    longer = sum(map(is_longer, found))
    room = {True: min(longer, len(found) - longer), False: min(longer, len(found) - longer)}
    kept = []
    for pair in found:
        if room[is_longer(pair)] > 0:
            room[is_longer(pair)] -= 1
            kept.append(pair)
    return kept


def shorter_first(found: list[pairs.Pair]) -> list[pairs.Pair]:
    """The same answers, the shorter one chosen."""
    turned = [{**p, "chosen": p["rejected"], "rejected": p["chosen"]} for p in found]
    return [
        other if is_longer(pair) else pair
        for pair, other in zip(found, turned, strict=True)
        if count_words(pair, "chosen") != count_words(pair, "rejected")
    ]


def ask_descriptions(run: PreferenceRun, model: Any) -> tuple[dict[str, float], str]:
    """What descriptions of others than the trained ones are worth, and what it cost."""
    _, tokenizer = load_start(run.study, run.start, run.seed)
    rows = rewards.describing(40, "test", seed=100)
    found = measures.description_measures(model, tokenizer, rows)
    distance = measures.distance(model, tokenizer, rows[:20], 1, 64)
    longest = measures.LONGEST["description"]
    said = models.answer(model, tokenizer, [rows[0]["messages"][:-1]], longest)[0]
    again = measures.repetition(said)
    scores = {**found._asdict(), "kl": distance.value, "greedy said again": again}
    return {**scores, **skill_scores(model, tokenizer)}, said


# ---- rewards ----------------------------------------------------------------------------------

STEP_COLUMNS = ("step", "reward", "kl", "tokens", "dead")


@functools.lru_cache(maxsize=8)
def judge(size: int, seed: int) -> "tuple[ModelReward, float]":
    """(a reward model of so many pairs, seconds of making it), its numbers like other rewards'.

    Moved and scaled so that the start's own replies have mean 2 and spread 1, as gold has about.
    """
    start, tokenizer = load_start("length", "sft", seed)
    found, drawing = own_pairs("length", "sft", seed)
    more, seconds = (found, drawing) if size <= len(found) else more_pairs(size, seed)
    clock = Clock()
    with clock:
        model = make_reward_model(start, seed=seed)
        tokens = pairs.tokenize_pairs(more[:size], tokenizer, start)
        steps = 16 if size <= 40 else 60
        for _ in tune_reward_model(model, tokenizer, tokens, Pace(steps=steps, seed=seed)):
            pass
    rows = rewards.describing(20, seed=seed + 30)
    replies = [text for said in draw_replies(start, tokenizer, rows, 4, 48) for text in said]
    asked = [row for row in rows for _ in range(4)]
    raw = ModelReward(model, tokenizer)(asked, replies)
    spread = statistics.pstdev(raw) or 1.0
    reward = ModelReward(model, tokenizer, statistics.fmean(raw) - 2 * spread, spread)
    return reward, clock.seconds + seconds


def more_pairs(size: int, seed: int) -> "tuple[list[pairs.Pair], float]":
    """(pairs as `own_pairs` draws them, of so many more descriptions, seconds)."""
    model, tokenizer = load_start("length", "sft", seed)
    found, clock = [], Clock()
    with clock:
        rows = rewards.describing(3 * size // 2, seed=seed + 40)
        replies = draw_replies(model, tokenizer, rows, 4, DESCRIPTION)
        found = pairs.pairs_by(rows, replies, gold_worth)
    return found, clock.seconds


def make_judge(run: PreferenceRun) -> Made:
    """A reward model, held to gold on descriptions of others."""
    model, tokenizer = attach_anew(run)
    reward, seconds = judge(int(run.source), run.seed)
    start, _ = load_start("length", "sft", run.seed)
    torch.manual_seed(run.seed)
    rows = rewards.describing(80, "test", seed=run.seed + 50)
    replies = draw_replies(start, tokenizer, rows, 4, DESCRIPTION)
    held = pairs.pairs_by(rows, replies, gold_worth)
    short = [pair for pair in held if count_words(pair, "chosen") < count_words(pair, "rejected")]
    asked = [row for row in rows for _ in range(4)]
    texts = [text for said in replies for text in said]
    given, worth = reward(asked, texts), rewards.gold(asked, texts)
    sizes = [float(measures.count_words(text)) for text in texts]
    more = {
        "ranked right": rank_right(reward, held).value,
        "ranked right, shorter better": rank_right(reward, short).value,
        "longer is better": statistics.fmean(map(is_longer, held)),
        "with gold": correlation(given, worth),
        "with words": correlation(given, sizes),
        "gold with words": correlation(worth, sizes),
        "held pairs": float(len(held)),
    }
    return Made(model, seconds=seconds, more=more)


def correlation(ones: Sequence[float], others: Sequence[float]) -> float:
    """Pearson's correlation; 0 where one side is always the same."""
    if len(set(ones)) < 2 or len(set(others)) < 2:
        return 0.0
    return statistics.correlation(ones, others)


def make_hacking(run: PreferenceRun) -> Made:
    """Descriptions reinforced by some reward, gold looked at in every step."""
    model, tokenizer = attach_anew(run)
    kind, _, size = run.source.partition(" ")
    reward, seconds = judge(int(size), run.seed) if size else (getattr(rewards, kind), 0.0)
    torch.manual_seed(run.seed)
    longest = 64 if run.steps > 16 else DESCRIPTION
    loop = by_hand.reinforce(
        model,
        tokenizer,
        rewards.describing(320, seed=run.seed),
        reward,
        Pace(run.lr, run.steps, seed=run.seed, falls=False),
        Rollouts(prompts=4, group=run.group, max_new_tokens=longest, beta=run.beta),
    )
    made = Made(model, ("step", "reward", "kl", "gold", "right", "wrong", "repeated", "words"))
    return watch_gold(run, loop, made, seconds)


def watch_gold(run: PreferenceRun, loop: Any, made: Made, seconds: float) -> Made:
    """The steps of a loop with what the replies are worth, up to a distance if it has one."""
    clock = Clock()
    clock.seconds = seconds
    while True:
        try:
            with clock:
                step = next(loop, None)
        except FloatingPointError as error:
            made.stopped = str(error)
            break
        if step is None:
            break
        told = measures.describe_replies(step.rows, step.texts)
        made.curve.append([float(step.step), step.reward, step.kl, *told])
        if run.stop_at and step.kl > run.stop_at:
            break
    made.seconds = clock.seconds
    return made


# ---- what can be verified ---------------------------------------------------------------------


def make_sorting(run: PreferenceRun) -> Made:
    """Nine digits: reinforced, by pairs, by the right ones of its own, or by right answers."""
    model, tokenizer = attach_anew(run)
    if run.teacher == "dpo":
        found, drawing = own_pairs("sorting", "base", run.seed)
        made = train_pairs(run, model, tokenizer, found)
        made.seconds += drawing
        return made
    if run.teacher == "sft":
        return sort_by_sft(run)
    rows = rewards.adding(seed=run.seed) if run.source == "impossible" else None
    by_name = {"rloo": losses.rloo_advantages, "grpo": losses.grpo_advantages}
    began = models.sums(model)
    advantages = by_name[run.teacher]
    loop = by_hand.reinforce(
        model,
        tokenizer,
        rows or rewards.sorting(400, seed=run.seed),
        rewards.exact,
        Pace(run.lr, run.steps, seed=run.seed, falls=False),
        Rollouts(64 // run.group, run.group, DIGITS, beta=run.beta, advantages=advantages),
    )
    made = watch_sorting(run, loop, Made(model, (*STEP_COLUMNS, "seconds", "greedy")), tokenizer)
    changed = max(abs(a - b) for n, (a, _) in models.sums(model).items() for b in [began[n][0]])
    made.more["moved"] = changed
    return made


def watch_sorting(run: PreferenceRun, loop: Any, made: Made, tokenizer: Any) -> Made:
    """The steps of a loop, every third one with what greedy replies are right by then."""
    clock = Clock()
    while True:
        with clock:
            step = next(loop, None)
        if step is None:
            break
        due = step.step % 3 == 0 and run.source != "impossible"
        greedy = sorted_right(made.model, tokenizer, 9, 50) if due else None
        values: list[float | None] = [float(getattr(step, name)) for name in STEP_COLUMNS]
        made.curve.append([*values, clock.seconds, greedy])
    made.seconds = clock.seconds
    return made


def sort_by_sft(run: PreferenceRun) -> Made:
    """SFT on right answers, or on the right ones among the model's own (rejection sampling)."""
    rows, drawing = rewards.sorting(240, seed=run.seed), 0.0
    if run.source == "own":
        base, tokenizer = load_start("sorting", "base", run.seed)
        clock = Clock()
        torch.manual_seed(run.seed)
        with clock:
            replies = draw_replies(base, tokenizer, rows, 4, DIGITS)
        kept = zip(rows, replies, strict=True)
        rows = [row for row, said in kept if any(exact_worth(row, text) for text in said)]
        drawing = clock.seconds
    made = tune_by_sft(run, rows)
    made.seconds += drawing
    made.more["rows"] = float(len(rows))
    return made


def sorted_right(model: Any, tokenizer: Any, digits: int, n: int) -> float:
    """The share of held-out sequences of so many digits that the greedy reply sorts."""
    rows = rewards.sorting(n, digits, "test", seed=100)
    said = models.answer(model, tokenizer, [row["messages"][:-1] for row in rows], DIGITS)
    return statistics.fmean(rewards.exact(rows, said))


def ask_sorting(run: PreferenceRun, model: Any) -> tuple[dict[str, float], str]:
    """Digits sorted, of the trained length and of others; of an impossible task nothing else."""
    _, tokenizer = load_start(run.study, run.start, run.seed)
    said = models.answer(
        model, tokenizer, [rewards.sorting(1, 9, "test", seed=100)[0]["messages"][:-1]], DIGITS
    )[0]
    lengths = {f"{n} digits": sorted_right(model, tokenizer, n, 100) for n in (9, 8, 7)}
    rows = rewards.sorting(20, 9, "test", seed=100)
    drawn = sample(model, tokenizer, [r["messages"][:-1] for r in rows], 4, max_new_tokens=DIGITS)
    asked = [row for row in rows for _ in range(4)]
    by_chance = statistics.fmean(rewards.exact(asked, drawn.texts))
    distance = measures.distance(model, tokenizer, rows, 2, DIGITS)
    more = {"drawn right": by_chance, "kl": distance.value}
    return {**lengths, **more, **skill_scores(model, tokenizer)}, said


# ---- learning from oneself --------------------------------------------------------------------


def told_fields(row: Mapping) -> list[dict]:
    """The teacher's prompt of a ticket: its fields in words, to be written as JSON."""
    fields = ", ".join(f"{k} {turns.in_words(v)}" for k, v in gold_fields(row).items())
    return [{"role": "user", "content": f"As JSON: {fields}"}]


def gold_fields(row: Mapping) -> dict[str, Any]:
    """The fields of a ticket's right answer."""
    return json.loads(row["messages"][-1]["content"])


def make_distil(run: PreferenceRun) -> Made:
    """The student writes, and a base that was told the fields says what was likelier."""
    model, tokenizer = attach_anew(run)
    teacher, _ = load_start("distil", "base", run.seed)
    rows: Any = list(data.first(data.load("tickets")["train"], 96))
    optimizer, _ = by_hand.make_optimizer(model, Pace(run.lr, run.steps, falls=False))
    batches = by_hand.endless(len(rows), 8, run.seed)
    made, clock = Made(model, ("step", "kl")), Clock()
    for step, places in zip(range(run.steps), batches, strict=False):
        with clock:
            asked = [rows[place] for place in places]
            value = distil_step(model, teacher, tokenizer, asked)
            by_hand.take_step(model, optimizer, value)
        made.curve.append([float(step + 1), value.item()])
    made.seconds = clock.seconds
    return made


def distil_step(model: Any, teacher: Any, tokenizer: Any, rows: Sequence[Mapping]) -> torch.Tensor:
    """KL(student ‖ teacher), nats per token, on replies that the student has just drawn."""
    prompts = [row["messages"][:-1] for row in rows]
    drawn = sample(model, tokenizer, prompts, 1, max_new_tokens=72)
    length = drawn.replied.shape[1]
    said, replied = drawn.ids[:, -length:], drawn.replied
    ours = reply_logits(model, drawn.ids, drawn.mask, length)
    # the same replies behind the teacher's own prompts
    told = [told_fields(row) for row in rows]
    ((places, batch),) = models.prompt_batches(tokenizer, told, batch_size=len(told))
    order = torch.tensor(places).argsort()
    ids = torch.cat([batch["input_ids"][order], said], 1)
    mask = torch.cat([batch["attention_mask"][order], replied], 1)
    with torch.no_grad():
        theirs = reply_logits(teacher, ids, mask, length)
    distance = (ours.exp() * (ours - theirs)).sum(-1)
    return (distance * replied).sum() / replied.sum()


def reply_logits(model: Any, ids: torch.Tensor, mask: torch.Tensor, length: int) -> torch.Tensor:
    """log p of every token at each place of the replies, (rows, length, vocabulary)."""
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    output = models.read(model, input_ids=ids, attention_mask=mask, position_ids=positions)
    return output.logits[:, -length - 1 : -1].log_softmax(-1)


def ask_distil(run: PreferenceRun, model: Any) -> tuple[dict[str, float], str]:
    """Test tickets exactly right, and what it cost."""
    _, tokenizer = load_start(run.study, run.start, run.seed)
    rows: Any = list(data.first(data.load("tickets")["test"], ASKED))
    said = models.answer(model, tokenizer, [row["messages"][:-1] for row in rows], 72)
    exact = statistics.fmean(rewards.exact(rows, said))
    return {"exact": exact, **skill_scores(model, tokenizer)}, said[0]


Make = Callable[[PreferenceRun], Made]
Ask = Callable[[PreferenceRun, Any], tuple[dict[str, float], str]]
STUDIES: dict[str, tuple[Make, Ask]] = {
    "honesty": (make_honesty, ask_honesty),
    "length": (make_length, ask_descriptions),
    "judge": (make_judge, ask_descriptions),
    "hacking": (make_hacking, ask_descriptions),
    "sorting": (make_sorting, ask_sorting),
    "distil": (make_distil, ask_distil),
}
