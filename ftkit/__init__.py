"""ftkit: run what fine-tuning guides only tell.

The package lies in wings, most of them one lesson each. A wing uses those named before it.

    core        setup(): seed, device, threads, versions; how results look; errors that teach
    show        pictures and controls
    world       the micro-world that the pocket model knows, with its answer key
    fetched     fetch(): a real model and real rows from the package index, by hash
    data        load(): chat examples, in train / validation / test
    audit       audit(): copies, leaks, balance and secrets in rows that are each right
    models      load(): a transformers model and its tokenizer
    lora        attach(): a peft model; LoRA by hand, its counts, spectra and updates
    methods     attach(): every method by peft, at its own rates
    quant       quantize(): four bits from first principles
    memory      predict(), trace(), measure(): what one training step holds, byte by byte
    train       sft(): a TRL run; Experiment: the same from a file, into a run folder
    cost        FLOPs, hours, money and energy of a run, by formula, and what each run took
    evaluate    compare(): base beside tuned, with intervals; red flags
    forgetting  skills(): what the model can still do, and what broke
    prefer      tune(): pairs and rewards by TRL and by hand; what their losses hide
    decide      compare_arms(): should one tune at all? prompted, retrieved and tuned, side by side
    merge       merge(): the merged model and the proof that it is the same one
    ship        export(): GGUF, servers and other trainers, each proven or read by its own tool
    probes      ask(): jailbreaks, secrets, injections, tool abuse, rude rows: base beside tuned
    pocket      the pocket model, trained again from nothing
    doctor      examine(): what is wrong here, and what mends it
    operate     Registry, calibrate(), retrain(): versions, roll-outs, alarms, and training again
    studies     runs on changed rows and prompts: what decides, measured
    ward        runs that are ill on purpose, and what the doctor finds of them
    lab         whole experiments: grids of runs, the playground, the tour
    verdicts    settle(): what the guides say, each claim with its figures and a computed verdict
    answers     what is right: exercises, predictions and coding checks, by their ids
    lessons     exercises that answer back, and the guides held against the libraries
    tools       what keeps the repository right: notebooks, stamps, timings
    cli         the verbs: python -m ftkit

Each wing's own page says more: help(ftkit.memory). Nothing heavy is imported before it is used.
"""

import lazy_loader

from .core import colab
from .core.errors import UserError
from .core.session import Environment, setup

__version__ = "0.1.0"
WINGS = (
    "core", "show", "world", "fetched", "data", "audit", "models", "lora", "methods", "quant",
    "memory", "train", "cost", "evaluate", "forgetting", "prefer", "decide", "merge", "ship",
    "probes", "pocket", "doctor", "operate", "studies", "ward", "lab", "verdicts", "answers",
    "lessons", "tools", "cli",
)  # fmt: skip

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules=WINGS)
__all__ += ["Environment", "UserError", "setup"]

colab.prepare()  # nothing but on Colab, and there before a wing can import anything heavy
