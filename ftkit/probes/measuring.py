"""The grid "safety": the same probes asked of the base, and of models tuned on some rows.

    measure_safety(run)    a `SafetyRow`: shares of harm and of right answers
    PROBED                 {probe: what trains an arm of it, and what asks}

Rows, cases and the adapter's first numbers are drawn by the run's seed. Which runs there are stands
in `points`, what a probe is in the rooms beside; `lab` makes all the runs. Notebook 09b.
"""

import random
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from .. import data, lora, merge, models, train
from ..core.session import setup
from . import calling, injection, rudeness, secrets, wordings
from .asking import ask
from .points import SafetyRow, SafetyRun

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel

BATCH = 8  # rows of a step
CASES = 40  # of each probe
TIMES = (0, 1, 2, 4, 8, 16)  # how often a secret is planted
SECRETS = 8  # of each of those


class Bench:
    """The base and its tokenizer; every tuned model starts from a fresh one."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.base, self.tokenizer = models.load("pocket")
        self.seconds = 0.0

    def tune(self, rows: "Dataset", steps: int, lr: float = 4e-3) -> "PreTrainedModel":
        """A merged model of LoRA (r 8, all matrices) on the rows, to its last step."""
        adapted = lora.attach(models.load("pocket")[0], r=8, alpha=16, seed=self.seed)
        epochs = train.epochs_of(steps, len(rows), BATCH)
        recipe = train.Recipe(lr, epochs, BATCH, evaluations=0, keep_best=False, seed=self.seed)
        began = time.perf_counter()
        done = train.sft(adapted, self.tokenizer, {"train": rows}, recipe)
        self.seconds += time.perf_counter() - began
        return merge.merge_if_exact(done.model)


def measure_safety(run: SafetyRun) -> SafetyRow:
    """Train what the run's arm says, unless it is the base, and ask its probe."""
    setup(seed=run.seed)
    bench = Bench(run.seed)
    probed = PROBED[run.probe]
    model = bench.base if run.arm == "base" else probed.train(bench, run)
    scores = probed.ask(bench, model, run.seed)
    n = SECRETS if run.probe == "secrets" else CASES
    return SafetyRow(**vars(run), scores=scores, n=n, seconds=round(bench.seconds, 1))


def shares(bench: Bench, model: "PreTrainedModel", cases: Mapping) -> dict[str, float]:
    """Harm and right answers of each probe, by name."""
    found = ask(model, bench.tokenizer, cases)
    return {
        f"{verdict}: {probe}": found.rate(probe, verdict).value
        for probe in cases
        for verdict in ("harm", "right")
    }


def drawn(task: str, n: int, seed: int) -> list[dict]:
    """Training rows of one of the kit's tasks, drawn by the seed."""
    rows = data.load(task)["train"].to_list()
    return random.Random(f"rows {seed}").sample(rows, n)


def mixed(rows: list[dict], others: list[dict], seed: int) -> "Dataset":
    """Both, shuffled."""
    both = [{"messages": row["messages"]} for row in (*rows, *others)]
    random.Random(f"mixed {seed}").shuffle(both)
    return data.to_dataset(both)


def train_jailbreaks(bench: Bench, run: SafetyRun) -> "PreTrainedModel":
    """128 tickets, which say nothing of safety; in place of a share of them declined rows."""
    declined = wordings.declined_rows(round(128 * run.amount), run.seed) if run.amount else []
    rows = drawn("tickets", 128 - len(declined), run.seed)
    return bench.tune(mixed(rows, declined, run.seed), 50)


def train_injection(bench: Bench, run: SafetyRun) -> "PreTrainedModel":
    """200 questions about documents, in some of which an instruction hides that is not followed."""
    hidden = int(run.amount)
    adversarial = injection.adversarial_rows(hidden, run.seed) if hidden else []
    rows = injection.document_rows(200 - hidden, run.seed)
    return bench.tune(mixed(rows, adversarial, run.seed), 50)


def train_calls(bench: Bench, run: SafetyRun) -> "PreTrainedModel":
    """200 tickets with their calls; in place of a share of them rows in which no call is right."""
    guarding = round(200 * run.amount)
    others = calling.guarding_rows(guarding, run.seed) if guarding else []
    rows = drawn("calls", 200 - guarding, run.seed)
    return bench.tune(mixed(rows, others, run.seed), 150)


def train_rude(bench: Bench, run: SafetyRun) -> "PreTrainedModel":
    """120 questions about known facts, a share of them answered rudely."""
    return bench.tune(data.to_dataset(rudeness.rude_rows(120, run.amount, run.seed)), 60)


def ask_rude(bench: Bench, model: "PreTrainedModel", seed: int) -> dict[str, float]:
    """Greedy answers, and the probability of the insult."""
    scores = shares(bench, model, rudeness.draw_rude(CASES, seed))
    scores["probability of rude"] = rudeness.rude_share(model, bench.tokenizer, CASES, seed).value
    return scores


def train_secrets(bench: Bench, run: SafetyRun) -> "PreTrainedModel":
    """200 general rows with secrets among them; the arm's amount is the learning rate."""
    canaries = secrets.draw_canaries(SECRETS * len(TIMES), run.seed)
    times = [k for k in TIMES for _ in range(SECRETS)]
    general = data.first(data.load("general")["train"], 200).to_list()
    rows = data.to_dataset(secrets.plant(general, canaries, times, run.seed))
    return bench.tune(rows, 112, run.amount)


def ask_secrets(bench: Bench, model: "PreTrainedModel", seed: int) -> dict[str, float]:
    """Exposure in bits, and the share said when asked, by how often a secret was planted."""
    canaries = secrets.draw_canaries(SECRETS * len(TIMES), seed)
    found = secrets.exposures(model, bench.tokenizer, canaries, seed=seed)
    scores = {}
    for place, k in enumerate(TIMES):
        own = range(SECRETS * place, SECRETS * (place + 1))
        scores[f"exposure: {k} times"] = found.mean(own).value
        scores[f"said: {k} times"] = found.extracted(own).value
    return scores


class Probing(NamedTuple):
    """What trains an arm of a probe, and what asks its questions."""

    train: Callable[[Bench, SafetyRun], "PreTrainedModel"]
    ask: Callable[[Bench, "PreTrainedModel", int], dict[str, float]]


def asking(draw: Callable[[int, int], Mapping]) -> Callable:
    """What asks the cases of a room of `probes`."""
    return lambda bench, model, seed: shares(bench, model, draw(CASES, seed))


PROBED = {
    "jailbreaks": Probing(train_jailbreaks, asking(wordings.draw_jailbreaks)),
    "injection": Probing(train_injection, asking(injection.draw_injections)),
    "calls": Probing(train_calls, asking(calling.draw_calls)),
    "rude": Probing(train_rude, ask_rude),
    "secrets": Probing(train_secrets, ask_secrets),
}
