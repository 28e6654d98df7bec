"""ftkit: run what fine-tuning guides only tell.

The map, one stage a file, arrows from left to right:

    runtime, world → data → models → quant, spectrum, lora, count, memory → train → evaluate → forgetting → verdict → merge, adapters

    setup()              seed, device, threads, versions, in one record
    models.load()        a transformers model and its tokenizer
    data.load()          chat examples, in train / validation / test
    quant.quantize()     four bits from first principles
    spectrum.svd()       a matrix by its singular values
    lora.attach()        a peft model
    count.count()        what a LoRA of a published architecture trains
    memory.predict()     what one training step holds, byte by byte
    train.sft()          a TRL run
    experiment.reopen()  the run of a folder, loaded again
    evaluate.compare()   base beside tuned, five dimensions, intervals
    forgetting.skills()  what the model can still do
    harness.skills()     the same, found by lm-eval
    verdict.flags()      better or not: paired tests, red flags, what broke
    judge.trial()        a model as judge, its bias measured
    merge.merge()        the merged model and the proof that it is the same one
    adapters.combine()   several adapters on one base
    doctor.environment() what is wrong here, and what mends it

`world` is the micro-world that the pocket model was trained on; `grids` holds runs made beforehand; `plots` and `explore`
draw; `playground` draws and trains. Nothing heavy is imported before it is used.
"""

import importlib
from typing import TYPE_CHECKING

from . import colab
from .runtime import Environment, UserError, setup

if TYPE_CHECKING:
    from . import (
        adapters,
        architecture,
        checkup,
        count,
        data,
        doctor,
        evaluate,
        exercise,
        experiment,
        explore,
        explore_memory,
        explore_merge,
        explore_plane,
        explore_quant,
        explore_train,
        forgetting,
        grids,
        guides,
        harness,
        judge,
        lora,
        memory,
        merge,
        models,
        overfit,
        playground,
        plots,
        quant,
        spectrum,
        tour,
        train,
        trainer,
        verdict,
        world,
    )

__version__ = "0.1.0"
__all__ = [
    "Environment", "UserError", "adapters", "architecture", "checkup", "count", "data", "doctor", "evaluate", "exercise",
    "experiment", "explore", "explore_memory", "explore_merge", "explore_plane", "explore_quant", "explore_train", "forgetting",
    "grids", "guides", "harness", "judge", "lora", "memory", "merge", "models", "overfit", "playground", "plots", "quant",
    "setup", "spectrum", "tour", "train", "trainer", "verdict", "world",
]  # fmt: skip

colab.prepare()  # nothing but on Colab, and there before a stage can import anything heavy


def __getattr__(name: str):
    """Import a stage when it is first named."""
    if name in __all__:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module 'ftkit' has no attribute {name!r}")
