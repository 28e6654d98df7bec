"""The verbs: `python -m ftkit …`. `--json` prints one JSON object on standard output and nothing else there.

Exit codes: 0 fine, 1 what was asked about is bad (one clear sentence, no traceback), 2 bad usage.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from .runtime import UserError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="Run what fine-tuning guides only tell.")
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output and nothing else.")]
Out = Annotated[Path, typer.Option("--out", help="Folder to write into.")]


def say(text: str) -> None:
    """Progress goes to standard error."""
    typer.echo(f"… {text}", err=True)


@contextmanager
def one_sentence() -> Iterator[None]:
    """A user's mistake becomes its sentence and exit code 1, without a traceback."""
    try:
        yield
    except UserError as error:
        typer.echo(f"ftkit: {error}", err=True)
        raise typer.Exit(1) from None


def show(result: object, as_json: bool, values: dict) -> None:
    """The result as a table, or its values as JSON."""
    typer.echo(json.dumps(values) if as_json else str(result))


@app.command()
def tour(
    out: Annotated[Path | None, typer.Option("--out", help="Folder for run.json, adapter/, merged/ and figures.")] = None,
    as_json: Json = False,
) -> None:
    """Tune a model in a minute, and see what it cost: notebook 00 without the notebook."""
    with one_sentence():
        say("importing torch, transformers, peft and TRL")
        from . import setup
        from . import tour as stage

        setup(seed=0)
        result = stage.run(out, say)
        show(result, as_json, result.json())


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="A YAML recipe, a run.json or the folder of a run.")], out: Out, as_json: Json = False
) -> None:
    """Train from a recipe or from the record of an earlier run; killed, the same command goes on from the last checkpoint."""
    with one_sentence():
        from . import setup
        from .experiment import Experiment

        experiment = Experiment.read(recipe)
        setup(seed=experiment.recipe.seed)
        run = experiment.into(out)
        record = json.loads((out / "run.json").read_text(encoding="utf-8"))
        values = {
            "loss": record["losses"][-1][1],
            "steps": record["steps"],
            "seconds": record["seconds"],
            "adapter": str(out / ("adapter" if experiment.lora is not None else "model")),
            "record": str(out / "run.json"),
        }
        show(run or f"{out} holds this very run already; nothing was left to train.", as_json, values)


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="'pocket', 'hub', a model directory, a hub id, or the folder of a run.")],
    data: Annotated[str, typer.Option("--data", help="A task of the kit or a JSONL file.")],
    as_json: Json = False,
) -> None:
    """Five dimensions: a run's model beside its base, or one model alone."""
    with one_sentence():
        from . import data as sets
        from . import evaluate as stage
        from . import forgetting, models, setup, verdict
        from .experiment import reopen

        setup(seed=0)
        tuned, base, tokenizer = reopen(model) if Path(model, "run.json").is_file() else (None, *models.load(model))
        test = sets.test_rows(data)
        if tuned is None:
            score = stage.score(base, tokenizer, test, model)
            skills = forgetting.skills(base, tokenizer)
            values = {"task": score.task.value, "format": score.format.value, "skills": {k: r.value for k, r in skills.rates.items()}}
            show(f"{score}\n\n{skills}", as_json, values)
            return
        compared = stage.compare(base, tuned, tokenizer, test)
        forgotten = forgetting.table(forgetting.skills(base, tokenizer), forgetting.skills(tuned, tokenizer))
        raised = verdict.flags(compared, forgotten)
        show(f"{compared}\n\n{forgotten}\n\n{raised}", as_json, {**compared.json(), **forgotten.json(), **raised.json()})


@app.command()
def merge(run: Annotated[Path, typer.Argument(help="The folder of a run.")], out: Out, as_json: Json = False) -> None:
    """Fold a run's adapter into its base, prove that nothing moved, and write a plain model directory."""
    with one_sentence():
        import dataclasses

        from . import merge as stage
        from . import setup
        from .experiment import reopen
        from .runtime import staged

        setup(seed=0)
        tuned, _, tokenizer = reopen(run)
        merged, report = stage.merge(tuned)
        with staged(out) as new:
            merged.save_pretrained(new)
            tokenizer.save_pretrained(new)
        show(report, as_json, dataclasses.asdict(report))


@app.command()
def count(
    config: Annotated[
        str, typer.Argument(help="A name in data/configs, 'pocket', a config.json, a directory, a hub id; 'all' for the kit's.")
    ],
    rank: Annotated[int, typer.Option("--rank", help="r, the rank of A and B.")] = 16,
    targets: Annotated[
        str, typer.Option("--targets", help="all-linear, attention, mlp, q,v or names such as q_proj,v_proj.")
    ] = "all-linear",
    peft: Annotated[bool, typer.Option("--peft/--no-peft", help="Hold the formula to peft's own count on the meta device.")] = True,
    as_json: Json = False,
) -> None:
    """Count what a LoRA trains on a real architecture: by formula, and by peft on a model without memory."""
    with one_sentence():
        import time

        from . import count as stage
        from .runtime import quiet

        start = time.perf_counter()
        if config == "all":
            found = stage.every(rank, targets)
        else:
            found = stage.count(config, rank, targets)
            if peft:
                say("building the architecture on the meta device and attaching peft's LoRA")
                quiet()
                found = stage.checked(config, rank, targets)
        show(found, as_json, {**found.json(), "seconds": round(time.perf_counter() - start, 3)})


@app.command()
def bench(as_json: Json = False) -> None:
    """Measure what the kit's shortcuts save beside the plain way: imports, counting on 70 B, spectra under a slider."""
    with one_sentence():
        from . import bench as stage
        from . import setup

        setup(seed=0)
        report = stage.run(say)
        show(report, as_json, report.json())


@app.command()
def memory(
    config: Annotated[str, typer.Argument(help="A name in data/configs, 'pocket', a config.json, a directory or a hub id.")],
    method: Annotated[str, typer.Option("--method", help="full, lora or qlora.")] = "full",
    rank: Annotated[int, typer.Option("--rank", help="r, the rank of A and B.")] = 16,
    targets: Annotated[str, typer.Option("--targets", help="all-linear, attention, mlp, q,v or names.")] = "all-linear",
    seq: Annotated[int, typer.Option("--seq", help="Tokens a row.")] = 2048,
    batch: Annotated[int, typer.Option("--batch", help="Rows.")] = 1,
    checkpointing: Annotated[bool, typer.Option("--checkpointing/--no-checkpointing", help="Layers keep their input alone.")] = True,
    dtype: Annotated[str, typer.Option("--dtype", help="Of the weights: bfloat16, float16 or float32.")] = "bfloat16",
    autocast: Annotated[
        str, typer.Option("--autocast", help="What linear layers compute in: bfloat16, float16, none; same: dtype if 16 bits.")
    ] = "same",
    adapter_dtype: Annotated[
        str | None, typer.Option("--adapter-dtype", help="By default peft's float32; TRL's bfloat16 for qlora.")
    ] = None,
    attention: Annotated[str, typer.Option("--attention", help="sdpa, eager or flash.")] = "sdpa",
    optimizer: Annotated[str, typer.Option("--optimizer", help="adamw (fused), adamw_foreach, adamw_8bit or paged_adamw_8bit.")] = "adamw",
    double_quant: Annotated[bool, typer.Option("--double-quant/--no-double-quant", help="Quantize NF4's absmax too.")] = True,
    kbit_prepare: Annotated[bool, typer.Option("--kbit-prepare/--no-kbit-prepare", help="peft's prepare_model_for_kbit_training.")] = False,
    loss: Annotated[str, typer.Option("--loss", help="full: transformers' own; held: outputs stay alive; tiled: TRL's.")] = "full",
    card: Annotated[str | None, typer.Option("--card", help="A GPU of data/gpus.json: what it holds at most.")] = None,
    trace: Annotated[bool, typer.Option("--trace", help="Run the step on fake tensors instead of the formula.")] = False,
    as_json: Json = False,
) -> None:
    """Predict the peak memory of one training step, part by part."""
    with one_sentence():
        from . import memory as stage

        options = {
            "method": method, "rank": rank, "targets": targets, "seq": seq, "batch": batch, "checkpointing": checkpointing,
            "dtype": dtype, "autocast": None if autocast == "none" else autocast, "adapter_dtype": adapter_dtype, "attention": attention,
            "optimizer": optimizer, "double_quant": double_quant, "kbit_prepare": kbit_prepare, "loss": loss,
        }  # fmt: skip
        if trace:
            say("importing torch, and tracing the step at two small depths")
            from . import trace as tracer
            from .runtime import quiet

            quiet()
            found = tracer.trace(config, **options)
        else:
            found = stage.predict(config, **options)
        fit = stage.fits(config, card, **options) if card else None
        show(f"{found}\n\n{fit}" if fit else found, as_json, {**found.json(), **({"fits": fit.json()} if fit else {})})


@app.command()
def notebooks(
    names: Annotated[list[str] | None, typer.Argument(help="Notebook names; all by default.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Compare with what is committed and write nothing.")] = False,
    stamp: Annotated[bool, typer.Option("--stamp", help="Run nothing; write the project's address into badge and setup lines.")] = False,
    out: Annotated[Path | None, typer.Option(help="A folder for the executed notebooks; the committed ones stay as they are.")] = None,
    as_json: Json = False,
) -> None:
    """Restart and run all notebooks, clean them and write them back, or with FTKIT_MODEL only report; or stamp them."""
    with one_sentence():
        import dataclasses

        if stamp:
            from . import stamp as stamper

            stamps = stamper.run(names or [], check)
            show(stamps, as_json, dataclasses.asdict(stamps))
            raise typer.Exit(int(check and bool(stamps.stamped)))
        from . import notebooks as stage

        report = stage.run(names or [], check, out=out)
        show(report, as_json, dataclasses.asdict(report))
        if report.failed:
            raise typer.Exit(1)


@app.command()
def doctor(
    run: Annotated[Path | None, typer.Argument(help="A run folder to look over; without one, the environment is.")] = None,
    as_json: Json = False,
) -> None:
    """Look for what is wrong, with the environment or with a run, and say what mends it; exit 1 where something is."""
    with one_sentence():
        from . import doctor as stage

        say("looking at the environment, and training for a moment" if run is None else f"looking at {run}")
        found = stage.examine(run)
        show(found, as_json, found.json())
        if found.wrong:
            raise typer.Exit(1)


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    sys.exit(app(prog_name="ftkit"))
