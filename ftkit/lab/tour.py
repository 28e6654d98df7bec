"""The whole road in a minute: notebook 00 without the notebook.

    run_tour(out)   tune gently and hot, compare, see what was forgotten, merge: a `Tour`

One gentle run and one hot one on the same tickets, each held against the base, and the gentle one
merged. The steps themselves are `train`, `evaluate`, `forgetting` and `merge`; here they are only
put in order and shown on one page. `python -m ftkit tour` prints it.
"""

import dataclasses
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .. import data, evaluate, forgetting, merge, models, train
from ..core.files import whole_or_nothing
from ..core.results import Result, TableParts, about, percent, percent_in
from ..show.plots import curves, skills
from ..train import Experiment, Recipe

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Say = Callable[[str], object]
COOL = Experiment(replay=0.25)
HOTTER = 10  # the hot road's learning rate, as a multiple


@dataclass(frozen=True)
class Size:
    """How much of everything a tour takes: all there is of a fast model, less of a slow one."""

    cool: Experiment
    tested: int  # test rows
    probes: int  # of each skill
    strangers: int  # questions about people whom nobody can know

    @property
    def hot(self) -> Experiment:
        """The same road at a higher rate, without replay, to its last step."""
        recipe = self.cool.recipe
        hot = dataclasses.replace(recipe, lr=HOTTER * recipe.lr, evaluations=0)
        return dataclasses.replace(self.cool, replay=0.0, recipe=hot)


WHOLE = Size(COOL, tested=200, probes=50, strangers=100)
# Minutes of a model that is slow here; general rows speak of a world that such a model never saw.
SHORT_RECIPE = Recipe(epochs=1, batch_size=4, evaluations=0)
SHORT = Size(Experiment(rows=48, recipe=SHORT_RECIPE), tested=12, probes=6, strangers=24)


class Asked(NamedTuple):
    """What a model still can: its skills, and of a slow one also its loss on plain text."""

    skills: forgetting.Skills
    text: forgetting.TextLoss | None = None


@dataclass(frozen=True, repr=False)
class Tour(Result):
    """Everything that the tour measured; `json()` is what `python -m ftkit tour --json` prints."""

    size: Size
    seconds: float
    run: train.Run
    comparison: evaluate.Comparison
    hot: evaluate.Score
    asked: dict[str, Asked]  # of "base", "tuned" and "hot"
    speed: evaluate.Latency
    merged: merge.MergeReport

    @property
    def forgotten(self) -> forgetting.Forgetting:
        """What the gentle road cost."""
        return forgetting.table(self.asked["base"].skills, self.asked["tuned"].skills)

    @property
    def hot_forgotten(self) -> forgetting.Forgetting:
        """What the hot road cost."""
        return forgetting.table(self.asked["base"].skills, self.asked["hot"].skills)

    @property
    def text(self) -> dict[str, forgetting.TextLoss]:
        """The losses on plain text by name; empty where they were not asked."""
        return {name: asked.text for name, asked in self.asked.items() if asked.text is not None}

    def json(self) -> dict:
        """By name what the tour measured, as JSON values.

        Shares go from 0 to 1, with their counts and 95 % intervals beside them; latencies are in
        milliseconds per token, `kl` in nats per token.
        """
        # what the other wings have no json() for, or not under these names
        merged = {
            "max_logit_gap": self.merged.max_logit_gap,
            "kl": self.merged.kl,
            "top1_agreement": self.merged.top1_agreement,
        }
        hot = {
            "lr": self.size.hot.recipe.lr,
            "replay": self.size.hot.replay,
            "task": self.hot.task.value,
            "format": self.hot.format.value,
            **self.hot_forgotten.json(),
        }
        text = {name: loss.json() for name, loss in self.text.items()}
        # then all of it in the order in which the tour went
        return {
            "seconds": round(self.seconds, 1),
            "trainable": self.run.trainable,
            **self.comparison.json(),
            **self.forgotten.json(),
            **evaluate.flags(self.comparison, self.forgotten).json(),
            "latency_ms": {k: round(self.speed.median(k), 2) for k in self.speed.ms},
            "merge": merged,
            "hot": hot,
            **({"text": text} if text else {}),
        }

    def table(self) -> TableParts:
        """The tour on one page: base, gently tuned, tuned hot."""
        # the numbers of each line, from the left column to the right one
        compared, hot = self.comparison, self.hot
        task = compared.base.task, compared.tuned.task, hot.task
        layout = compared.base.format, compared.tuned.format, hot.format
        made_up = compared.hallucination["base"], compared.hallucination["tuned"]
        probed = self.forgotten.before, self.forgotten.after, self.hot_forgotten.after
        lost, hot_lost = percent_in(*self.forgotten.lost), percent_in(*self.hot_forgotten.lost)
        ms = {name: about(self.speed.median(name), 2) for name in ("base", "adapter", "merged")}
        # what belongs to the gently tuned model alone
        trained = f"{self.run.trainable:,} of {self.run.total:,}"
        asked = "general skills by choice, mean" if self.text else "general skills, mean"
        rows = [
            ("exact JSON on unseen tickets", *(percent(rate.value) for rate in task)),
            ("strict format", *(percent(rate.value) for rate in layout)),
            (asked, *(percent(probes.mean) for probes in probed)),
            ("skill lost [95 % interval]", "", lost, hot_lost),
            *self.text_row(),
            ("made up about strangers", *(percent(rate.value) for rate in made_up), ""),
            ("ms for one token", ms["base"], f"{ms['adapter']}, merged {ms['merged']}", ""),
            ("largest logit gap after merging", "", about(self.merged.max_logit_gap, 2), ""),
            ("trainable parameters", "", trained, ""),
        ]
        heads = (
            "",
            "base",
            f"tuned, {in_words(self.size.cool)}",
            f"hot, {in_words(self.size.hot)}",
        )
        return f"The tour took ≈{self.seconds:.0f} s", heads, rows

    def text_row(self) -> list[tuple]:
        """The cross-entropy on plain text, where it was asked."""
        losses = [about(loss.mean) for loss in self.text.values()]
        return [("plain text, nats per token", *losses)] if losses else []


def run_tour(out: str | Path | None = None, say: Say = lambda _: None) -> Tour:
    """Tune the model on tickets, once gently and once hot, and measure both.

    A model that is slow here trains and is asked on less, and is asked by choice (see `SHORT` and
    `forgetting.choices`). out: gets run.json, adapter/, merged/, tour.json and two figures. say: is
    told each step before it starts, and how far a training is where there is no bar.
    """
    # the base, before anything is trained
    began = time.perf_counter()
    base, tokenizer = models.load(COOL.model)
    size = models.affordable(base, WHOLE, SHORT)
    if out is not None:
        train.check_place(size.cool, out)
    say(f"asking the base model for its skills, {size.probes} questions each")
    test = data.first(data.load("tickets")["test"], size.tested)
    before = ask(base, tokenizer, size)
    # the gentle road
    say(f"tuning: LoRA, {in_words(size.cool)}")
    tuned, _ = size.cool.run(watch=train.tell_steps(say))
    say(f"comparing base and tuned on {size.tested} unseen tickets")
    compared = evaluate.compare(base, tuned.model, tokenizer, test, strangers=size.strangers)
    after = ask(tuned.model, tokenizer, size)
    # the same road hot
    say(f"the same road hot: {in_words(size.hot)}")
    hot, _ = size.hot.run(watch=train.tell_steps(say))
    say("asking what the hot road left")
    hot_score = evaluate.score(hot.model, tokenizer, test, "hot")
    left = ask(hot.model, tokenizer, size)
    # the adapter folded into its base
    say("merging, and holding the merged model against the adapter")
    merged, report = merge.merge(tuned.model)
    timed = {"base": base, "adapter": tuned.model, "merged": merged}
    speed = evaluate.latency(timed, tokenizer, test["messages"][0])
    # everything on one page, and on disk
    seconds = time.perf_counter() - began
    asked = {"base": before, "tuned": after, "hot": left}
    tour = Tour(size, seconds, tuned, compared, hot_score, asked, speed, report)
    if out is not None:
        save(tour, merged, tokenizer, Path(out))
    return tour


def in_words(road: Experiment) -> str:
    """Rate and replay of a road."""
    replay = f"replay {road.replay:.0%}" if road.replay else "no replay"
    return f"lr {road.recipe.lr:g}, {replay}"


def ask(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", size: Size) -> Asked:
    """A model's skills; of a slow one by choice, and how well it foretells plain text."""
    if size is WHOLE:
        return Asked(forgetting.skills(model, tokenizer, size.probes))
    chosen = forgetting.choices(model, tokenizer, size.probes)
    return Asked(chosen, forgetting.text_loss(model, tokenizer))


def save(
    tour: Tour, merged: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", out: Path
) -> None:
    """Write the run folder: run.json, adapter/, merged/, tour.json and the figures."""
    train.save_run(tour.size.cool, tour.run, tokenizer, out, scores=tour.json())
    with whole_or_nothing(out) as new:
        merge.save(merged, tokenizer, new / "merged")
        merge.write_record(new / "merged", tour.run.hashes["base"], tour.merged, out)
        for name, figure in figures(tour).items():
            figure.savefig(new / f"{name}.png")
        (new / "tour.json").write_text(json.dumps(tour.json(), indent=1) + "\n", encoding="utf-8")


def figures(tour: Tour) -> dict[str, "Figure"]:
    """The skill dumbbells of both roads, and the loss curves of the first, by file name."""
    shares = {}
    for name, asked in tour.asked.items():
        shares[name] = {skill: rate.value for skill, rate in asked.skills.rates.items()}
    shares["tuned hot"] = shares.pop("hot")
    return {
        "skills": skills(shares.pop("base"), shares),
        "loss": curves(tour.run.losses, tour.run.validation, tour.run.best_step),
    }
