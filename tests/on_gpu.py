"""The kit on a real GPU: `python tests/on_gpu.py [STAGE …]`. No test of pytest's, because CI has no
GPU; test_on_gpu.py rehearses it.

Models of published sizes get random weights in a temporary folder, which take the same memory and
time. Every stage writes what it found into data/measurements/gpu_<card>.json as soon as it is
there, beside what other stages have left; `python -m ftkit measure` measures memory at 26 settings.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from families import write

from ftkit import UserError, data, lora, memory, models, train
from ftkit.core.files import data_path, write_rows
from ftkit.core.results import GIB
from ftkit.core.session import device_and_dtype
from ftkit.tools import bench
from ftkit.train import Experiment

DTYPES = ("bfloat16", "float16")
NOTEBOOKS = ("ten", "00", "01", "01b", "02", "02b", "03", "04", "05", "06", "07", "07b", "10", "13")
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

    def run(self, *arguments: str, **environment: str) -> dict:
        """A verb in a process of its own: its JSON, or its last words."""
        command = [sys.executable, "-m", "ftkit", *arguments, "--json"]
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, **environment}
        )
        last = (done.stderr.strip() or "no reason").splitlines()[-1]
        return json.loads(done.stdout) if done.stdout.startswith("{") else {"failed": last}


def notebooks(rig: Rig) -> list[dict]:
    """The tour and the notebooks on half a billion parameters, in both 16-bit dtypes."""
    found = []
    for dtype in DTYPES[:1] if rig.rehearsal else DTYPES:
        here = {"FTKIT_MODEL": rig.model(*SMALL), "FTKIT_DTYPE": dtype}
        toured = rig.run("tour", **here)
        found.append(
            {
                "model": SMALL[1],
                "dtype": dtype,
                "what": "tour",
                "seconds": toured.get("seconds"),
                "failed": toured.get("failed"),
            }
        )
        for number in NOTEBOOKS[-2:-1] if rig.rehearsal else NOTEBOOKS:
            report = rig.run(
                "notebooks", number, "--out", str(rig.folder / "executed" / dtype), **here
            )
            name, row = f"notebook {number}", {"failed": report.get("failed")}
            if isinstance(report.get("seconds"), dict):
                (stem,) = report["ran"]
                row = {
                    "seconds": report["seconds"][stem],
                    "failed": report["reasons"].get(stem),
                    "claims": report["claims"][stem],
                }
            found.append({"model": SMALL[1], "dtype": dtype, "what": name, **row})
    return found


def qlora(rig: Rig) -> list[dict]:
    """A QLoRA of 8 billion parameters by the recipe file's way, in both dtypes.

    Seconds per step, and its peak beside the formula's.
    """
    found = []
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
        found.append(
            {**row, "seconds_a_step": run.seconds / run.steps, "peak": peak(), "formula": formula}
        )
        del run
    del os.environ["FTKIT_DTYPE"]
    return found


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
            kept = [row for row in kept if row["stage"] != stage] + [
                {"stage": stage, **row} for row in STAGES[stage](rig)
            ]
            write_rows(path, head, kept)
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
