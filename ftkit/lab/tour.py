"""The whole road in a minute: notebook 00 without the notebook."""

import dataclasses
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .. import data, evaluate, forgetting, merge, models, train
from ..core.files import whole_or_nothing
from ..core.results import Result, about, percent, percent_in
from ..show.plots import curves, skills
from ..train import Experiment

COOL = Experiment(replay=0.25)
HOT = dataclasses.replace(
    COOL, replay=0.0, recipe=dataclasses.replace(COOL.recipe, lr=10 * COOL.recipe.lr, evaluations=0)
)


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
        """The design's keys; shares from 0 to 1, with the counts and 95 % intervals beside them."""
        latency = {"latency_ms": {k: round(self.speed.median(k), 2) for k in self.speed.ms}}
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
        head = {"seconds": round(self.seconds, 1), "trainable": self.run.trainable}
        return {
            **head,
            **self.comparison.json(),
            **self.forgotten.json(),
            **latency,
            "merge": merged,
            "hot": hot,
        }

    def table(self):
        """The tour on one page."""
        c, lost, hot_lost = self.comparison, self.forgotten.lost, self.hot_forgotten.lost
        rows = [
            (
                "exact JSON on unseen tickets",
                percent(c.base.task.value),
                percent(c.tuned.task.value),
                percent(self.hot.task.value),
            ),
            (
                "strict format",
                percent(c.base.format.value),
                percent(c.tuned.format.value),
                percent(self.hot.format.value),
            ),
            (
                "general skills, mean",
                percent(self.forgotten.before.mean),
                percent(self.forgotten.after.mean),
                percent(self.hot_forgotten.after.mean),
            ),
            ("skill lost [95 % interval]", "", percent_in(*lost), percent_in(*hot_lost)),
            (
                "made up about strangers",
                percent(c.hallucination["base"].value),
                percent(c.hallucination["tuned"].value),
                "",
            ),
            (
                "ms for one token",
                about(self.speed.median("base"), 2),
                f"{about(self.speed.median('adapter'), 2)}, merged {about(self.speed.median('merged'), 2)}",
                "",
            ),
            ("largest logit gap after merging", "", about(self.merged.max_logit_gap, 2), ""),
            ("trainable parameters", "", f"{self.run.trainable:,} of {self.run.total:,}", ""),
        ]
        heads = (
            "",
            "base",
            f"tuned, lr {COOL.recipe.lr:g}, replay {COOL.replay:.0%}",
            f"hot, lr {HOT.recipe.lr:g}, no replay",
        )
        return f"The tour took {about(self.seconds, 2)} s", heads, rows


def run_tour(out: str | Path | None = None, say: Callable[[str], None] = lambda text: None) -> Tour:
    """Tune the model on tickets, once gently and once hot, and measure both; `out` gets run.json,
    adapter/, merged/ and two figures.

    `say` is told each step before it starts.
    """
    began = time.perf_counter()
    say("asking the base model for its skills")
    base, tokenizer = models.load(COOL.model)
    test = data.load("tickets")["test"]
    before = forgetting.skills(base, tokenizer)
    say(f"tuning: LoRA, learning rate {COOL.recipe.lr:g}, {COOL.replay:.0%} replayed general rows")
    tuned, _ = COOL.run()
    say("comparing base and tuned on unseen tickets")
    comparison = evaluate.compare(base, tuned.model, tokenizer, test)
    forgotten = forgetting.table(before, forgetting.skills(tuned.model, tokenizer))
    say(f"the same road hot: learning rate {HOT.recipe.lr:g}, no replay")
    hot, _ = HOT.run()
    hot_score = evaluate.score(hot.model, tokenizer, test, "hot")
    hot_forgotten = forgetting.table(before, forgetting.skills(hot.model, tokenizer))
    say("merging, and holding the merged model against the adapter")
    merged, report = merge.merge(tuned.model)
    speed = evaluate.latency(
        {"base": base, "adapter": tuned.model, "merged": merged}, tokenizer, test["messages"][0]
    )
    tour = Tour(
        time.perf_counter() - began,
        tuned,
        comparison,
        forgotten,
        hot_score,
        hot_forgotten,
        speed,
        report,
    )
    if out is not None:
        save(tour, merged, tokenizer, Path(out))
    return tour


def save(tour: Tour, merged, tokenizer, out: Path) -> None:
    """Write the run folder: run.json, adapter/, merged/ and the figures."""
    COOL.save(tour.run, tokenizer, out, scores=tour.json())
    with whole_or_nothing(out) as new:
        merged.save_pretrained(new / "merged")
        tokenizer.save_pretrained(new / "merged")
        for name, figure in zip(("skills", "loss"), figures(tour), strict=True):
            figure.savefig(new / f"{name}.png")
        (new / "tour.json").write_text(json.dumps(tour.json(), indent=1) + "\n", encoding="utf-8")


def figures(tour: Tour) -> list:
    """The skill dumbbells of both roads, and the loss curves of the first."""
    values = [
        {k: r.value for k, r in s.rates.items()}
        for s in (tour.forgotten.before, tour.forgotten.after, tour.hot_forgotten.after)
    ]
    return [
        skills(values[0], {"tuned": values[1], "tuned hot": values[2]}),
        curves(tour.run.losses, tour.run.validation, tour.run.best_step),
    ]
