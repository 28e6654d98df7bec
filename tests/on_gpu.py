"""The kit on a real GPU: `python tests/on_gpu.py [STAGE …]`. No test of pytest's, because CI has no
GPU; test_on_gpu.py rehearses it.

Models of published sizes get random weights in a temporary folder, which take the same memory and
time; the notebooks run on SmolLM2 where it was fetched. What a stage finds is written into
data/measurements/gpu_<card>.json as soon as it is there, beside what other stages have left;
`python -m ftkit measure` measures memory at 26 settings.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import torch
from families import write

from ftkit import UserError, data, fetched, lora, memory, models, train
from ftkit.core.files import data_path, write_rows
from ftkit.core.results import GIB
from ftkit.core.session import device_and_dtype
from ftkit.tools import bench
from ftkit.train import Experiment

DTYPES = ("bfloat16", "float16")
NOTEBOOKS = tuple(
    "ten 00 01 01b 02 02b 03 04 04b 05 06 07 07b 08 09 09b 10 11 12 12b 13 14 15 16 17 18".split()
)
IN_FLOAT16 = ("00", "03", "07", "10")
AT_ONCE = 14  # processes; a machine with fewer cores is only slower
SMALL, LARGE = ("qwen", "qwen2.5-0.5b"), ("llama", "llama-3.1-8b")


@dataclass(frozen=True)
class Rig:
    """Where the models are, and how much of everything is done: `rehearsal` takes the smallest
    models and one notebook.
    """

    folder: Path
    rehearsal: bool

    def model(self, family: str, name: str) -> str:
        """A directory with the random weights of a published architecture."""
        folder = self.folder / name
        if not folder.exists():
            stated = json.loads(data_path("configs", f"{name}.json").read_text(encoding="utf-8"))
            real = {
                k: v
                for k, v in stated.items()
                if not k.startswith(("_", "torch")) and not k.endswith("token_id")
            } | {"dtype": "bfloat16"}
            with torch.device(device_and_dtype()[0]):
                write(
                    family,
                    folder,
                    **({"num_key_value_heads": 4, "vocab_size": 1000} if self.rehearsal else real),
                )
        return str(folder)

    def small(self) -> str:
        """A model that notebooks are run on: SmolLM2 where it was fetched."""
        try:
            return self.model(*SMALL) if self.rehearsal else fetched.find("smollm2") and "smollm2"
        except UserError:
            return self.model(*SMALL)

    def run(self, *arguments: str, **environment: str) -> dict:
        """A verb in a process of its own: its JSON, or its last words."""
        command = [sys.executable, "-m", "ftkit", *arguments, "--json"]
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, **environment}
        )
        last = (done.stderr.strip() or "no reason").splitlines()[-1]
        return json.loads(done.stdout) if done.stdout.startswith("{") else {"failed": last}


def notebooks(rig: Rig) -> Iterator[dict]:
    """The tour and the notebooks on a small model: all in bfloat16, and some in float16, too.

    Many at once, each in a process of its own: their seconds are those of a shared card.
    """
    asked = [("tour", dtype) for dtype in DTYPES]
    asked += [(number, "float16") for number in IN_FLOAT16]
    asked += [(number, "bfloat16") for number in NOTEBOOKS]
    if rig.rehearsal:
        asked = [("tour", "bfloat16"), ("11", "bfloat16")]
    model = rig.small()
    with ThreadPoolExecutor(1 if rig.rehearsal else AT_ONCE) as pool:
        for done in as_completed([pool.submit(one_notebook, rig, model, *one) for one in asked]):
            yield done.result()


def one_notebook(rig: Rig, model: str, number: str, dtype: str) -> dict:
    """The row of the tour, or of one notebook."""
    row: dict = {"model": Path(model).name, "dtype": dtype}
    here = {"FTKIT_MODEL": model, "FTKIT_DTYPE": dtype}
    if number == "tour":
        toured = rig.run("tour", **here)
        said = {name: toured.get(name) for name in ("seconds", "failed")}
        return {**row, "what": "tour", **said}
    out = str(rig.folder / "executed" / dtype / number)
    report = rig.run("notebooks", number, "--out", out, **here)
    row["what"] = f"notebook {number}"
    if not isinstance(report.get("seconds"), dict):
        return {**row, "failed": report.get("failed")}
    (stem,) = report["ran"]
    seconds, failed = report["seconds"][stem], report["reasons"].get(stem)
    return {**row, "seconds": seconds, "failed": failed, "claims": report["claims"][stem]}


def qlora(rig: Rig) -> Iterator[dict]:
    """A QLoRA of 8 billion parameters by the recipe file's way, in both dtypes.

    Seconds per step, and its peak beside the formula's.
    """
    for dtype in DTYPES[:1] if rig.rehearsal else DTYPES:
        os.environ["FTKIT_DTYPE"] = dtype
        recipe = train.Recipe(lr=2e-4, epochs=1, evaluations=0, micro_batch=4)
        asked = Experiment(
            rig.model(*LARGE), "nf4", rows=64, lora={"r": 16, "alpha": 32}, recipe=recipe
        )
        peak = counted()
        run, _ = asked.run()
        tokens = max(map(len, run.trainer.train_dataset["input_ids"]))
        options = {
            "method": "qlora",
            "rank": 16,
            "batch": 4,
            "seq": tokens,
            "checkpointing": False,
            "loss": "tiled",
            "dtype": dtype,
        }
        formula = None if rig.rehearsal else memory.predict(LARGE[1], **options).peak
        row = {
            "model": LARGE[1],
            "dtype": dtype,
            "method": "qlora",
            "rows": 4,
            "tokens": tokens,
            "loss": run.loss,
        }
        yield {**row, "seconds_a_step": run.seconds / run.steps, "peak": peak(), "formula": formula}
        del run
    del os.environ["FTKIT_DTYPE"]


def counted() -> Callable[[], int | None]:
    """A function that says how much memory was taken at most since now."""
    if not torch.cuda.is_available():
        return lambda: None
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    return torch.cuda.max_memory_allocated


def speed(rig: Rig) -> list[dict]:
    """`train.sft` beside a guide's script."""
    rows = bench.time_training(8 if rig.rehearsal else 96, 1, rig.model(*SMALL))
    return [
        {
            "model": SMALL[1],
            "what": r.what,
            "unit": r.unit,
            "ours": r.ours,
            "beside": r.plain_way,
            "plain": r.plain,
        }
        for r in rows
    ]


def full(rig: Rig) -> list[dict]:
    """A step that no card holds, and the same run with the setting that the error gives."""
    found, micro = [], 8 if rig.rehearsal else 4096
    tickets = data.load("tickets")["train"].select_columns("messages")
    while micro:
        model, tokenizer = models.load(rig.model(*SMALL))
        recipe = train.Recipe(batch_size=4096, epochs=1, evaluations=0, micro_batch=micro)
        try:
            run = train.sft(
                lora.attach(model),
                tokenizer,
                tickets.select(range(16)) if rig.rehearsal else tickets,
                recipe,
            )
            found.append({"micro_batch": micro, "said": None, "steps": run.steps})
            break
        except UserError as error:
            found.append({"micro_batch": micro, "said": str(error)})
            micro = int((re.findall(r"micro_batch=(\d+)", str(error)) or ["0"])[0])
    return found


STAGES = {stage.__name__: stage for stage in (notebooks, qlora, speed, full)}


def main(stages: list[str], rehearsal: bool, out: Path | None) -> Path:
    """Run the stages; returns the file that holds what they found."""
    cuda = torch.cuda.is_available()
    card = torch.cuda.get_device_name() if cuda else "no GPU"
    path = out or data_path("measurements", f"gpu_{card.replace(' ', '_').lower()}.json")
    kept = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.is_file() else []
    total = round(torch.cuda.mem_get_info()[1] / GIB, 2) if cuda else None
    head = {
        "command": "python tests/on_gpu.py",
        "card": card,
        "gib": total,
        "cuda": torch.version.cuda,
    }
    with tempfile.TemporaryDirectory() as folder:
        rig = Rig(Path(folder), rehearsal)
        os.environ["FTKIT_MODEL"] = rig.model(
            *SMALL
        )  # a session with the pocket model computes in float32
        for stage in stages or STAGES:
            print(f"… {stage}", file=sys.stderr, flush=True)
            kept = [row for row in kept if row["stage"] != stage]
            for row in STAGES[stage](rig):
                kept.append({"stage": stage, **row})
                write_rows(path, head, kept)
                print(json.dumps(kept[-1])[:300], file=sys.stderr, flush=True)
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=", ".join(STAGES))
    parser.add_argument("--rehearsal", action="store_true", help="the smallest models, on a CPU")
    parser.add_argument(
        "--out", type=Path, help="another file than data/measurements/gpu_<card>.json"
    )
    given = parser.parse_args()
    if unknown := set(given.stages) - STAGES.keys():
        parser.error(f"there is no stage {unknown.pop()!r}; there are {', '.join(STAGES)}")
    if not torch.cuda.is_available() and not given.rehearsal:
        sys.exit("ftkit: there is no GPU here; --rehearsal goes through the stages on a CPU.")
    print(main(given.stages, given.rehearsal, given.out))
