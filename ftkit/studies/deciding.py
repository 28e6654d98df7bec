"""Measure one arm of the grid "deciding": prompted, given passages or tuned, on one task.

    measure_deciding(run)    a `DecidingRow`: shares of right answers, and what was made up
    MEASURES                 {task: the function that measures its arms}

Training rows and, where only some are asked, test rows are drawn by the run's seed. What an arm is
and how prompts and passages are written is `decide`'s business. Notebook 06.
"""

import functools
import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from .. import data, decide, evaluate, forgetting, lora, merge, models, train, world
from ..core.session import setup
from ..world import lexicon, tasks, turns
from .changing import teachable
from .points import STEPS, WORDINGS, DecidingRow, DecidingRun

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel

TESTED, TESTED_SLOW = 100, 40  # rows of a task, and of a model that is slow
PEOPLE = 25  # about whom fifty facts are stored
PASSAGES = 4  # that tuned models are given: all that is known of a person
RECORD = "Give it as JSON."
USUAL_RATE = 4e-3
BRIEF = 24, 2e-3  # steps, learning rate
STORE = {"steps": 150, "lr": 5e-3, "r": 16, "batch_size": 16}
LONGER = {**STORE, "steps": 450}


class Bench:
    """The base and its tokenizer; every tuned model starts from a fresh one."""

    def __init__(self, run: DecidingRun) -> None:
        self.run = run
        self.base, self.tokenizer = models.load(run.model)
        self.seconds = 0.0

    def tune(
        self,
        rows: "Dataset",
        steps: int = 50,
        lr: float = USUAL_RATE,
        r: int = 8,
        batch_size: int = 8,
        base: "PreTrainedModel | None" = None,
    ) -> "PreTrainedModel":
        """A merged model of LoRA on the rows; base: another one to start from."""
        model = base or models.load(self.run.model)[0]
        adapted = lora.attach(model, r=r, alpha=2 * r, seed=self.run.seed)
        epochs = train.epochs_of(steps, len(rows), batch_size)
        recipe = train.Recipe(
            lr, epochs, batch_size, evaluations=0, keep_best=False, seed=self.run.seed
        )
        began = time.perf_counter()
        done = train.sft(adapted, self.tokenizer, {"train": rows}, recipe)
        self.seconds += time.perf_counter() - began
        return merge.merge_if_exact(done.model)

    def right(self, model: "PreTrainedModel", rows: "Dataset") -> float:
        """The share of rows that a model answers exactly right."""
        return evaluate.score(model, self.tokenizer, rows).task.value

    def harm(self, model: "PreTrainedModel") -> dict[str, float]:
        """What of the base's knowledge is left, and what is made up about strangers."""
        kept = forgetting.skills(
            model, self.tokenizer, 100, names=("known", "in_prompt", "extract")
        )
        made_up = evaluate.hallucination_rate(model, self.tokenizer, 100)
        return {
            "made up about strangers": made_up.value,
            **{f"skill {name}": rate.value for name, rate in kept.rates.items()},
        }


def measure_deciding(run: DecidingRun) -> DecidingRow:
    """Measure one arm on its task."""
    setup(seed=run.seed)
    bench = Bench(run)
    scores = MEASURES[run.task](bench)
    tokens = scores.pop("prompt tokens", None)
    return DecidingRow(
        **vars(run), scores=scores, prompt_tokens=tokens, seconds=round(bench.seconds, 1)
    )


def with_answers(chats: Sequence[list[dict]], rows: "Dataset") -> "Dataset":
    """Other prompts with the rows' answers."""
    return decide.as_asked(rows, lambda _: list(chats))


def last_line(rows: "Dataset") -> str:
    """The instruction that ends the rows' questions."""
    return rows["messages"][0][-2]["content"].rpartition("\n")[2]


def golds_of(rows: "Dataset") -> list[dict]:
    """The rows' answers, which are JSON."""
    return [json.loads(chat[-1]["content"]) for chat in rows["messages"]]


def fields_of(rows: "Dataset") -> list[str]:
    """Every key of the rows' JSON answers, in the order in which they come."""
    return list(dict.fromkeys(key for gold in golds_of(rows) for key in gold))


def prompt_tokens(bench: Bench, rows: "Dataset") -> float:
    """The mean number of tokens that are read before the answer."""
    counts = decide.count_prompt_tokens(bench.tokenizer, decide.zero_shot(rows))
    return sum(counts) / len(counts)


def measure_task(bench: Bench) -> dict[str, float]:
    """Zero-shot, shots, a schema, a list that is parsed, and tuned, on one of the kit's tasks."""
    run = bench.run
    few = models.affordable(bench.base, TESTED, TESTED_SLOW)
    test = data.first(data.test_rows(run.task), few)
    model, asked = bench.base, decide.zero_shot(test)
    drawn = tasks.draw_rows(run.task, 200, run.seed, teachable(), world.World())
    taught = data.to_dataset(drawn[: int(run.amount)] if run.arm.startswith("tuned") else drawn)
    if "schema" in run.arm:
        instruction = decide.schema_instruction(fields_of(taught))
        asked = decide.ask_for(asked, instruction, last_line(test))
        under = decide.ask_for(decide.zero_shot(taught), instruction, last_line(taught))
        taught = with_answers(under, taught)
    if "shots" in run.arm:
        shots = taught["messages"][: int(run.amount)]
        asked = decide.few_shot(model, bench.tokenizer, asked, shots)
    if run.arm == "list":
        return measure_list(bench, test)
    if run.arm.startswith("tuned"):
        steps, lr = (STEPS[run.task], USUAL_RATE) if run.arm == "tuned" else BRIEF
        model = bench.tune(taught, steps, lr)
    rows = with_answers(asked, test)
    score = evaluate.score(model, bench.tokenizer, rows)
    scores = {"test": score.task.value, "prompt tokens": prompt_tokens(bench, rows)}
    if score.format.n:
        scores["format"] = score.format.value
    if run.arm == "tuned":
        scores |= bench.harm(model)
    return scores


def measure_list(bench: Bench, test: "Dataset") -> dict[str, float]:
    """A list of the fields, and lines of Python that make JSON of it."""
    instruction = decide.list_instruction(fields_of(test))
    asked = decide.ask_for(decide.zero_shot(test), instruction, last_line(test))
    replies = models.answer(bench.base, bench.tokenizer, asked)
    golds = golds_of(test)
    said = [decide.read_list(reply) for reply in replies]
    right = sum(one == gold for one, gold in zip(said, golds, strict=True))
    formed = sum(one.keys() == gold.keys() for one, gold in zip(said, golds, strict=True))
    tokens = decide.count_prompt_tokens(bench.tokenizer, asked)
    return {
        "test": right / len(golds),
        "format": formed / len(golds),
        "prompt tokens": sum(tokens) / len(tokens),
    }


@functools.cache
def world_sentences() -> list[str]:
    """What the base was taught, as passages beside the new ones."""
    return decide.sentences(world.World().facts)


def retrieved(rows: "Dataset", facts: Sequence[tasks.NewFact], k: int) -> "Dataset":
    """The rows with the k passages before each question that fit it."""
    index = decide.Index([*decide.sentences(facts), *world_sentences()])
    return with_answers(decide.retrieve(decide.zero_shot(rows), index, k), rows)


def measure_facts(bench: Bench) -> dict[str, float]:
    """Asked before and after an update; retrieval with an index of its day and of the day before.

    tuned: closed-book, with retrieval, and tuned again on what has changed.
    """
    run = bench.run
    old = decide.new_facts()
    new = decide.update_facts(old, seed=run.seed)
    before, after = decide.questions(old), decide.questions(new)
    if run.arm == "zero-shot":
        known = bench.right(bench.base, before)
        return {"before": known, "prompt tokens": prompt_tokens(bench, before)}
    model = bench.base
    if run.arm in WORDINGS:
        return measure_worded(bench, old)
    if run.arm == "tuned":
        model = bench.tune(decide.questions(old, "train"), **STORE)
    k = int(run.amount)
    given = retrieved(before, old, k)
    scores = {"prompt tokens": prompt_tokens(bench, given)}
    scores["retrieval before"] = bench.right(model, given)
    for name, passages in (("retrieval", new), ("retrieval, old index", old)):
        scores |= after_update(bench, model, retrieved(after, passages, k), (before, after), name)
    if run.arm == "tuned":
        scores["stored"] = bench.right(model, decide.questions(old, "train"))
        scores["closed-book before"] = bench.right(model, before)
        scores |= after_update(bench, model, after, (before, after), "closed-book")
        scores |= bench.harm(model)
        changed = [now for was, now in zip(old, new, strict=True) if was != now]
        again = bench.tune(
            decide.questions(changed, "train"), steps=30, lr=5e-3, r=16, batch_size=16, base=model
        )
        scores |= after_update(bench, again, after, (before, after), "tuned again")
    return scores


def measure_worded(bench: Bench, facts: Sequence[tasks.NewFact]) -> dict[str, float]:
    """Each fact taught for longer, in as many wordings as the arm has.

    It is asked in the first of them, in another one, and in that with passages.
    """
    wordings = WORDINGS[bench.run.arm]
    rows = data.to_dataset([row for fact in facts for row in worded_rows(fact, wordings)])
    model = bench.tune(rows, **LONGER)
    asked = decide.questions(facts)
    given = retrieved(asked, facts, int(bench.run.amount))
    return {
        "prompt tokens": prompt_tokens(bench, given),
        "stored": bench.right(model, decide.questions(facts, "train")),
        "closed-book before": bench.right(model, asked),
        "retrieval before": bench.right(model, given),
        **bench.harm(model),
    }


def worded_rows(new: tasks.NewFact, count: int) -> list[dict]:
    """Questions for a fact in so many wordings, of which none is the one that it is asked in."""
    fact = new.fact
    rng = random.Random(f"{fact.entity}, {fact.attribute}, wordings")
    known = lexicon.QUESTIONS[fact.attribute][:-1]
    others = [wording for wording in known if wording not in (new.to_learn, new.to_test)]
    wordings = [new.to_learn, *rng.sample(others, count - 1)]
    return [tasks.chat_row(turns.Turn(fact.say(wording), fact.value)) for wording in wordings]


def after_update(
    bench: Bench,
    model: "PreTrainedModel",
    asked: "Dataset",
    sides: tuple["Dataset", "Dataset"],
    name: str,
) -> dict[str, float]:
    """What is said after an update: all, of the changed the new and the old, of the others."""
    replies = models.answer(model, bench.tokenizer, decide.zero_shot(asked))
    found = decide.staleness(replies, *sides)
    hits = found.right.hits + found.unchanged.hits
    return {
        f"{name} after": hits / (found.right.n + found.unchanged.n),
        f"{name}: changed": found.right.value,
        f"{name}: stale": found.stale.value,
        f"{name}: unchanged": found.unchanged.value,
    }


def record_row(fact: "world.entities.Fact", wording: str) -> dict:
    """A question for a fact as JSON, and the answer."""
    answer = json.dumps({"name": fact.entity, fact.attribute: fact.value})
    return tasks.chat_row(turns.Turn(f"{fact.say(wording)}\n{RECORD}", answer))


def measure_records(bench: Bench) -> dict[str, float]:
    """A fact as JSON: asked of the base, with passages, with a schema, and of tuned models."""
    run = bench.run
    rng = random.Random(f"records {run.seed}")
    new = decide.new_facts()
    asked = rng.sample(new, 80)
    test = data.to_dataset([record_row(one.fact, one.to_test) for one in asked])
    model = bench.base
    # what each arm is tuned on
    if run.arm == "tuned on the form":
        known = rng.sample([f for f in world.World().asked if f.kind == "person"], 48)
        rows = [record_row(fact, lexicon.QUESTIONS[fact.attribute][0]) for fact in known]
        model = bench.tune(data.to_dataset(rows))
    elif run.arm == "tuned on the facts":
        rows = [record_row(one.fact, one.to_learn) for one in new]
        model = bench.tune(data.to_dataset(rows), **STORE)
    elif run.arm == "tuned on passages":
        model = bench.tune(passage_rows(rng))
    # each is asked with the book open and closed, the base as its arm says
    given = retrieved(test, new, PASSAGES)
    if run.arm.startswith("tuned"):
        closed = record_scores(bench, model, test, "closed-book")
        return closed | record_scores(bench, model, given, "retrieval")
    rows = given if "retrieval" in run.arm else test
    if "schema" in run.arm:
        chats = []
        for chat, one in zip(decide.zero_shot(rows), asked, strict=True):
            instruction = decide.schema_instruction(("name", one.fact.attribute))
            chats += decide.ask_for([chat], instruction, RECORD)
        rows = with_answers(chats, rows)
    return record_scores(bench, model, rows, "test")


def passage_rows(rng: random.Random) -> "Dataset":
    """48 questions about strangers, as JSON, with the passages that answer them."""
    rows = []
    while len(rows) < 48:
        name = world.entities.new_name("person", rng, "train")
        own = world.entities.make_facts("person", name, rng, "train")
        fact = rng.choice(own)
        wording = rng.choice(lexicon.QUESTIONS[fact.attribute][:-1])
        rows.append(record_row(fact, wording) | {"facts": decide.sentences(own)})
    plain = data.to_dataset([{"messages": row["messages"]} for row in rows])
    chats = decide.with_passages(decide.zero_shot(plain), [row["facts"] for row in rows])
    return with_answers(chats, plain)


def record_scores(
    bench: Bench, model: "PreTrainedModel", rows: "Dataset", name: str
) -> dict[str, float]:
    """Exact, in format, and whether the value is right; and the tokens of the prompt."""
    score = evaluate.score(model, bench.tokenizer, rows)
    values = [list(gold.values())[1] for gold in golds_of(rows)]
    said = sum(str(value) in reply for value, reply in zip(values, score.replies, strict=True))
    return {
        name: score.task.value,
        f"{name}: format": score.format.value,
        f"{name}: value said": said / len(values),
        "prompt tokens": prompt_tokens(bench, rows),
    }


def measure_stored(bench: Bench) -> dict[str, float]:
    """Fifty facts or fifty tickets: what was trained, what is like it, and what it costs."""
    run = bench.run
    if run.arm == "tickets":
        drawn = tasks.draw_rows("tickets", 50, run.seed, teachable(), world.World())
        model = bench.tune(data.to_dataset(drawn))
        test = data.test_rows("tickets")
        shares = {}
        for kind in ("trained", "unseen"):
            half = test.filter(lambda row, kind=kind: row["wording"] == kind)
            shares[f"{kind} wordings"] = bench.right(model, data.first(half, TESTED))
        return shares | bench.harm(model)
    # two facts each about 25 people, drawn by the seed
    new = decide.new_facts()
    people = list(dict.fromkeys(one.fact.entity for one in new))
    chosen = set(random.Random(f"stored {run.seed}").sample(people, PEOPLE))
    asked = ("city", "job")
    own = [o for o in new if o.fact.entity in chosen and o.fact.attribute in asked]
    rows = decide.questions(own, "train")
    model = bench.tune(rows, 200, r=16) if run.arm == "facts" else bench.tune(rows)
    rng = random.Random(f"backwards {run.seed}")
    reversed_rows = [
        tasks.chat_row(turns.Turn(turns.ask_backwards(one.fact, rng), one.fact.entity))
        for one in own
        if one.fact.attribute == "city"
    ]
    return {
        "trained": bench.right(model, rows),
        "other wording": bench.right(model, decide.questions(own, "test")),
        "reversed": bench.right(model, data.to_dataset(reversed_rows)),
        **bench.harm(model),
    }


def measure_doses(bench: Bench) -> dict[str, float]:
    """96 questions with short answers, a share of them about people whom the base never met."""
    run = bench.run
    rng = random.Random(f"doses {run.seed}")
    unknown_facts = rng.sample(decide.new_facts(), round(96 * run.amount))
    asked = rng.sample(world.World().asked, 288 - len(unknown_facts))
    unknown = decide.questions(unknown_facts, "train").to_list()
    known = [
        tasks.chat_row(turns.Turn(fact.ask(rng), fact.value))
        for fact in asked[: 96 - len(unknown_facts)]
    ]
    others = [tasks.chat_row(turns.Turn(fact.ask(rng), fact.value)) for fact in asked[-192:]]
    unsure = [tasks.chat_row(turns.unknown(world.World(), rng, "train")) for _ in range(run.unsure)]
    rows = [{"messages": row["messages"]} for row in (*unknown, *known, *unsure)]
    model = bench.tune(data.to_dataset(rows), steps=10 * len(rows) // 8, lr=2e-3)
    scores = {"other known facts": bench.right(model, data.to_dataset(others))}
    for name, part in (("unknown rows", unknown), ("known rows", known)):
        if part:
            scores[name] = bench.right(model, data.to_dataset(part))
    return scores | bench.harm(model)


def measure_patterns(bench: Bench) -> dict[str, float]:
    """A rewriting shown by examples before the question, or learned from them as rows."""
    run = bench.run
    rng = random.Random(f"patterns {run.seed}")
    forms = [turns.draw_rewriting(rng, "test") for _ in range(4 if run.arm == "tuned" else 24)]
    right = asked = 0
    for form in forms:
        cases = [rewrite(form, rng) for _ in range(8 + (48 if run.arm == "tuned" else 12))]
        n = int(run.amount)
        tested, shown = cases[:8], cases[8 : 8 + n]
        if run.arm == "tuned":
            rows = [tasks.chat_row(turns.Turn(f"{case} ->", answer)) for case, answer in shown]
            model = bench.tune(data.to_dataset(rows), steps=40)
            shown = []
        else:
            model = bench.base
        before = "".join(f"{case} -> {answer}\n" for case, answer in shown)
        rows = [tasks.chat_row(turns.Turn(f"{before}{case} ->", answer)) for case, answer in tested]
        right += evaluate.score(model, bench.tokenizer, data.to_dataset(rows)).task.hits
        asked += len(rows)
    return {"test": right / asked}


def rewrite(form: str, rng: random.Random) -> tuple[str, str]:
    """A case, a name and an item, and how the form writes it."""
    pair = world.entities.new_name("person", rng, "test"), rng.choice(lexicon.ITEMS)
    return "{} and {}".format(*pair), form.format(*pair)


MEASURES: Mapping[str, Callable[[Bench], dict[str, float]]] = {
    **dict.fromkeys(("tickets", "trays", "shipments", "calls", "greeted"), measure_task),
    "facts": measure_facts,
    "records": measure_records,
    "stored": measure_stored,
    "doses": measure_doses,
    "patterns": measure_patterns,
}
