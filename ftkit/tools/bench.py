"""What the kit's shortcuts save: each timed here and now beside the plain way to the same answer.

    run_bench()   every measurement of this machine: a `Bench`

Imports, counting on 70 B, spectra behind a slider, training, and the skill check. Seconds are of
processor time, so that whatever else the machine does is not measured; on an idle machine a wall
clock shows the same, as long as one thread works. `python -m ftkit bench` is the verb; that both
ways give the same answer is asserted here, that they do as much less work is in the tests.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
from transformers import PrinterCallback, pipeline

from .. import data, evaluate, forgetting, lora, models, train
from ..core.results import Result, TableParts, about
from ..core.session import device_and_dtype, quiet
from ..lora import rank_view, spectrum
from ..train import trainer
from ..world import World
from ..world import skills as suites
from .processes import run_fresh

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ..lora import PeftModel

IMPORT_OURS = "import ftkit"
IMPORT_PLAIN = "import torch, transformers.modeling_utils, peft, trl, ipywidgets, matplotlib.pyplot"
COUNT_FORMULA = "from ftkit import lora; lora.count('llama-3.1-70b', 16)"
COUNT_META = "from ftkit import lora; lora.count_and_check('llama-3.1-70b', 16)"
# The plain way really has the weights. A 1.2 B model is what a laptop holds; its zeros are written,
# which is quicker than to load or to draw them.
COUNT_PLAIN = """
import torch
from ftkit import lora, models
model = models.skeleton('llama-3.2-1b').to(torch.bfloat16).to_empty(device='cpu')
for p in model.parameters():
    p.data.zero_()
lora.trainable(lora.attach(model, r=16))
"""
# What a guide's script says, its old names mended; what it leaves unsaid is TRL's default.
SCRIPT: dict[str, Any] = {
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
class Measurement:
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
        """Whether ours keeps its bound; "" where it has none."""
        if self.bound is None:
            return ""
        return f"{'within' if self.ours <= self.bound else 'OVER'} {self.bound:g} {self.unit}"


@dataclass(frozen=True, repr=False)
class Bench(Result):
    """All measurements of one machine."""

    rows: tuple[Measurement, ...]

    def json(self) -> dict:
        """Every row with its ratio and verdict."""
        rows = [{**asdict(row), "ratio": row.ratio, "verdict": row.verdict} for row in self.rows]
        return {"rows": rows}

    def table(self) -> TableParts:
        """One line per measurement: ours, its bound, the plain way, what that costs, the ratio."""
        rows = []
        for row in self.rows:
            beside = ("", "", "")
            if row.plain is not None and row.ratio is not None:
                costs = about(row.plain, 3, f" {row.unit}")
                beside = (row.plain_way, costs, about(row.ratio, 3, " ×"))
            rows.append((row.what, about(row.ours, 3, f" {row.unit}"), row.verdict, *beside))
        heads = ("what", "ours", "bound", "the plain way", "costs", "ratio")
        return "What the shortcuts save", heads, rows


def clock() -> float:
    """Seconds: of this process on a CPU, of the wall where a GPU works."""
    if not torch.cuda.is_available():
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def seconds(function: Callable[[], object]) -> float:
    """The time of one call, by `clock`."""
    start = clock()
    function()
    return clock() - start


def time_imports() -> list[Measurement]:
    """`import ftkit`, the best of three fresh processes, beside importing at once what it needs."""
    ours = min(run_fresh(IMPORT_OURS).seconds for _ in range(3))
    plain = run_fresh(IMPORT_PLAIN).seconds
    at_once = "import torch, transformers, peft, trl, ipywidgets, matplotlib"
    return [Measurement("import ftkit", "s", ours, 0.2, at_once, plain)]


def time_counting() -> list[Measurement]:
    """The trainable parameters of a LoRA on 70 B, by formula and by peft on the meta device.

    Beside them peft on a smaller model that is really there.
    """
    formula, meta, plain = (run_fresh(code) for code in (COUNT_FORMULA, COUNT_META, COUNT_PLAIN))
    # what a parameter costs, for the two models differ in size
    per_parameter = meta.peak / lora.count("llama-3.1-70b").base
    plain_per_parameter = plain.peak / lora.count("llama-3.2-1b").base
    on_meta = "peft on the same model, meta device"
    real = "peft on llama-3.2-1b in memory, bfloat16"
    with_peft = "count llama-3.1-70b with peft, meta device"
    peak, each = "the same: peak memory", "the same: peak memory per base parameter"
    return [
        Measurement(
            "count llama-3.1-70b by formula", "s", formula.seconds, None, on_meta, meta.seconds
        ),
        Measurement(with_peft, "s", meta.seconds, 10, real, plain.seconds),
        Measurement(peak, "GB", meta.peak / 1e9, 2, real, plain.peak / 1e9),
        Measurement(each, "B", per_parameter, None, real, plain_per_parameter),
    ]


def time_spectra() -> list[Measurement]:
    """The spectra of all matrices of the pocket model, once; then moves of the rank slider.

    Beside the moves a fresh spectrum at each of them.
    """
    layers = models.linears(models.load("pocket")[0])
    matrices = {name: layer.weight.detach() for name, layer in layers.items()}
    # the first call sets the library up
    spectrum.svd(next(iter(matrices.values())))
    spectra: dict[str, spectrum.Spectrum] = {}
    start = clock()
    for name, W in matrices.items():
        spectra[name] = spectrum.svd(W, name)
    once = clock() - start
    # the slider of the largest matrix, at every sixteenth rank
    largest = max(matrices, key=lambda name: matrices[name].numel())
    W, known = matrices[largest], spectra[largest]
    ranks = range(1, min(W.shape) + 1, 16)
    ours = statistics.median(seconds(lambda r=r: rank_view(known, r)) for r in ranks)
    plain = statistics.median(seconds(lambda r=r: rank_view(spectrum.svd(W), r)) for r in ranks)
    whole = f"spectra of all {len(matrices)} matrices of the pocket model"
    fresh = "a fresh spectrum at each move"
    return [
        Measurement(whole, "s", once, 3),
        Measurement("a move of the rank slider", "ms", 1e3 * ours, 100, fresh, 1e3 * plain),
    ]


class Epoch(NamedTuple):
    """One epoch of training: its pace, and what it came to."""

    us_per_token: float
    loss: float  # on the rows afterwards, in nats per answer token
    shape: tuple[int, int]  # of a step: its tokens, and those that carry loss, in the mean


def train_epoch(rows: "Dataset", name: str, script: Mapping[str, Any] | None = None) -> Epoch:
    """One epoch, 16 rows per step: by `train.sft`, or by SCRIPT with more options."""
    torch.manual_seed(0)
    model, tokenizer = models.load(name)
    model = lora.attach(model, r=16, alpha=32, targets="attention")
    # everything from the rows to the last step counts
    start = clock()
    if script is None:
        recipe = train.Recipe(2e-3, 1, 16, warmup=0.1, evaluations=0)
        finished = train.sft(model, tokenizer, rows, recipe).trainer
    else:
        finished = run_script(model, tokenizer, rows, script)
    spent = clock() - start
    # the same loss for both, and a pace by the tokens that both had to read
    answered = evaluate.surprisals(
        cast("PreTrainedModel", model.eval()), tokenizer, rows["messages"]
    )
    nats, tokens = zip(*answered, strict=True)
    prepared = cast("Dataset", finished.train_dataset)
    read = sum(len(ids) for ids in prepared["input_ids"])
    steps = len(prepared) / 16
    shape = (round(read / steps), round(sum(tokens) / steps))
    return Epoch(1e6 * spent / read, sum(nats) / sum(tokens), shape)


def run_script(
    model: "PeftModel",
    tokenizer: "PreTrainedTokenizerBase",
    rows: "Dataset",
    options: Mapping[str, Any],
) -> "trainer.SFTTrainer":
    """Train as a guide's script does, with SCRIPT and more options; TRL's trainer afterwards."""
    with tempfile.TemporaryDirectory(prefix="ftkit-") as folder:
        on_cpu = device_and_dtype()[0] == "cpu"
        config = trainer.SFTConfig(folder, use_cpu=on_cpu, **SCRIPT, **options)
        script = trainer.SFTTrainer(
            model, config, train_dataset=train.as_trl(rows, tokenizer), processing_class=tokenizer
        )
        # without progress bars it would print its losses
        script.remove_callback(PrinterCallback)
        script.train()
    return script


def time_training(rows: int = 96, rounds: int = 2, name: str = "pocket") -> list[Measurement]:
    """One epoch on as many tickets as general rows, by `train.sft` beside a guide's script.

    The script runs as it is, and with its brakes off: bf16 and checkpointing.
    """
    tokenizer = models.load(name)[1]
    tickets = data.first(data.load("tickets", tokenizer)["train"], rows)
    mixed = data.mix(tickets, data.load("general")["train"], 0.5)
    # the first call sets the libraries up
    quiet()
    train_epoch(data.first(mixed, 16), name)
    # the quickest of some rounds each
    as_it_is = {"bf16": device_and_dtype()[1] != "float16"}
    brakes_off = {"bf16": False, "gradient_checkpointing": False}
    ours, plain, free = (
        min(train_epoch(mixed, name, script) for _ in range(rounds))
        for script in (None, as_it_is, brakes_off)
    )
    # beside each way the pace, then what it came to
    pace = f"train.sft, {len(mixed)} rows, 16 per step"
    loss = "the same: loss on the rows afterwards"
    beside = {
        "a guide's SFTTrainer script, old names mended": plain,
        "the same script, bf16 and checkpointing off": free,
    }
    measurements = []
    for way, epoch in beside.items():
        paces = (ours.us_per_token, None, way, epoch.us_per_token)
        losses = (ours.loss, None, way, epoch.loss)
        measurements.append(Measurement(pace, "µs per token", *paces))
        measurements.append(Measurement(loss, "nats per token", *losses))
    # how far it is from what no shortcut can save
    alone = time_products(name, ours.shape)
    limit = "its matrix products alone, without padding"
    return [*measurements, Measurement(pace, "µs per token", ours.us_per_token, None, limit, alone)]


def time_products(name: str, shape: tuple[int, int]) -> float:
    """Microseconds per token of the products that no LoRA step can do without: every linear layer
    forward, and back to its input; the head on the tokens that carry loss.

    shape: (tokens, of which carry loss) of a step.
    """
    model, _ = models.load(name)
    tokens, learned = shape
    head = cast("torch.nn.Linear", model.get_output_embeddings()).weight
    weights = [(layer.weight, tokens) for layer in models.linears(model).values()]
    spent = 0.0
    with torch.no_grad():
        for W, rows in [*weights, (head, learned)]:
            x = torch.randn(rows, W.shape[1], dtype=W.dtype, device=W.device)
            y = x @ W.T
            spent += min(seconds(lambda x=x, y=y, W=W: (x @ W.T, y @ W)) for _ in range(5))
    return 1e6 * spent / tokens


def ask_one_by_one(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", prompts: list[str]
) -> list[str]:
    """The guides' way to ask: a pipeline, one prompt after another."""
    # Any, for it takes any tokenizer, whatever its annotation says
    ask = pipeline("text-generation", model=model, tokenizer=cast("Any", tokenizer))
    replies = []
    for prompt in prompts:
        answered: Any = ask(
            [{"role": "user", "content": prompt}],
            max_new_tokens=forgetting.LONGEST_ANSWER,
            do_sample=False,
            return_full_text=False,
        )
        replies.append(answered[0]["generated_text"].strip())
    return replies


def time_skill_check(n: int = 50) -> list[Measurement]:
    """The skill check beside a pipeline, one prompt at a time.

    Raises AssertionError if they disagree on any answer.
    """
    model, tokenizer = models.load("pocket")
    adapted = lora.attach(models.load("pocket")[0], r=16).eval()
    probes = []
    for name in suites.SKILLS:
        probes += suites.draw_suite(World(), name, n, 0)
    measurements = []
    for name, asked in {"the base": model, "an adapter on it": adapted}.items():
        # the first call sets the libraries up
        forgetting.skills(asked, tokenizer, n=1)
        start = clock()
        answered = forgetting.skills(asked, tokenizer, n=n)
        ours = clock() - start
        replies = ask_one_by_one(asked, tokenizer, [probe.prompt for probe in probes])
        plain = clock() - start - ours
        # the same answers, or the two times say nothing
        right = [reply == probe.answer for reply, probe in zip(replies, probes, strict=True)]
        ours_right = [one for group in answered.right.values() for one in group]
        assert right == ours_right, "the two ways disagree"
        what = f"skills of {name}, {len(probes)} probes"
        way = "a pipeline, one prompt at a time"
        measurements.append(Measurement(what, "s", ours, None, way, plain))
    return measurements


def run_bench(say: Callable[[str], object] = lambda _: None) -> Bench:
    """Measure everything; `say` is told each part before it starts. It takes minutes."""
    parts = {
        "imports": time_imports,
        "counting on 70 B": time_counting,
        "spectra": time_spectra,
        "training": time_training,
        "the skill check": time_skill_check,
    }
    rows: list[Measurement] = []
    for what, part in parts.items():
        say(f"measuring: {what}")
        rows += part()
    return Bench(tuple(rows))
