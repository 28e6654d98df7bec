"""What the kit's shortcuts save: each timed here and now beside the plain way to the same answer.

Seconds are of processor time, so that whatever else the machine does is not measured; on an idle machine a wall clock
shows the same, as long as one thread works.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from . import count, models, spectrum
from .explore import rank_view
from .record import Record, about

IMPORT_OURS = "import ftkit"
IMPORT_PLAIN = "import torch, transformers.modeling_utils, peft, trl, ipywidgets, matplotlib.pyplot"
COUNT_FORMULA = "from ftkit import count; count.count('llama-3.1-70b', 16)"
COUNT_META = "from ftkit import count; count.checked('llama-3.1-70b', 16)"
# The plain way really has the weights. A 1.2 B model is what a laptop holds; its zeros are written, which is quicker than
# to load or to draw them.
COUNT_PLAIN = """
import torch
from ftkit import count, lora
model = count.skeleton('llama-3.2-1b').to(torch.bfloat16).to_empty(device='cpu')
for p in model.parameters():
    p.data.zero_()
lora.trainable(lora.attach(model, r=16))
"""


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
class Bench(Record):
    """All measurements of one machine."""

    rows: tuple[Row, ...]

    def json(self) -> dict:
        """Every row with its ratio and verdict."""
        return {"rows": [{**asdict(row), "ratio": row.ratio, "verdict": row.verdict} for row in self.rows]}

    def table(self):
        """One line a measurement."""
        rows = []
        for r in self.rows:
            beside = ("", "", "") if r.plain is None else (r.plain_way, about(r.plain, 3, f" {r.unit}"), about(r.ratio, 3, " ×"))
            rows.append((r.what, about(r.ours, 3, f" {r.unit}"), r.verdict, *beside))
        return "What the shortcuts save", ("what", "ours", "bound", "the plain way", "costs", "ratio"), rows


def peak_bytes() -> int:
    """The most memory that this process held at once.

    Linux's own high-water mark where there is one: the usual ru_maxrss also counts the process that started this one.
    """
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def fresh(code: str) -> tuple[float, float]:
    """(seconds, peak bytes) of a piece of Python in a process of its own, imports included, the interpreter's start not."""
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
    return [Row("import ftkit", "s", ours, 0.2, "import torch, transformers, peft, trl, ipywidgets, matplotlib", plain)]


def counting() -> list[Row]:
    """The trainable parameters of a LoRA on 70 B, by formula and on the meta device, beside a model that is really there."""
    formula, _ = fresh(COUNT_FORMULA)
    meta, meta_peak = fresh(COUNT_META)
    plain, plain_peak = fresh(COUNT_PLAIN)
    real = "peft on llama-3.2-1b in memory, bfloat16"
    per = [peak / count.count(name).base for name, peak in (("llama-3.1-70b", meta_peak), ("llama-3.2-1b", plain_peak))]
    return [
        Row("count llama-3.1-70b by formula", "s", formula, None, "peft on the same model, meta device", meta),
        Row("count llama-3.1-70b with peft, meta device", "s", meta, 10, real, plain),
        Row("the same: peak memory", "GB", meta_peak / 1e9, 2, real, plain_peak / 1e9),
        Row("the same: peak memory a base parameter", "B", per[0], None, real, per[1]),
    ]


def spectra() -> list[Row]:
    """The spectra of all matrices of the pocket model, once; then a move of the rank slider, beside a fresh spectrum at each move."""
    matrices = {name: m.weight.detach() for name, m in models.linears(models.load("pocket")[0]).items()}
    spectrum.svd(next(iter(matrices.values())))  # the first call sets the library up
    found: dict[str, spectrum.Spectrum] = {}
    once = seconds(lambda: found.update({name: spectrum.svd(W, name) for name, W in matrices.items()}))
    name = max(matrices, key=lambda n: matrices[n].numel())
    moves = range(1, min(matrices[name].shape) + 1, 16)
    ours = statistics.median(seconds(lambda r=r: rank_view(found[name], r)) for r in moves)
    plain = statistics.median(seconds(lambda r=r: rank_view(spectrum.svd(matrices[name]), r)) for r in moves)
    return [
        Row(f"spectra of all {len(matrices)} matrices of the pocket model", "s", once, 3),
        Row("a move of the rank slider", "ms", 1e3 * ours, 100, "a fresh spectrum at each move", 1e3 * plain),
    ]


def run(say: Callable[[str], object] = lambda _: None) -> Bench:
    """Measure everything."""
    rows = []
    for what, part in (("imports", imports), ("counting on 70 B", counting), ("spectra", spectra)):
        say(f"measuring: {what}")
        rows += part()
    return Bench(tuple(rows))
