"""Train one run of the grid "data", and ask what it learned: a `DataRow`.

    measure_data(run)    the changed rows, a run of LoRA on them, the shares of right answers

Everything is drawn from the run's own seed, and nothing on disk changes. `changing` makes the rows,
`lab` makes all the runs. Notebook 05.
"""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from .. import data, evaluate, lora, merge, models, train
from ..core.session import setup
from .by_hand import fit, learned_tokens
from .changing import Prepared, change_rows
from .points import BATCH, DataRow, DataRun
from .templates import TEMPLATES, written_in

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

LONGEST = {"trays": 24}  # tokens of a reply: enough to see one that goes on
IN_TEMPLATES = 60  # test rows that are asked in each template
BY_HAND = {"prompt learned": "all", "end masked": "no end", "end learned": "answer"}


def measure_data(run: DataRun) -> DataRow:
    """Train on a run's rows and ask its questions."""
    setup(seed=run.seed)
    base, tokenizer = models.load("pocket")
    prepared = change_rows(run, base, tokenizer)
    began = time.perf_counter()
    tuned, loss = train_on(run, base, tokenizer, prepared.train)
    seconds = time.perf_counter() - began
    return DataRow(
        **vars(run),
        scores={**prepared.known, **ask(run, tuned, tokenizer, prepared)},
        trained_rows=len(prepared.train),
        loss=loss,
        seconds=round(seconds, 1),
    )


def train_on(
    run: DataRun, base: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", rows: "Dataset"
) -> tuple["PreTrainedModel", float]:
    """(the merged model, its last loss) of LoRA on the rows, for the run's steps."""
    adapted = lora.attach(base, r=run.r, alpha=2 * run.r, seed=run.seed)
    if run.change.startswith("template "):
        tokenizer = written_in(tokenizer, run.change.removeprefix("template "))
    # what the kit refuses to do is done by hand
    if run.change in BY_HAND:
        chats = [data.render(messages, tokenizer) for messages in rows["messages"]]
        which = BY_HAND[run.change]
        taught = [(chat.ids, learned_tokens(chat, which)) for chat in chats]
        loss = fit(adapted, tokenizer, taught, steps=run.steps, lr=run.lr, seed=run.seed)
        return merge.merge_if_exact(adapted), loss
    epochs = train.epochs_of(run.steps, len(rows), BATCH)
    recipe = train.Recipe(run.lr, epochs, BATCH, evaluations=0, keep_best=False, seed=run.seed)
    done = train.sft(adapted, tokenizer, {"train": rows}, recipe)
    return merge.merge_if_exact(done.model), done.loss


def ask(
    run: DataRun,
    tuned: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prepared: Prepared,
) -> Mapping[str, float]:
    """The share of exactly right answers to every set of questions, and what else is counted."""
    if run.change.startswith("template "):
        rows = data.first(prepared.asked["test"], IN_TEMPLATES)
        return {
            name: evaluate.score(tuned, written_in(tokenizer, name), rows).task.value
            for name in TEMPLATES
        }
    scores: dict[str, float] = {}
    for name, rows in prepared.asked.items():
        score = evaluate.score(tuned, tokenizer, rows, name, LONGEST.get(run.task))
        scores[name] = score.task.value
        if score.format.n and name == "test":
            scores["format"] = score.format.value
            scores |= {f"field {key}": rate.value for key, rate in score.fields.items()}
        if run.change.startswith("end "):
            scores["goes on"] = share_going_on(score.replies, rows)
            scores["cut off"] = score.cut_off.value
    return scores


def share_going_on(replies: list[str], rows: "Dataset") -> float:
    """The share of replies that begin with the right answer and do not end there."""
    golds = [chat[-1]["content"] for chat in rows["messages"]]
    going = [
        reply.startswith(gold) and reply != gold for reply, gold in zip(replies, golds, strict=True)
    ]
    return sum(going) / len(going)
