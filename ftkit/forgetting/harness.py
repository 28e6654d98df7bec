"""The probe suites as tasks of EleutherAI's lm-eval: another judge of what was forgotten. Needs the
extra: pip install ftkit[eval].
"""

import contextlib
import io
import json
import logging
import tempfile
from pathlib import Path

from ..core.errors import UserError
from ..core.files import whole_or_nothing
from ..world import World
from ..world import skills as suites
from .probing import LONGEST_ANSWER, Skills

GROUP = "ftkit_skills"


def write(
    folder: str | Path,
    n: int = 50,
    seed: int = 0,
    names: list[str] | None = None,
    world: World | None = None,
) -> Path:
    """Write `n` probes of every skill (or of `names`) as lm-eval's tasks, whole or not at all;
    returns the folder.

    Greedy, with the model's chat template, exact match of the stripped answer, as
    `forgetting.skills` does it. To run them: lm_eval --model hf --model_args pretrained=DIR --tasks
    ftkit_skills --include_path FOLDER --apply_chat_template
    The files name their folder in full: write again rather than move it.
    """
    import yaml

    folder, world, names = Path(folder).resolve(), world or World(), list(names or suites.SKILLS)
    with whole_or_nothing(folder) as new:
        for name in names:
            probes = [
                {"prompt": p.prompt, "answer": p.answer} for p in suites.suite(world, name, n, seed)
            ]
            (new / f"{name}.jsonl").write_text(
                "".join(json.dumps(p) + "\n" for p in probes), encoding="utf-8"
            )
            (new / f"{name}.yaml").write_text(
                yaml.safe_dump(task(name, folder), sort_keys=False), encoding="utf-8"
            )
        mean = {
            "metric": "exact_match",
            "aggregation": "mean",
            "weight_by_size": False,
            "filter_list": "stripped",
        }
        group = {
            "group": GROUP,
            "task": [f"ftkit_{name}" for name in names],
            "aggregate_metric_list": [mean],
        }
        (new / f"{GROUP}.yaml").write_text(yaml.safe_dump(group, sort_keys=False), encoding="utf-8")
    return folder


def task(name: str, folder: Path) -> dict:
    """lm-eval's task for one suite whose probes lie in `folder`."""
    strip = {
        "function": "regex",
        "regex_pattern": r"(?s)^\s*(.*)$",
        "fallback": "",
    }  # what it finds, lm-eval strips
    return {
        "task": f"ftkit_{name}",
        "dataset_path": "json",
        "dataset_kwargs": {
            "data_files": {"test": str(folder / f"{name}.jsonl")},
            "cache_dir": str(folder / "cache"),
        },
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


def skills(
    model,
    tokenizer,
    n: int = 50,
    seed: int = 0,
    names: list[str] | None = None,
    world: World | None = None,
) -> Skills:
    """`forgetting.skills` as lm-eval finds it: it formats, asks and marks; the probes are the same,
    and offline.
    """
    try:
        from lm_eval import evaluator
        from lm_eval.models.huggingface import HFLM
        from lm_eval.tasks import TaskManager
    except ImportError as error:
        raise UserError("lm-eval is not installed; pip install lm-eval, or ftkit[eval].") from error
    with tempfile.TemporaryDirectory(prefix="ftkit-") as temp, silence():
        folder = write(Path(temp, "tasks"), n, seed, names, world)
        tasks = TaskManager(include_path=folder, include_defaults=False).load([GROUP])
        found = evaluator.evaluate(
            HFLM(model, tokenizer=tokenizer, batch_size=50),
            tasks,
            bootstrap_iters=0,
            apply_chat_template=True,
        )
    right = {}
    for name, samples in found["samples"].items():
        in_order = sorted(samples, key=lambda sample: sample["doc_id"])
        right[name.removeprefix("ftkit_")] = [bool(sample["exact_match"]) for sample in in_order]
    return Skills(right)


@contextlib.contextmanager
def silence():
    """No progress bars and no notes by lm-eval on standard error, which a notebook would show."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)
