"""Make a run of the ward: it really trains, with one fault, and leaves what its owner would see.

    make_run(run, out)     train into the folder `out`: run.json, rows.json, seen.json, adapter/
    measure_ward(run)      the same in a folder that goes again, with what the doctor says of it
    FAULTS                 what may be wrong with a run

The kit's own `train` refuses most of these faults, so they are trained by the loop of `studies`.
What is ill, and what cures it, stands in `illnesses`. Notebook 11.
"""

import dataclasses
import hashlib
import json
import math
import random
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from .. import data, doctor, evaluate, lora, models, studies, train, world
from ..core.errors import UserError, nearest
from ..core.session import setup
from ..core.versions import recorded_versions
from ..data import Rendered
from ..studies import BATCH, DataRun, Loop, Taught, answer_of, answered, learned_tokens
from ..train import NO_LOSS
from .illnesses import HEALTHY, ILLNESSES, LEARNED, Sample, WardRow, WardRun

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ..lora import PeftModel

R, ALPHA = 8, 16
COPIES = 50  # of the one wrong row
SHORT = 84  # tokens that are left of a row whose answer is cut off
LOSS_SCALE = 2.0**24  # it stays, whatever the gradients become
EPS = 1e-4  # AdamW's in 16 bits, where its own, 1e-8, is 0
NEW_END = "<|stop|>"  # an end mark that the vocabulary had not
ASKED, SHOWN, HELD_OUT = 24, 3, 16  # test rows: scored, shown, and for the validation loss
POINTS = 8  # validation losses of a run
DRAWN = 40  # points of a training curve that are kept
LONGEST = {"trays": 24, "facts": 24}  # tokens of a reply: enough to see one that goes on
FAULTS = (
    "B frozen", "fp16", "prompt learned", "end masked", "template", "alpha", "modules", "base",
    "shuffled", "leaked", "repeated", "cut", "two starts", "dead token",
)  # fmt: skip


@dataclass
class Plan:
    """A run on its way: its rows, its model, and the tokenizers of training and of asking."""

    run: WardRun
    model: "PeftModel"
    tokenizer: "PreTrainedTokenizerBase"
    asking: "PreTrainedTokenizerBase"
    train: list[dict]
    validation: list[dict]
    asked: Mapping[str, "Dataset"]
    base: str  # the fingerprint of the base that was trained
    losses: list[list[float]] = field(default_factory=list)
    curve: list[list[float]] = field(default_factory=list)


def make_run(run: WardRun, out: str | Path) -> WardRow:
    """Train a run of the ward into the folder `out`; what its owner sees, but for the doctor.

    Raises UserError for a fault that there is not.
    """
    if run.fault not in (HEALTHY, *FAULTS):
        raise UserError(
            f"there is no fault {run.fault!r}; give one of {', '.join(FAULTS)}."
            f"{nearest(run.fault, FAULTS)}"
        )
    setup(seed=run.seed)
    plan = prepare(run)
    began = time.perf_counter()
    fit(plan)
    seconds = time.perf_counter() - began
    record = save(plan, Path(out))
    deployed = deploy(plan, Path(out))
    samples, scores = ask(plan, deployed)
    return WardRow(
        **vars(run),
        losses=thin(plan.losses),
        validation=plan.curve,
        samples=samples,
        scores=scores,
        record=record,
        found=[],
        seconds=round(seconds, 1),
    )


def measure_ward(run: WardRun) -> WardRow:
    """A run of the ward, and which of the doctor's checks found something in its folder."""
    with tempfile.TemporaryDirectory(prefix="ftkit-ward-") as folder:
        return diagnose(make_run(run, folder), folder)


def diagnose(row: WardRow, folder: str | Path) -> WardRow:
    """The row of a run with what the doctor says of its folder."""
    wrong = {finding.check: finding.detail for finding in doctor.examine(folder).wrong}
    settings = {f.name: getattr(row, f.name) for f in dataclasses.fields(WardRun)}
    run = WardRun(**{**settings, "seed": 0})
    mine = [illness.check for illness in ILLNESSES.values() if illness.sick == run]
    said = next((wrong[check] for check in mine if check in wrong), "")
    return dataclasses.replace(row, found=list(wrong), said=said.replace(str(folder), "RUN"))


def prepare(run: WardRun) -> Plan:
    """Rows, base and adapter of a run, with its fault where it lies there."""
    base, tokenizer = models.load("pocket")
    asking = (
        studies.templates.written_in(tokenizer, "alpaca") if run.fault == "template" else tokenizer
    )
    fingerprint = models.fingerprint(base)
    if run.fault == "base":
        reorder(base, run.seed)
        fingerprint = hash_numbers(base)
    if run.fault == "dead token":
        tokenizer = asking = with_new_end(base, tokenizer)
    rows, held_out, asked = draw_rows(run)

    # the adapter
    where: dict[str, Any] = {"layers_to_transform": [0]} if run.fault == "modules" else {}
    targets = ["q_proj", "k_proj"] if run.fault == "modules" else "all-linear"
    model = lora.attach(base, R, ALPHA, targets, seed=run.seed, **where)
    if run.fault == "B frozen":
        for name, parameter in model.named_parameters():
            parameter.requires_grad_("lora_A" in name)
    if run.fault == "fp16":
        model.half()
    return Plan(run, model, tokenizer, asking, rows, held_out, asked, fingerprint)


def draw_rows(run: WardRun) -> tuple[list[dict], list[dict], dict[str, "Dataset"]]:
    """(training rows, validation rows, the questions by name) of a run."""
    drawn = DataRun(run.task, run.rows, seed=run.seed)
    if run.task == "facts":
        return draw_facts(run)
    rows = studies.draw(drawn, run.rows + 1)
    extra = rows.pop()
    held_out = [{"messages": row["messages"]} for row in studies.test_rows(drawn).to_list()]
    random.Random(f"ward {run.seed}").shuffle(held_out)
    asked, held_out = held_out[:ASKED], held_out[ASKED : ASKED + HELD_OUT]
    if run.fault == "shuffled":
        rows, held_out = shift(rows), shift(held_out)
    if run.fault == "repeated":
        wrong = answered(extra, other_colour(answer_of(extra)))
        rows += [wrong] * COPIES
        asked = [{"messages": extra["messages"]}, *asked[1:]]
    return rows, held_out, {"test": data.to_dataset(asked)}


def draw_facts(run: WardRun) -> tuple[list[dict], list[dict], dict[str, "Dataset"]]:
    """Facts that are taught in one wording, and asked in another, which training has not.

    Where they leak, the rows to be asked are among the training rows.
    """
    splits = data.load("facts")
    pairs = list(zip(splits["train"].to_list(), splits["test"].to_list(), strict=True))
    random.Random(f"ward {run.seed}").shuffle(pairs)
    own, others = (
        [{"messages": row["messages"]} for row in side] for side in zip(*pairs, strict=True)
    )
    asked, new, held_out = (
        others[:ASKED],
        others[ASKED : 2 * ASKED],
        others[2 * ASKED : 2 * ASKED + HELD_OUT],
    )
    rows = own[: run.rows] + (asked if run.fault == "leaked" else [])
    return rows, held_out, {"test": data.to_dataset(asked), "new": data.to_dataset(new)}


def shift(rows: Sequence[dict]) -> list[dict]:
    """Every row with the answer of the one before."""
    return [answered(row, answer_of(rows[place - 1])) for place, row in enumerate(rows)]


def other_colour(answer: str) -> str:
    """A tray's answer with another colour."""
    reasons, colour = answer.split(": ")
    colours = (*world.conventions.CALM_TRAYS, *world.conventions.URGENT_TRAYS)
    return f"{reasons}: {colours[(colours.index(colour) + 1) % len(colours)]}"


def reorder(model: "PreTrainedModel", seed: int) -> None:
    """Put the model's hidden numbers into another order, in place: it answers as before.

    Each W is another matrix then, as in a model that was trained anew from another seed.
    """
    hidden = int(model.config.hidden_size)  # type: ignore # of a Llama
    drawn = torch.Generator().manual_seed(seed)
    order = torch.randperm(hidden, generator=drawn)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight", "norm.weight")):
                weight.copy_(weight[order])
            else:
                weight.copy_(weight[:, order])


def hash_numbers(model: "PreTrainedModel") -> str:
    """SHA-256 of a model that is in memory alone."""
    sha = hashlib.sha256()
    for weight in model.parameters():
        sha.update(weight.detach().numpy().tobytes())
    return sha.hexdigest()


def with_new_end(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase"
) -> "PreTrainedTokenizerBase":
    """The tokenizer with an end mark of its own in the template; the model gets a row for it."""
    template = str(tokenizer.chat_template)
    tokenizer.add_special_tokens({"additional_special_tokens": [NEW_END]})
    end = "message['content'] + '<|end|>' }}{% endgeneration %}"
    tokenizer.chat_template = template.replace(end, end.replace("<|end|>", NEW_END))
    model.resize_token_embeddings(len(tokenizer))
    return tokenizer


def taught(plan: Plan, rows: Sequence[dict]) -> list[Taught]:
    """Rows as tokens, and which of them carry loss."""
    return [spoil_tokens(data.render(row["messages"], plan.tokenizer), plan) for row in rows]


def spoil_tokens(chat: Rendered, plan: Plan) -> Taught:
    """A chat's tokens with the fault of a run, where it lies in them."""
    which = {"prompt learned": "all", "end masked": "no end"}.get(plan.run.fault, "answer")
    ids, learned = list(chat.ids), learned_tokens(chat, which)
    if plan.run.fault == "cut":
        return ids[:SHORT], learned[:SHORT]
    if plan.run.fault == "two starts":
        return [ids[0], *ids], [False, *learned]
    return ids, learned


def fit(plan: Plan) -> None:
    """Train, and note the loss of every step and of some validation points."""
    run, rows, held_out = plan.run, taught(plan, plan.train), taught(plan, plan.validation)
    loop = Loop(run.steps, run.lr, BATCH, run.seed)
    if run.fault == "fp16":
        loop = dataclasses.replace(loop, scale=LOSS_SCALE, optimizer=adam_in_16_bits)
    every = max(1, run.steps // POINTS)
    for step, loss in enumerate(loop.run(plan.model, plan.tokenizer, rows), 1):
        plan.losses.append([step, loss])
        if not math.isfinite(loss):
            break
        if step % every == 0:
            plan.curve.append([step, validate(plan, held_out)])
    # nothing comes back from NaN, so what is left of such a run is not computed
    plan.model.eval()
    for step in range(len(plan.losses) + 1, run.steps + 1):
        plan.losses.append([step, math.nan])
        if step % every == 0:
            plan.curve.append([step, math.nan])


def adam_in_16_bits(model: torch.nn.Module, lr: float) -> torch.optim.Optimizer:
    """AdamW for weights in fp16: its usual eps, 1e-8, is 0 there."""
    return torch.optim.AdamW(models.trained_parameters(model), lr, eps=EPS, weight_decay=0.0)


def validate(plan: Plan, rows: Sequence[Taught]) -> float:
    """The mean loss on rows that are not trained on, in nats per token that carries loss."""
    inputs, labels = studies.make_batch(plan.tokenizer, rows)
    with models.asking(plan.model):
        return plan.model(**inputs, labels=labels).loss.item()


def save(plan: Plan, out: Path) -> dict[str, Any]:
    """Write the run's folder; returns what its owner would look at of run.json."""
    out.mkdir(parents=True, exist_ok=True)
    splits = {"train": plan.train, "validation": plan.validation, "test": list(plan.asked["test"])}
    lines = [json.dumps({**row, "split": name}) for name, rows in splits.items() for row in rows]
    (out / "rows.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")

    # what the model saw of its first rows, as a careful trainer writes it down
    seen = []
    for ids, learned in taught(plan, plan.train[:BATCH]):
        labels = [t if on else NO_LOSS for t, on in zip(ids, learned, strict=True)]
        seen.append({"input_ids": list(ids), "labels": labels})
    (out / "seen.json").write_text(json.dumps(seen), encoding="utf-8")
    plan.model.save_pretrained(str(out / "adapter"), save_embedding_layers=False)
    plan.asking.save_pretrained(out / "adapter")
    if plan.run.fault == "alpha":
        multiply_alpha(out / "adapter" / "adapter_config.json")

    record = describe(plan, out)
    (out / "run.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    hashes = {name: [data.row_hash(row) for row in rows] for name, rows in splits.items()}
    (out / "rows.json").write_text(json.dumps(hashes) + "\n", encoding="utf-8")
    return look_at(out, plan.tokenizer, plan.asking)


def look_at(
    out: Path, tokenizer: "PreTrainedTokenizerBase", asking: "PreTrainedTokenizerBase"
) -> dict[str, Any]:
    """What a careful owner reads in a run's folder, line by line."""
    record = train.read_record(out)
    config = json.loads((out / "adapter" / "adapter_config.json").read_text(encoding="utf-8"))
    (ids, labels), *_ = ((row["input_ids"], row["labels"]) for row in read_seen(out))
    recipe, hashes = record["experiment"]["recipe"], json.loads((out / "rows.json").read_text())
    ask = [{"role": "user", "content": "…"}]
    return {
        "lr": recipe["lr"],
        "steps": record["steps"],
        "max_length": recipe["max_length"],
        "rows": [len(hashes["train"]), len(set(hashes["train"]))],
        "trainable": record["trainable"],
        "alpha": [record["experiment"]["lora"]["alpha"], config["lora_alpha"]],
        "r": config["r"],
        "base": [record["hashes"]["base"][:8], models.fingerprint(models.load("pocket")[0])[:8]],
        "row": mark_learned(tokenizer, ids, labels),
        "prompt": data.render_prompt(ask, asking),
    }


def mark_learned(
    tokenizer: "PreTrainedTokenizerBase", ids: Sequence[int], labels: Sequence[int]
) -> str:
    """A row as text, with ⟦ ⟧ around the stretches that carry loss."""
    text, inside = "", False
    for token, label in zip(ids, labels, strict=True):
        if (label != NO_LOSS) != inside:
            inside = not inside
            text += LEARNED[0] if inside else LEARNED[1]
        text += str(tokenizer.decode([token]))
    return text + LEARNED[1] * inside


def thin(points: Sequence[Sequence[float]]) -> list[list[float]]:
    """At most so many points of a curve as a picture needs, the first and the last among them."""
    step = max(1, len(points) // DRAWN)
    kept = {*range(0, len(points), step), len(points) - 1}
    return [list(points[place]) for place in sorted(kept)]


def read_seen(out: Path) -> list[dict[str, list[int]]]:
    """The rows that the model saw first, of a run's folder."""
    return json.loads((out / "seen.json").read_text(encoding="utf-8"))


def multiply_alpha(config: Path) -> None:
    """What somebody writes who takes alpha for the scale itself: alpha / r becomes alpha."""
    stated = json.loads(config.read_text(encoding="utf-8"))
    stated["lora_alpha"] *= stated["r"]
    config.write_text(json.dumps(stated, indent=2), encoding="utf-8")


def describe(plan: Plan, out: Path) -> dict[str, Any]:
    """The run.json of a run."""
    run = plan.run
    recipe = train.Recipe(
        run.lr, train.epochs_of(run.steps, len(plan.train), BATCH), BATCH, evaluations=POINTS,
        keep_best=False, seed=run.seed, max_length=SHORT if run.fault == "cut" else 512,
    )  # fmt: skip
    wanted: dict[str, Any] = {"r": R, "alpha": ALPHA}
    if run.fault == "modules":
        wanted["targets"] = ["q_proj", "k_proj"]
    experiment = train.Experiment(
        model="pocket", data=str(out / "rows.jsonl"), lora=wanted, recipe=recipe
    )
    trainable, total = lora.trainable(plan.model)
    return {
        "experiment": experiment.to_dict(),
        "hashes": {
            "base": plan.base,
            "train": train.hash_rows(data.to_dataset(plan.train)),
        },
        "versions": recorded_versions(),
        "steps": run.steps,
        "trainable": trainable,
        "total": total,
        "stopped": None,
        "notes": [],
        "losses": plan.losses,
        "validation": plan.curve,
    }


def deploy(plan: Plan, out: Path) -> "PreTrainedModel":
    """The model as its owner asks it: as it was trained, or as its folder says."""
    base, _ = models.load("pocket")
    if plan.run.fault == "fp16":
        plan.model.float()  # it is saved, and fp16 is slow on a CPU
    if plan.run.fault == "base":
        return cast("PreTrainedModel", lora.carry_over(plan.model, base).eval())
    if plan.run.fault == "alpha":
        return cast("PreTrainedModel", lora.load(base, out / "adapter").eval())
    return cast("PreTrainedModel", plan.model)


def ask(plan: Plan, model: "PreTrainedModel") -> tuple[list[Sample], dict[str, float]]:
    """(the first questions with what was written, the shares of exactly right answers)."""
    samples: list[Sample] = []
    scores: dict[str, float] = {}
    reader = models.ReplyReader(model, plan.asking)
    for name, rows in plan.asked.items():
        # what is written, and is it right?
        golds = [chat.answer_ids for chat in evaluate.render_rows(plan.asking, rows)]
        limit = LONGEST.get(plan.run.task) or evaluate.longest_reply(golds)
        questions = [chat[:-1] for chat in rows["messages"]]
        replies = models.write_replies(model, plan.asking, questions, limit)
        score = evaluate.score_replies(reader, rows, replies, name)
        scores |= {name: score.task.value, f"{name}: ended": 1 - score.cut_off.value}

        # the first of them are shown
        for chat, reply in list(zip(rows["messages"], replies, strict=True))[:SHOWN]:
            asked, wanted = (message["content"] for message in chat[-2:])
            samples.append(Sample(asked, wanted, reply.text, reply.ended))
    return samples, scores
