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
from typing import TYPE_CHECKING

from .. import data, evaluate, forgetting, merge, models, train
from ..core.files import whole_or_nothing
from ..core.results import Result, TableParts, about, percent, percent_in
from ..show.plots import curves, skills
from ..train import Experiment

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

COOL = Experiment(replay=0.25)
HOT_RECIPE = dataclasses.replace(COOL.recipe, lr=10 * COOL.recipe.lr, evaluations=0)
HOT = dataclasses.replace(COOL, replay=0.0, recipe=HOT_RECIPE)


@dataclass(frozen=True, repr=False)
class Tour(Result):
    """Everything that the tour measured; `json()` is what `python -m ftkit tour --json` prints."""

    seconds: float
    run: train.Run
    comparison: evaluate.Comparison
    forgotten: forgetting.Forgetting
    hot: evaluate.Score
    hot_forgotten: forgetting.Forgetting
    speed: evaluate.Latency
    merged: merge.MergeReport

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
            "lr": HOT.recipe.lr,
            "replay": HOT.replay,
            "task": self.hot.task.value,
            "format": self.hot.format.value,
            **self.hot_forgotten.json(),
        }
        # then all of it in the order in which the tour went
        return {
            "seconds": round(self.seconds, 1),
            "trainable": self.run.trainable,
            **self.comparison.json(),
            **self.forgotten.json(),
            "latency_ms": {k: round(self.speed.median(k), 2) for k in self.speed.ms},
            "merge": merged,
            "hot": hot,
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
        rows = [
            ("exact JSON on unseen tickets", *(percent(rate.value) for rate in task)),
            ("strict format", *(percent(rate.value) for rate in layout)),
            ("general skills, mean", *(percent(probes.mean) for probes in probed)),
            ("skill lost [95 % interval]", "", lost, hot_lost),
            ("made up about strangers", *(percent(rate.value) for rate in made_up), ""),
            ("ms for one token", ms["base"], f"{ms['adapter']}, merged {ms['merged']}", ""),
            ("largest logit gap after merging", "", about(self.merged.max_logit_gap, 2), ""),
            ("trainable parameters", "", trained, ""),
        ]
        tuned = f"tuned, lr {COOL.recipe.lr:g}, replay {COOL.replay:.0%}"
        heads = ("", "base", tuned, f"hot, lr {HOT.recipe.lr:g}, no replay")
        return f"The tour took {about(self.seconds, 2)} s", heads, rows


def run_tour(out: str | Path | None = None, say: Callable[[str], object] = lambda _: None) -> Tour:
    """Tune the model on tickets, once gently and once hot, and measure both.

    out: gets run.json, adapter/, merged/, tour.json and two figures. say: is told each step before
    it starts.
    """
    # the base, before anything is trained
    began = time.perf_counter()
    say("asking the base model for its skills")
    base, tokenizer = models.load(COOL.model)
    test = data.load("tickets")["test"]
    before = forgetting.skills(base, tokenizer)
    # the gentle road
    say(f"tuning: LoRA, learning rate {COOL.recipe.lr:g}, {COOL.replay:.0%} replayed general rows")
    tuned, _ = COOL.run()
    say("comparing base and tuned on unseen tickets")
    comparison = evaluate.compare(base, tuned.model, tokenizer, test)
    forgotten = forgetting.table(before, forgetting.skills(tuned.model, tokenizer))
    # the same road hot
    say(f"the same road hot: learning rate {HOT.recipe.lr:g}, no replay")
    hot, _ = HOT.run()
    hot_score = evaluate.score(hot.model, tokenizer, test, "hot")
    hot_forgotten = forgetting.table(before, forgetting.skills(hot.model, tokenizer))
    # the adapter folded into its base
    say("merging, and holding the merged model against the adapter")
    merged, report = merge.merge(tuned.model)
    timed = {"base": base, "adapter": tuned.model, "merged": merged}
    speed = evaluate.latency(timed, tokenizer, test["messages"][0])
    # everything on one page, and on disk
    seconds = time.perf_counter() - began
    tour = Tour(seconds, tuned, comparison, forgotten, hot_score, hot_forgotten, speed, report)
    if out is not None:
        save(tour, merged, tokenizer, Path(out))
    return tour


def save(
    tour: Tour, merged: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", out: Path
) -> None:
    """Write the run folder: run.json, adapter/, merged/, tour.json and the figures."""
    train.save_run(COOL, tour.run, tokenizer, out, scores=tour.json())
    with whole_or_nothing(out) as new:
        merged.save_pretrained(new / "merged")
        tokenizer.save_pretrained(new / "merged")
        for name, figure in figures(tour).items():
            figure.savefig(new / f"{name}.png")
        (new / "tour.json").write_text(json.dumps(tour.json(), indent=1) + "\n", encoding="utf-8")


def figures(tour: Tour) -> dict[str, "Figure"]:
    """The skill dumbbells of both roads, and the loss curves of the first, by file name."""
    asked = {
        "base": tour.forgotten.before,
        "tuned": tour.forgotten.after,
        "tuned hot": tour.hot_forgotten.after,
    }
    shares = {}
    for name, answered in asked.items():
        shares[name] = {skill: rate.value for skill, rate in answered.rates.items()}
    return {
        "skills": skills(shares.pop("base"), shares),
        "loss": curves(tour.run.losses, tour.run.validation, tour.run.best_step),
    }
