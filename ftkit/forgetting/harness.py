"""The probe suites as tasks of EleutherAI's lm-eval: another judge of what was forgotten.

    skills(model, tokenizer)    `forgetting.skills` as lm-eval finds it, offline
    write_tasks(folder)         the suites as files for lm-eval's own command line

The probes are the same; lm-eval formats, asks and marks. Suites of the micro-world only. The one
room that imports lm-eval, which is an extra: pip install ftkit[eval]. Notebook 10.
"""

import contextlib
import io
import json
import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import yaml

from ..core.errors import UserError
from ..core.files import whole_or_nothing
from ..world import World
from ..world import skills as suites
from .probing import LONGEST_ANSWER, Skills

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

GROUP = "ftkit_skills"


def write_tasks(
    folder: str | Path,
    n: int = 50,
    seed: int = 0,
    names: Sequence[str] | None = None,
    world: World | None = None,
) -> Path:
    """Write `n` probes of every skill, or of `names`, as lm-eval's tasks; returns the folder.

    They come whole or not at all. Greedy, with the model's chat template, exact match of the
    stripped answer, as `forgetting.skills` does it. To run them:

        lm_eval --model hf --model_args pretrained=DIR --tasks ftkit_skills \\
            --include_path FOLDER --apply_chat_template

    The files name their folder in full: write again rather than move it.
    """
    folder, world, names = Path(folder).resolve(), world or World(), list(names or suites.SKILLS)
    with whole_or_nothing(folder) as new:
        for name in names:
            # the probes as lm-eval's data, and the task that points at them
            probes = suites.draw_suite(world, name, n, seed)
            lines = [json.dumps({"prompt": p.prompt, "answer": p.answer}) + "\n" for p in probes]
            (new / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
            write_yaml(new / f"{name}.yaml", task_config(name, folder))
        write_yaml(new / f"{GROUP}.yaml", group_config(names))
    return folder


def write_yaml(file: Path, content: dict) -> None:
    """A YAML file with its keys in the order given."""
    file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def task_config(name: str, folder: Path) -> dict:
    """lm-eval's task for one suite whose probes lie in `folder`."""
    files = {"test": str(folder / f"{name}.jsonl")}
    # lm-eval strips what this regular expression finds
    strip = {"function": "regex", "regex_pattern": r"(?s)^\s*(.*)$", "fallback": ""}
    return {
        "task": f"ftkit_{name}",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": files, "cache_dir": str(folder / "cache")},
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "prompt",
        "doc_to_target": "answer",
        "num_fewshot": 0,
        # No stop string: the model's own end token ends an answer. lm-eval would stop at an empty
        # line by default.
        "generation_kwargs": {"until": [], "do_sample": False, "max_gen_toks": LONGEST_ANSWER},
        "filter_list": [{"name": "stripped", "filter": [strip, {"function": "take_first"}]}],
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    }


def group_config(names: Sequence[str]) -> dict:
    """lm-eval's group of all tasks, whose score is the mean over suites."""
    mean = {
        "metric": "exact_match",
        "aggregation": "mean",
        "weight_by_size": False,
        "filter_list": "stripped",
    }
    tasks = [f"ftkit_{name}" for name in names]
    return {"group": GROUP, "task": tasks, "aggregate_metric_list": [mean]}


def skills(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    n: int = 50,
    seed: int = 0,
    names: Sequence[str] | None = None,
    world: World | None = None,
) -> Skills:
    """`forgetting.skills` as lm-eval finds it, offline; a `UserError` where it is not installed."""
    try:
        from lm_eval import evaluator
        from lm_eval.models.huggingface import HFLM
        from lm_eval.tasks import TaskManager
    except ImportError as error:
        raise UserError("lm-eval is not installed; pip install lm-eval, or ftkit[eval].") from error

    # the tasks are read from files, as lm-eval reads its own
    with tempfile.TemporaryDirectory(prefix="ftkit-") as temp, silence():
        folder = write_tasks(Path(temp, "tasks"), n, seed, names, world)
        tasks = TaskManager(include_path=folder, include_defaults=False).load([GROUP])
        asked = HFLM(model, tokenizer=tokenizer, batch_size=50)  # type: ignore # as lm-eval means it
        results = evaluator.evaluate(asked, tasks, bootstrap_iters=0, apply_chat_template=True)

    # it asks in an order of its own; `doc_id` is the place of the probe in the file
    right = {}
    for name, samples in cast("dict", results)["samples"].items():
        in_order = sorted(samples, key=lambda sample: sample["doc_id"])
        right[name.removeprefix("ftkit_")] = [bool(sample["exact_match"]) for sample in in_order]
    return Skills(right)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """No progress bars and no notes by lm-eval on standard error, which a notebook would show."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)
