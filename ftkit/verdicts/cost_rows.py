"""Rows T10, M4, M5, C1 to C5 and G2 of the ledger: minutes, money, operations, and slips.

    CLAIMS    the claims, in order

Hours and money follow from FLOPs (`cost`); which utilisation is usual is what the kit measured on a
card, and what Llama 3's training reached. Prices are those of data/prices.json, of their dates.
Streams, versions and exports are those of `operate` and `ship`. Notebooks 13, 14 and 15.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from .. import cost, data, evaluate, memory, merge, models, operate, ship, train
from .claim import Claim, Figure, as_written, exact, of_rate
from .judges import all_within, each, reported

INF = math.inf
EIGHT = "llama-3.1-8b"
# Billions of parameters of Llama 3.2's models for text, by Meta's model card of September 2024, and
# the GB of an RTX 3090, by NVIDIA's data sheet.
LLAMA_3_2, RTX_3090 = (1.24, 3.21), 24
SETUPS = (30, 120)  # dollars of work to set up a rented card
DEAREST = 3.5  # dollars per hour of such a card
LENGTHS = (512, 2048)  # tokens of a row, of which no guide says how many it means
LAUNCHED = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "FTKIT_DTYPE": "float32"}
SMALL = {
    "rows": 16,
    "lora": {"r": 4, "alpha": 8},
    "recipe": {"lr": 0.005, "epochs": 2, "batch_size": 8, "evaluations": 0},
}
AS_GOOD = 5e-5  # two losses that are equal to four decimals


def needed_shares(figure: cost.Figure, name: str) -> list[Figure]:
    """The utilisation at which both ends of a guide's figure come out, beside the usual ones."""
    low, high = cost.usual_utilisation()
    ends = zip(("its lower end", "its upper end"), cost.needed(figure, "utilisation"), strict=True)
    return [
        exact(f"{name}: {end}", 100 * (share or INF), "% of the peak", (100 * low, 100 * high))
        for end, share in ends
    ]


def nearest_share(figure: cost.Figure, name: str) -> Figure:
    """Of both ends of a guide's figure the one whose utilisation is nearest to the usual ones."""
    low, high = (100 * share for share in cost.usual_utilisation())
    at_all = 100 * figure.case.utilisation * getattr(figure.case, figure.of)
    shares = (at_all / end for end in figure.range)
    nearest = min(shares, key=lambda share: max(low / share, share / high, 1.0))
    return exact(name, nearest, "% of the peak", (low, high))


# What each row measures.


def hours_of_runs() -> Sequence[Figure]:
    """T10: the utilisation that the guides' hours need, at 512 tokens and three epochs."""
    shares = []
    for one in cost.FIGURES:
        if one.of == "hours" and one.case.rows == 1000 and one.case.method != "qlora":
            shares += needed_shares(
                one, f"{one.case.method}, {one.range[0]:g} to {one.range[1]:g} h"
            )
    usual = cost.Case()
    low, _ = cost.usual_utilisation()
    slow, long = cost.Case(utilisation=low), cost.Case(tokens=2048)
    return [
        *shares,
        exact("LoRA on 8B, 1,000 rows of 512 tokens, 30 % of the peak", 60 * usual.hours, "min"),
        exact("the same at the lowest utilisation measured", 60 * slow.hours, "min"),
        exact("the same with rows of 2,048 tokens", 60 * long.hours, "min"),
    ]


def money_of_runs() -> Sequence[Figure]:
    """C1: the utilisation that money and hours need, by tokens of a row; what "dearer" is made of.

    Hours of a thousand rows on 7 to 8 billion are T10's.
    """
    figures = []
    for one in cost.FIGURES:
        if one.of == "hours" and one.case.rows == 1000 and one.case.method != "qlora":
            continue
        unit = "$" if one.of == "money" else "h"
        ends = " to ".join(dict.fromkeys(f"{end:g}" for end in one.range))
        name = f"{ends} {unit}: {one.case.method} of {one.case.model}, {one.case.rows:,} rows"
        for tokens in LENGTHS:
            case = replace(one.case, tokens=tokens)
            figures.append(nearest_share(replace(one, case=case), f"{name} of {tokens:,} tokens"))
    step = {"seq": 512, "checkpointing": False}
    work = [cost.train_flops(EIGHT, method=m, **step).total for m in ("full", "lora")]
    held = [memory.predict(EIGHT, method=m, seq=512).peak for m in ("full", "lora")]
    times = "full is 10 to 100 times as much as LoRA"
    return [
        *figures,
        exact(f"{times}: FLOPs of a step", work[0] / work[1], "times", (10, 100)),
        exact(f"{times}: bytes at the peak", held[0] / held[1], "times", (10, 100)),
    ]


def prices_of_apis() -> Sequence[Figure]:
    """C2: prices per million tokens as they were told, and rows until a rented card is cheaper."""
    prices = cost.read_prices()
    told = [prices.of("training tokens", name) for name in prices.names("training tokens")]
    rented = cost.Case(per_hour=DEAREST).money / 1000
    figures = [
        exact("lowest price told", min(one.low for one in told), "$ per million", (5, 25)),
        exact("highest price told", max(one.high for one in told), "$ per million", (5, 25)),
    ]
    api = prices.of("training tokens", "AWS Bedrock Custom Models").low
    for setup in SETUPS:
        rows = cost.rows_until_renting(cost.tuning_by_api(512, 3, api), rented, setup)
        what = f"rows of 512 tokens until renting at ${DEAREST:.2f} is cheaper, ${setup} of set-up"
        figures.append(exact(what, rows, "rows", (10_000, INF)))
    return figures


def alarms() -> Sequence[Figure]:
    """C3: what each thing that is watched sees of a planted change, in 200 fresh streams."""
    usual, products = pools_of_a_run()
    monitor = operate.calibrate(usual, rate=0.05, streams=400)
    cases = {
        "new products, wrongly answered": operate.Case(operate.Shift("inputs", 0.1), products),
        "very slow ones": operate.Case(operate.Shift("tail", 0.03)),
        "very long requests": operate.Case(operate.Shift("tokens", 0.05)),
    }
    found = monitor.measure(usual, cases, streams=200)
    watched = {
        "accuracy": ("golds, CUSUM", "new products, wrongly answered"),
        "feedback": ("thumbs, CUSUM", "new products, wrongly answered"),
        "inputs": ("inputs, KS", "new products, wrongly answered"),
        "latency p99": ("latency p99", "very slow ones"),
        "latency p50": ("latency p50", "very slow ones"),
        "token use": ("tokens, CUSUM", "very long requests"),
    }
    figures = []
    for name, (alarm, case) in watched.items():
        seen = found.found[case][alarm].seen
        figures.append(of_rate(f"streams in which {name} shows: {case}", seen, (0.5, INF)))
    return [*figures, of_rate("healthy streams in which one of ten alarms rings", found.any_false)]


def pools_of_a_run() -> tuple[operate.Pool, operate.Pool]:
    """Usual tickets and tickets about new products, as a small run of the pocket model answers."""
    recipe = train.Recipe(4e-3, epochs=7, batch_size=8, evaluations=0)
    experiment = train.Experiment(rows=48, recipe=recipe)
    with tempfile.TemporaryDirectory() as folder:
        train.train_into(experiment, Path(folder, "run"))
        model, _, tokenizer = train.reopen(Path(folder, "run"))
    known = [chat[0]["content"] for chat in experiment.load_splits()["train"]["messages"]]
    found = []
    for change in (next(iter(operate.CHANGES)), "new products"):
        right = evaluate.score(model, tokenizer, operate.draw_tickets(60, change, seed=1), change)
        rows = operate.draw_tickets(300, change, seed=2)
        found.append(operate.Pool.of(rows, right.task.value, known=known))
    return found[0], found[1]


def versions() -> Sequence[Figure]:
    """C4: a version published, replaced and rolled back, and new versions let out slowly."""
    rates = {"broken": 0.02, "equal": 0.95, "two points worse": 0.93}
    out = {name: operate.roll_out((0.95, new), streams=400) for name, new in rates.items()}
    at_once = out["broken"].wrong / out["broken"].all_at_once
    back, apart = rolled_back()
    return [
        exact("largest difference of a logit after the roll-back", back, said=(0, 0)),
        exact("and of the version that it replaced", apart, said=(0, INF)),
        of_rate("a version that is broken is sent back", out["broken"].back, (0.95, INF)),
        exact("wrong answers, let out slowly over all at once", at_once, said=(0, 0.1)),
        of_rate("an equal version is sent back", out["equal"].back, (-INF, 0.05)),
        of_rate("a version two points worse is sent back", out["two points worse"].back),
    ]


def rolled_back() -> tuple[float, float]:
    """How far the logits of what is live again are from the run that was published, and v2's."""
    with tempfile.TemporaryDirectory() as place:
        registry = operate.Registry(Path(place, "registry"))
        for label, lr in (("v1", 4e-3), ("v2", 8e-3)):
            recipe = train.Recipe(lr, epochs=2, batch_size=4, evaluations=0)
            train.train_into(train.Experiment(rows=8, recipe=recipe), Path(place, label))
            registry.publish(Path(place, label), "tickets", "a run")
            registry.promote("tickets", label, "it is newer")
        # back to the first, and beside it the runs as they were trained
        registry.roll_back("tickets", "it was worse")
        live, _ = registry.open("tickets")
        tokens = merge.probe_tokens(live)
        gaps = []
        for label in ("v1", "v2"):
            model, _, _ = train.reopen(Path(place, label))
            gap = merge.logits(live, tokens) - merge.logits(model, tokens)
            gaps.append(gap.abs().max().item())
        return gaps[0], gaps[1]


def several_machines() -> Sequence[Figure]:
    """C5: one recipe in one process and in two; and which tools read an exported one."""
    with tempfile.TemporaryDirectory() as place:
        recipe = Path(place, "recipe.yaml")
        recipe.write_text(json.dumps(SMALL), encoding="utf-8")
        started = [launch(recipe, many) for many in (1, 2)]
        failed = sum(process.wait() != 0 for process in started)
        one, two = (train.read_record(Path(place, str(many))) for many in (1, 2))
    pairs = zip(one["losses"], two["losses"], strict=True)
    gap = max(abs(a - b) for (_, a), (_, b) in pairs)
    named = [
        ship.find_target(name) for name in ("axolotl", "llama-factory", "torchtune", "unsloth")
    ]
    asked = [one for one in named if one.tool != "trl" and one.checked != "exported"]
    return [
        Figure("runs that failed", failed, n=2, said=(0, 0)),
        Figure("largest difference of a loss, one process and two", gap, n=4, said=(0, AS_GOOD)),
        exact("of Axolotl, LLaMA-Factory, torchtune, Unsloth: read by the tool itself", len(asked)),
    ]


def launch(recipe: Path, many: int) -> subprocess.Popen:
    """Start a training in so many processes, beside the recipe."""
    launcher = ["torch.distributed.run", "--standalone", "--nproc_per_node", str(many), "-m"]
    words = [sys.executable, "-m", *(launcher if many > 1 else []), "ftkit", "train", str(recipe)]
    words += ["--out", str(recipe.parent / str(many)), "--processes", str(many)]
    return subprocess.Popen(
        words,
        env={**os.environ, **LAUNCHED},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def served_elsewhere() -> Sequence[Figure]:
    """M4: a GGUF read back and asked; and which of the named ways nothing here could ask."""
    model, tokenizer = models.load("pocket")
    chats = data.load("tickets", tokenizer)["test"]["messages"][:8]
    found = ship.compare_kinds(model, tokenizer, ("f32",), [chat[:1] for chat in chats])
    tensors, *_, replies = found.proofs["f32"]
    ways = {name: ship.find_target(name) for name in ("gguf", "awq", "vllm", "tgi", "ollama")}
    unknown = [name for name, target in ways.items() if target.checked != "run"]
    what = f"ways that fail, of {len(ways)}; not run here: {', '.join(unknown)}"
    return [
        Figure("GGUF: share of tensors read back whole", share(tensors), n=tensors.of, said=(1, 1)),
        Figure("GGUF: share of replies that are equal", share(replies), n=replies.of, said=(1, 1)),
        Figure(what, 0, 0, len(unknown), said=(0, 0)),
    ]


def share(proof: ship.Proof) -> float:
    """What share of the things that were compared are equal."""
    return proof.equal / proof.of


def drop_of_latency() -> Sequence[Figure]:
    """M5: what 450 to 68 ms is."""
    before, after = 450, 68
    drop = 100 * (1 - after / before)
    return [
        exact("drop from 450 to 68 ms", drop, "%", as_written("40")),
        exact("68 ms of 450", 100 * after / before, "%"),
    ]


def slips() -> Sequence[Figure]:
    """G2: a model, a card and a type of file, looked up."""
    return [
        exact("largest Llama 3.2 for text, billions", max(LLAMA_3_2), said=(7.5, 8.5)),
        exact("memory of an RTX 3090", RTX_3090, "GB", (16, 16)),
        exact("K-kinds that the converter's library can pack", packed_kinds(), said=(1, INF)),
    ]


def packed_kinds() -> int:
    """How many of llama.cpp's K-kinds the gguf package packs, by which the script writes."""
    from gguf import GGMLQuantizationType, quants

    done = 0
    for name in ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"):
        try:
            quants.quantize(np.zeros((1, 256), np.float32), GGMLQuantizationType[name])
            done += 1
        except NotImplementedError:
            continue
    return done


COST = "from ftkit import cost\n"
OPERATE = "from ftkit import operate\n"

CLAIMS = (
    Claim(
        "T10",
        "On 1,000 rows a LoRA of 7 to 8 billion takes half an hour to two hours on one A100, and "
        "full fine-tuning four to eight on two",
        "C",
        ("G1", "G2"),
        COST + 'cost.figures("utilisation", "tokens")',
        "An hour can be right where it needs a utilisation between the lowest measured and Llama "
        "3's best, with three epochs of 512 tokens; where some can, it depends on them.",
        hours_of_runs,
        each,
        "14",
        quote={
            "G1": "7-8B | LoRA | 1x A100 40GB | ~$2/hr | 1-2 hours",
            "G2": "typically completes in 30–90 minutes on a single A100 GPU",
        },
    ),
    Claim(
        "M4",
        "A tuned model is served as GGUF, by AWQ, vLLM, TGI, Ollama or llama.cpp, and stays itself",
        "M",
        ("G1", "G2", "G4", "G5"),
        "from ftkit import models, ship\nship.targets()  # how each was checked\n"
        'ship.compare_kinds(*models.load(), ("f32",), [[{"role": "user", "content": "Hello"}]])',
        "It holds where the file that is read back gives the model's own tensors and replies; what "
        "could not be run here may fail, and then it cannot be told.",
        served_elsewhere,
        all_within,
        "13",
        quote={
            "G4": "Then quantize to GGUF or AWQ for serving",
            "G5": "hosting weights yourself (vLLM, TGI, Ollama)",
        },
        dear=True,
    ),
    Claim(
        "M5",
        "From 450 to 68 ms latency fell by 40 %",
        "C",
        ("G2",),
        "100 * (1 - 68 / 450)",
        "It holds where the drop, rounded as it is written, is the one that is named.",
        drop_of_latency,
        all_within,
        "13",
        quote={"G2": "End-to-end latency dropped from 450ms to 68ms — a 40% reduction"},
    ),
    Claim(
        "C1",
        "A LoRA of 7 to 8 billion costs 2 to 4 dollars, or 5 to 20; larger ones take hours; and "
        "full fine-tuning is 10 to 100 times as dear",
        "X",
        ("G1", "G2", "G4"),
        COST + 'cost.figures("utilisation", "tokens")',
        "A figure is right where its nearer end needs a utilisation between the lowest measured "
        "and Llama 3's best; it depends on the tokens of a row where some are. That full is 10 to "
        "100 times as dear is so neither in FLOPs nor in bytes.",
        money_of_runs,
        each,
        "14",
        quote={
            "G1": "LoRA fine-tuning on a 7-8B model costs $2-4 on a single A100 — roughly "
            "10-100x less than full fine-tuning",
            "G2": "using rented A100 time costs $5–$20",
            "G4": "~48 GPU-hours on A100 80GB",
        },
    ),
    Claim(
        "C2",
        "An API tunes for 5 to 25 dollars per million tokens, and is cheaper below 10,000 rows",
        "R",
        ("G1",),
        COST + "api = cost.tuning_by_api(512, 3, 8)  # dollars of a row, 8 per million tokens\n"
        "rented = cost.Case(per_hour=3.5).money / 1000\ncost.rows_until_renting(api, rented, 120)",
        "Prices are a guide's, of March 2026, and nothing here measures one: unverified. The rows "
        "until renting is cheaper follow from them and from the work of a set-up.",
        prices_of_apis,
        reported,
        "14",
        quote={
            "G1": "For datasets under 10K examples, cloud APIs are often cheaper than provisioning "
            "GPUs when you factor in setup time"
        },
    ),
    Claim(
        "C3",
        "Accuracy, feedback, latency percentiles and token use show a drift",
        "M",
        ("G1", "G5"),
        OPERATE + "rows = operate.draw_tickets(300, seed=2)\n"
        "operate.calibrate(operate.Pool.of(rows, 0.95), rate=0.05, streams=400)",
        "It holds where each shows a planted change of its kind in more than half of the streams; "
        "it depends on what is watched where only some do.",
        alarms,
        each,
        "15",
        quote={
            "G1": "Task accuracy on a held-out evaluation set (weekly)",
            "G5": "rising thumbs-down rate … often means data distribution shifted",
        },
        dear=True,
    ),
    Claim(
        "C4",
        "Version adapters, keep a way back, and let a new version out gradually",
        "M",
        ("G1", "G5"),
        OPERATE + "operate.roll_out((0.95, 0.02), streams=400)",
        "It holds where a roll-back gives every logit again, a broken version is sent back, an "
        "equal one is not, and less than a tenth of the wrong answers is given.",
        versions,
        all_within,
        "15",
        quote={
            "G1": "A/B test → Gradual rollout",
            "G5": "Version adapters alongside your app; keep a rollback path",
        },
        dear=True,
    ),
    Claim(
        "C5",
        "Where one machine is not enough, the same recipe runs on several, or in another tool",
        "M",
        ("G1", "G2", "G3"),
        "from ftkit import ship\nship.targets()\n"
        "# torchrun --nproc_per_node 2 -m ftkit train RECIPE --processes 2",
        "It holds where a run in two processes fails in nothing and has the losses of one process, "
        "to four decimals; how many tools read an exported recipe is told beside it.",
        several_machines,
        all_within,
        "14",
        quote={"G2": "Axolotl handles training orchestration. It provides a single YAML config"},
        dear=True,
    ),
    Claim(
        "G2",
        "Llama-3.2-8B; a card of 16 GB (RTX 3090); convert_hf_to_gguf --outtype q4_k_m",
        "C",
        ("G2", "G3", "G4"),
        "from gguf import GGMLQuantizationType, quants\nimport numpy as np\n"
        "quants.quantize(np.zeros((1, 256), np.float32), GGMLQuantizationType.Q4_K)",
        "Each holds where the model, the card's memory and the kind of file are what is published; "
        "one that is not makes it fail.",
        slips,
        all_within,
        "13",
        quote={
            "G2": "a 16GB GPU (RTX 3090, RTX 4080)",
            "G3": "meta-llama/Llama-3.2-8B",
            "G4": "--outfile model-q4_k_m.gguf --outtype q4_k_m",
        },
    ),
)
