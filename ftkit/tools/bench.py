"""What the kit's shortcuts save: each timed here and now beside the plain way to the same answer.

Seconds are of processor time, so that whatever else the machine does is not measured; on an idle
machine a wall clock shows the same, as long as one thread works.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from .. import data, evaluate, forgetting, lora, models, train
from ..core.results import Result, about
from ..core.session import device_and_dtype, quiet
from ..lora import rank_view, spectrum
from ..train import trainer
from ..world import World
from ..world import skills as suites

IMPORT_OURS = "import ftkit"
IMPORT_PLAIN = "import torch, transformers.modeling_utils, peft, trl, ipywidgets, matplotlib.pyplot"
COUNT_FORMULA = "from ftkit import count; count.count('llama-3.1-70b', 16)"
COUNT_META = "from ftkit import count; count.checked('llama-3.1-70b', 16)"
# The plain way really has the weights. A 1.2 B model is what a laptop holds; its zeros are written,
# which is quicker than to load or to draw them.
COUNT_PLAIN = """
import torch
from ftkit import count, lora
model = count.skeleton('llama-3.2-1b').to(torch.bfloat16).to_empty(device='cpu')
for p in model.parameters():
    p.data.zero_()
lora.trainable(lora.attach(model, r=16))
"""
# What a guide's script says (G1 of the ledger), its old names mended; what it leaves unsaid is
# TRL's default.
SCRIPT = {
    "num_train_epochs": 1,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 4,
    "learning_rate": 2e-3,
    "warmup_steps": 0.1,
    "report_to": "none",
    "save_strategy": "no",
    "disable_tqdm": True,
    "seed": 0,
}


@dataclass(frozen=True)
class Row:
    """One measurement: ours against the plain way, and what ours must not exceed."""

    what: str
    unit: str
    ours: float
    bound: float | None = None
    plain_way: str = ""
    plain: float | None = None

    @property
    def ratio(self) -> float | None:
        """plain / ours; None where there is no plain way."""
        return None if self.plain is None else self.plain / self.ours

    @property
    def verdict(self) -> str:
        """Whether ours keeps its bound."""
        if self.bound is None:
            return ""
        return f"{'within' if self.ours <= self.bound else 'OVER'} {self.bound:g} {self.unit}"


@dataclass(frozen=True, repr=False)
class Bench(Result):
    """All measurements of one machine."""

    rows: tuple[Row, ...]

    def json(self) -> dict:
        """Every row with its ratio and verdict."""
        return {
            "rows": [
                {**asdict(row), "ratio": row.ratio, "verdict": row.verdict} for row in self.rows
            ]
        }

    def table(self):
        """One line a measurement."""
        rows = []
        for r in self.rows:
            beside = (
                ("", "", "")
                if r.plain is None
                else (r.plain_way, about(r.plain, 3, f" {r.unit}"), about(r.ratio, 3, " ×"))
            )
            rows.append((r.what, about(r.ours, 3, f" {r.unit}"), r.verdict, *beside))
        return (
            "What the shortcuts save",
            ("what", "ours", "bound", "the plain way", "costs", "ratio"),
            rows,
        )


def peak_bytes() -> int:
    """The most memory that this process held at once.

    Linux's own high-water mark where there is one: the usual ru_maxrss also counts the process that
    started this one.
    """
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
            1 if sys.platform == "darwin" else 1024
        )


def fresh(code: str) -> tuple[float, float]:
    """(seconds, peak bytes) of a piece of Python in a process of its own, imports included, the
    interpreter's start not.
    """
    report = "import json\nfrom ftkit.bench import peak_bytes\nprint(json.dumps([seconds, peak_bytes()]))"
    whole = f"import time\nstart = time.process_time()\n{code}\nseconds = time.process_time() - start\n{report}"
    done = subprocess.run([sys.executable, "-c", whole], capture_output=True, text=True, check=True)
    return tuple(json.loads(done.stdout.splitlines()[-1]))


def seconds(function: Callable[[], object]) -> float:
    """The processor time of one call."""
    start = time.process_time()
    function()
    return time.process_time() - start


def imports() -> list[Row]:
    """`import ftkit`, the best of three fresh processes, beside importing at once what it may need."""
    ours, plain = min(fresh(IMPORT_OURS)[0] for _ in range(3)), fresh(IMPORT_PLAIN)[0]
    return [
        Row(
            "import ftkit",
            "s",
            ours,
            0.2,
            "import torch, transformers, peft, trl, ipywidgets, matplotlib",
            plain,
        )
    ]


def counting() -> list[Row]:
    """The trainable parameters of a LoRA on 70 B, by formula and on the meta device, beside a model
    that is really there.
    """
    formula, _ = fresh(COUNT_FORMULA)
    meta, meta_peak = fresh(COUNT_META)
    plain, plain_peak = fresh(COUNT_PLAIN)
    real = "peft on llama-3.2-1b in memory, bfloat16"
    per = [
        peak / lora.count(name).base
        for name, peak in (("llama-3.1-70b", meta_peak), ("llama-3.2-1b", plain_peak))
    ]
    return [
        Row(
            "count llama-3.1-70b by formula",
            "s",
            formula,
            None,
            "peft on the same model, meta device",
            meta,
        ),
        Row("count llama-3.1-70b with peft, meta device", "s", meta, 10, real, plain),
        Row("the same: peak memory", "GB", meta_peak / 1e9, 2, real, plain_peak / 1e9),
        Row("the same: peak memory a base parameter", "B", per[0], None, real, per[1]),
    ]


def spectra() -> list[Row]:
    """The spectra of all matrices of the pocket model, once; then a move of the rank slider, beside
    a fresh spectrum at each move.
    """
    matrices = {
        name: m.weight.detach() for name, m in models.linears(models.load("pocket")[0]).items()
    }
    spectrum.svd(next(iter(matrices.values())))  # the first call sets the library up
    found: dict[str, spectrum.Spectrum] = {}
    once = seconds(
        lambda: found.update({name: spectrum.svd(W, name) for name, W in matrices.items()})
    )
    name = max(matrices, key=lambda n: matrices[n].numel())
    moves = range(1, min(matrices[name].shape) + 1, 16)
    ours = statistics.median(seconds(lambda r=r: rank_view(found[name], r)) for r in moves)
    plain = statistics.median(
        seconds(lambda r=r: rank_view(spectrum.svd(matrices[name]), r)) for r in moves
    )
    return [
        Row(f"spectra of all {len(matrices)} matrices of the pocket model", "s", once, 3),
        Row(
            "a move of the rank slider",
            "ms",
            1e3 * ours,
            100,
            "a fresh spectrum at each move",
            1e3 * plain,
        ),
    ]


def clock() -> float:
    """Seconds: of this process on a CPU, of the wall where a GPU works."""
    import torch

    if not torch.cuda.is_available():
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def tuned(rows, name: str, script: dict | None = None) -> tuple[float, float]:
    """(µs a token, loss on the rows afterwards) of one epoch, 16 rows a step: by `train.sft`, or by
    the script with more options.
    """
    import torch
    from transformers import PrinterCallback

    torch.manual_seed(0)
    model, tokenizer = models.load(name)
    model = lora.attach(model, r=16, alpha=32, targets="attention")
    start = clock()
    if script is None:
        kept = train.sft(
            model, tokenizer, rows, train.Recipe(2e-3, 1, 16, warmup=0.1, evaluations=0)
        ).trainer
    else:
        with tempfile.TemporaryDirectory(prefix="ftkit-") as folder:
            marks = train.marks_answers(tokenizer)
            kept = trainer.SFTTrainer(
                model,
                trainer.SFTConfig(
                    folder,
                    use_cpu=device_and_dtype()[0] == "cpu",
                    assistant_only_loss=marks,
                    **SCRIPT,
                    **script,
                ),
                train_dataset=train.as_trl(rows, marks),
                processing_class=tokenizer,
            )
            kept.remove_callback(PrinterCallback)
            kept.train()
    spent = clock() - start
    nats, tokens = zip(*evaluate.surprisals(model.eval(), tokenizer, rows["messages"]), strict=True)
    return 1e6 * spent / sum(len(ids) for ids in kept.train_dataset["input_ids"]), sum(nats) / sum(
        tokens
    )


def training(rows: int = 96, rounds: int = 2, name: str = "pocket") -> list[Row]:
    """One epoch on as many tickets as general rows, by `train.sft` beside a guide's script, as it
    is and with its brakes off.
    """
    tokenizer = models.load(name)[1]
    mixed = data.mix(
        data.first(data.load("tickets", tokenizer)["train"], rows),
        data.load("general")["train"],
        0.5,
    )
    quiet()
    tuned(data.first(mixed, 16), name)  # the first call sets the libraries up
    ways = {
        "ours": None,
        "as it is": {"bf16": device_and_dtype()[1] != "float16"},
        "brakes off": {"bf16": False, "gradient_checkpointing": False},
    }
    spent = {
        way: [tuned(mixed, name, script) for _ in range(rounds)] for way, script in ways.items()
    }
    (ours, loss), (plain, plain_loss), (free, free_loss) = (min(found) for found in spent.values())
    script, without = (
        "a guide's SFTTrainer script, old names mended",
        "the same script, bf16 and checkpointing off",
    )
    return [
        Row(f"train.sft, {len(mixed)} rows, 16 a step", "µs a token", ours, None, script, plain),
        Row(
            "the same: loss on the rows afterwards", "nats a token", loss, None, script, plain_loss
        ),
        Row(f"train.sft, {len(mixed)} rows, 16 a step", "µs a token", ours, None, without, free),
        Row(
            "the same: loss on the rows afterwards", "nats a token", loss, None, without, free_loss
        ),
    ]


def one_by_one(model, tokenizer, prompts: list[str]) -> list[str]:
    """The guides' way to ask: a pipeline, one prompt after another."""
    from transformers import pipeline

    ask = pipeline("text-generation", model=model, tokenizer=tokenizer)
    told = {
        "max_new_tokens": forgetting.LONGEST_ANSWER,
        "do_sample": False,
        "return_full_text": False,
    }
    return [
        ask([{"role": "user", "content": p}], **told)[0]["generated_text"].strip() for p in prompts
    ]


def checking(n: int = 50) -> list[Row]:
    """The skill check beside a pipeline, one prompt at a time; AssertionError if they disagree on
    any answer.
    """
    model, tokenizer = models.load("pocket")
    adapted = lora.attach(models.load("pocket")[0], r=16).eval()
    probes = [p for name in suites.SKILLS for p in suites.draw_suite(World(), name, n, 0)]
    rows = []
    for name, asked in {"the base": model, "an adapter on it": adapted}.items():
        forgetting.skills(asked, tokenizer, n=1)  # the first call sets the libraries up
        start = time.process_time()
        found = forgetting.skills(asked, tokenizer, n=n)
        ours = time.process_time() - start
        replies = one_by_one(asked, tokenizer, [p.prompt for p in probes])
        plain = time.process_time() - start - ours
        right = [r == p.answer for r, p in zip(replies, probes, strict=True)]
        assert right == [r for group in found.right.values() for r in group], (
            "the two ways disagree"
        )
        rows.append(
            Row(
                f"skills of {name}, {len(probes)} probes",
                "s",
                ours,
                None,
                "a pipeline, one prompt at a time",
                plain,
            )
        )
    return rows


def run_bench(say: Callable[[str], object] = lambda _: None) -> Bench:
    """Measure everything."""
    rows = []
    for what, part in (
        ("imports", imports),
        ("counting on 70 B", counting),
        ("spectra", spectra),
        ("training", training),
        ("the skill check", checking),
    ):
        say(f"measuring: {what}")
        rows += part()
    return Bench(tuple(rows))
