"""A run folder looked over: is it whole, is it still what it was, and what do its curves say?

    examine_run(folder)    two dozen checks of a finished run, one of a run that was killed

Each check takes what the record holds and gives a finding with its cure. How a run folder is made
and read is `train`'s business (`train/run_folder.py`); the machine is looked over in
`environment.py`. Shown by `python -m ftkit doctor FOLDER`.
"""

import math
import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from .. import data, methods, models, train
from ..core.errors import UserError, is_number, is_whole
from ..core.parsing import parse_json, read_text
from ..core.results import about
from ..core.versions import PACKAGES, version_of
from ..train import (
    CHECKPOINTS,
    Experiment,
    Objective,
    hash_judges,
    hash_rows,
    read_record,
    warn_of_rate,
)
from .asking import ask_run
from .finding import Finding, Findings
from .taught import Seen, check_copies, check_leak, check_tokens, rows_in

if TYPE_CHECKING:
    import torch
    from datasets import Dataset

# A last validation loss above so many times the best one: healthy runs reach 1.03, and 1.25 where
# more epochs cost nothing, since the best step's weights were kept.
OVERFIT, OVERFIT_KEPT = 1.08, 1.5
ENDS = 5  # steps at either end of a loss curve whose median stands for that end
USUAL = Objective()
ODD = 16  # a scale above it, or below 1 / 16, is hardly meant: people use 0.5 to 4
BLOCKS = 0.5  # of the base's blocks that an adapter has to touch; every preset touches all
BLOCK = re.compile(r"\.(?:layers|h|blocks|layer)\.(\d+)\.")
EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "embed_in.weight", "word_embeddings.weight")
AGAIN = "train again; the record makes the same run: python -m ftkit train RUN/run.json --out NEW"

Points = Sequence[Sequence[float]]  # a curve of a record: [[step, loss], …]


def examine_run(folder: str | Path) -> Findings:
    """Every check of a run folder; of one that was killed the one that says how far it came.

    Raises `UserError` for a folder that holds neither run.json nor the checkpoints of a run.
    """
    folder = Path(folder)
    title = f"The run in {folder}"
    has_record = (folder / "run.json").is_file()
    if not has_record and (folder / CHECKPOINTS / "begun.json").is_file():
        return Findings(title, [describe_unfinished(folder)])
    try:
        record = read_record(folder)
        experiment = Experiment.from_dict(record["experiment"])
    except UserError as error:
        if not has_record:
            raise
        cure = "train again from the recipe, into another folder"
        return Findings(title, [Finding.wrong("record", sentence(error), cure)])
    return Findings(title, check_record(folder, record, experiment))


def check_record(folder: Path, record: Mapping[str, Any], experiment: Experiment) -> list[Finding]:
    """The checks of a run whose record can be read."""
    hashes, losses = record["hashes"], record["losses"]
    recipe, method = experiment.recipe, methods.METHODS[experiment.method_name]
    stated = record.get("notes")
    notes = [note for note in stated if isinstance(note, str)] if isinstance(stated, list) else []
    whole = f"run.json is whole: {record['steps']} steps, {method.title}, seed {recipe.seed}"
    return [
        Finding.fine("record", whole),
        check_versions(record["versions"], {name: version_of(name) for name in PACKAGES}),
        check_base(hashes.get("base", ""), experiment.model),
        check_weights(
            folder / ("adapter" if experiment.trains_adapter else "model"),
            record.get("trainable"),
            experiment,
        ),
        check_rate(recipe.lr, experiment.method_name),
        check_divergence(record.get("stopped"), losses),
        check_training_loss(losses if not experiment.goal.drawn else [], experiment.goal),
        check_learning(folder, notes),
        check_rows(notes),
        check_overfitting(record["validation"], keeps_best=recipe.keep_best),
        check_data(hashes, experiment),
        *check_adapter_config(folder / "adapter", experiment),
        *check_seen(folder, experiment),
    ]


def check_seen(folder: Path, experiment: Experiment) -> list[Finding]:
    """What the run was taught, token by token and row by row, and what it says when it is asked."""
    hashes = rows_in(folder).get("train", [])
    try:
        if experiment.goal.name != "sft":
            raise UserError(f"the run is on {experiment.goal.name}, and this reads chats' answers.")
        splits = experiment.load_splits()
        tested = [data.row_hash(row) for row in splits.get("test", [])]
        seen = Seen.of_run(folder, experiment, splits["train"])
    except UserError as error:
        why = f"not looked at: {sentence(error)}"
        return [Finding.fine("tokens", why), check_copies(hashes), check_leak(hashes, [])]
    return [
        *check_tokens(seen, base_embeddings(experiment.model)),
        check_copies(hashes),
        check_leak(hashes, tested),
        *ask_run(folder, experiment, cast("Mapping[str, Dataset]", splits)),
    ]


def base_embeddings(name: str | None) -> "torch.Tensor | None":
    """The token embeddings of a base that lies here, (tokens, width); None of any other."""
    try:
        where = models.resolve(name)
    except UserError:  # that is said of the base
        return None
    if not Path(where).is_dir():
        return None
    files = models.tensor_files(where)
    names = [name for name in files if name.endswith(EMBEDDINGS)]
    return models.read_tensor(where, names[0], files[names[0]]) if names else None


def check_adapter_config(folder: Path, experiment: Experiment) -> list[Finding]:
    """Does the adapter's own configuration add the update as it was trained, on enough layers?"""
    if experiment.lora is None or not (folder / "adapter_config.json").is_file():
        return []
    try:
        stated = parse_json(read_text(folder / "adapter_config.json"), folder)
    except UserError:
        return []  # said of the adapter
    wanted = {"r": 8, "alpha": 16, **experiment.lora}
    layers = count_layers(experiment.model)
    names = [name for file in folder.glob("*.safetensors") for name, _ in read_whole(file)]
    return [check_scale(stated, wanted["alpha"] / wanted["r"]), check_modules(names, layers)]


def check_scale(stated: Mapping[str, Any], trained: float | None = None) -> Finding:
    """How many times is B·A added: α / r, or α / √r with rsLoRA (Kalajdzievski 2023)?

    stated: an adapter_config.json. trained: the factor of the training, where a record says it.
    """
    r, alpha = stated.get("r", 8), stated.get("lora_alpha", 8)
    if not is_number(r) or not is_number(alpha) or r <= 0:
        return Finding.fine("scale", "not looked at: it states no r and lora_alpha")
    root = bool(stated.get("use_rslora"))
    scale = alpha / (math.sqrt(r) if root else r)
    how = f"{scale:.4g} times (alpha {alpha:g}, r {r:g}{', rsLoRA' if root else ''})"
    if trained is not None and not math.isclose(scale, trained, rel_tol=1e-6):
        return Finding.wrong(
            "scale",
            f"adapter_config.json adds the update {how}, and it was trained {trained:.4g} times",
            f"write lora_alpha {trained * r:g} into adapter_config.json: the scale is alpha / r",
        )
    if trained is None and not 1 / ODD <= scale <= ODD:
        return Finding.wrong(
            "scale",
            f"the update is added {how}; usual is 0.5 to 4 times, so alpha may stand where "
            "alpha / r is meant",
            "look up the alpha and r of the training, and whether it used rsLoRA (alpha / √r)",
        )
    return Finding.fine("scale", f"the update is added {how}")


def check_modules(names: Sequence[str], blocks: int | None) -> Finding:
    """Do the adapter's tensors lie in at least half of the base's blocks?

    names: of the tensors; blocks: how many the base has, None where that is not known.
    """
    touched = {found[1] for name in names if (found := BLOCK.search(name))}
    if not touched or not blocks:
        return Finding.fine("modules", "not looked at: the base's blocks are not known")
    if len(touched) >= BLOCKS * blocks:
        return Finding.fine("modules", f"{len(touched)} of {blocks} blocks carry an adapter")
    kinds = sorted(
        {models.plain_name(name).partition(".lora_")[0].split(".")[-1] for name in names}
    )
    return Finding.wrong(
        "modules",
        f"{len(touched)} of {blocks} blocks carry an adapter, on {', '.join(kinds)} alone",
        "adapt every linear layer: lora.attach(model, targets='all-linear'), or target_modules="
        "'all-linear' without layers_to_transform",
    )


def count_layers(name: str | None) -> int | None:
    """How many blocks a base has; None where its configuration is not here."""
    try:
        where = models.resolve(name)
        config = where if Path(where).is_dir() else models.cached_config(where)
        return models.architecture.read(config).get("num_hidden_layers") if config else None
    except UserError:
        return None


def sentence(error: UserError) -> str:
    """What an error says, without the point at its end: a cure may follow."""
    return str(error).rstrip(".")


def describe_unfinished(folder: Path) -> Finding:
    """A run that was killed: its checkpoints are there and its record is not."""
    last = max(train.whole_checkpoints(folder / CHECKPOINTS), default=None)
    place = "no checkpoint was whole yet"
    if last is not None:
        place = f"the checkpoint of step {last} is whole"
    return Finding.wrong(
        "record",
        f"the run has not ended, or was killed; {place}",
        f"python -m ftkit train RECIPE --out {folder}, with the recipe that began it, goes on "
        "from there",
    )


# Methods whose adapter holds other numbers than were trained: P-tuning's without its network,
# AdaLoRA's without what was cut, VeRA's with its random matrices.
OTHERWISE = ("p_tuning", "adalora", "vera")


def check_versions(then: Mapping[str, str], now: Mapping[str, str | None]) -> Finding:
    """Are the libraries those of the run?

    Other ones give other digits, and a run that is not the same to the bit.
    """
    changed = {name: was for name, was in then.items() if was != now.get(name)}
    if not changed:
        return Finding.fine("versions", f"the {len(then)} libraries are those of the run")
    moved = [
        f"{name} was {was} and is {now.get(name) or 'not installed'} now"
        for name, was in changed.items()
    ]
    pins = [f"{name}=={was.partition('+')[0]}" for name, was in changed.items()]
    return Finding.wrong(
        "versions",
        f"{', '.join(moved)}, so scores and a second run may differ",
        f"to repeat the run exactly: pip install {' '.join(pins)}",
    )


def check_base(was: str, name: str | None) -> Finding:
    """Is the base model still the one that was tuned? A hub model is looked up in the cache alone.

    was: its fingerprint in the record.
    """
    # where it is now, and what it is there
    try:
        where = models.resolve(name)
    except UserError as error:
        return Finding.wrong("base", sentence(error), "put the base back where the run found it")
    local = Path(where).is_dir()
    now = models.fingerprint_of(where)
    if now is None:
        return Finding.fine(
            "base", f"not looked at: {name} is not in the hub cache of this machine"
        )
    # is it what it was?
    if was != now:
        return Finding.wrong(
            "base",
            f"{name} is another base now ({now[:20]}… here, {was[:20]}… in the run), "
            "so the adapter's update fits it no longer",
            "load the base that was tuned, or train again on this one",
        )
    same = f"{name} is the base that was tuned, to the bit" if local else f"{name}, {now}"
    return Finding.fine("base", same)


def check_weights(folder: Path, numbers: object, experiment: Experiment) -> Finding:
    """Is every safetensors file of the run whole, and every number there and finite?

    numbers: how many were trained, as the record says it.
    """
    check = folder.name
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        return Finding.wrong(check, f"{folder} holds no *.safetensors file", AGAIN)
    tensors = held = 0
    for file in files:
        # whole?
        try:
            models.check_safetensors(file)
        except UserError as error:
            return Finding.wrong(check, str(error).partition(";")[0], AGAIN)
        # finite? One tensor at a time, so that no more than one is in memory
        for name, tensor in models.read_tensors(file):
            broken = int((~tensor.double().isfinite()).sum())
            if broken:
                return describe_broken(check, name, broken, str(tensor.dtype).split(".")[-1])
            tensors, held = tensors + 1, held + tensor.numel()
    if is_whole(numbers) and held != numbers and experiment.method_name not in OTHERWISE:
        lost = f"{folder} holds {held:,} numbers in {tensors} tensors; the run trained {numbers:,}"
        return Finding.wrong(check, lost, AGAIN)
    if check == "adapter" and (fault := adapter_fault(folder, experiment)):
        return Finding.wrong(check, fault, AGAIN)
    return Finding.fine(check, f"{tensors} tensors, {held:,} numbers, all finite")


def describe_broken(check: str, name: str, broken: int, dtype: str) -> Finding:
    """What is said of a tensor with so many values that are no numbers."""
    why, cure = "", "train again at a lower learning rate, or with a longer warm-up"
    if dtype == "float16":
        why = " in float16, whose numbers end at 65,504: an overflow"
        cure = "train again in bfloat16 or float32, or with a loss scale that falls (GradScaler)"
    return Finding.wrong(
        check,
        f"{models.plain_name(name)} holds {broken:,} values that are NaN or infinite{why}, so "
        "every answer will be noise",
        cure,
    )


def adapter_fault(folder: Path, experiment: Experiment) -> str:
    """Why `lora.load` would refuse the adapter; "" for one that it takes, and without the base.

    That of a reward model is `prefer.open_reward`'s to judge, which has a head of its own.
    """
    if experiment.goal.name == "reward":
        return ""
    try:
        where = models.resolve(experiment.model)
        config = Path(where) if Path(where).is_dir() else models.cached_config(where)
        if config is None:
            return ""
        base = models.skeleton(config)
    except UserError:  # that is said of the base
        return ""
    try:
        methods.check_saved(base, folder)
    except UserError as error:
        return sentence(error).partition("; ")[0]
    return ""


def check_rate(lr: float, method: str) -> Finding:
    """Does the learning rate lie where people's do? method: its name in `methods.METHODS`."""
    named = methods.find_method(method)
    (low, high), (less, more) = named.usual, named.slack
    if warning := warn_of_rate(lr, method):
        # a method with slack is warned of far outside alone, and then it says how far
        far = ""
        if lr > high and more > 1:
            far = f", more than {more:g} times the highest usual one"
        elif 0 < lr < low and less < 1:
            far = f", less than {less:g} times the lowest usual one"
        message = warning.rstrip(".").replace(f"lr is {lr:g}", f"lr is {lr:g}{far}", 1)
        return Finding.wrong("learning rate", message, "train again with a rate in that range")
    if not low <= lr <= high:
        side = "above" if lr > high else "below"
        usual = f"{side} the usual rates for {named.title}, {low:g} to {high:g}, but not far"
        return Finding.fine("learning rate", f"{lr:g} lies {usual}")
    return Finding.fine("learning rate", f"{lr:g} is no unusual rate for {named.title}")


def check_divergence(stopped: str | None, losses: Points) -> Finding:
    """Did the run break off, or is a loss in its curve not a number?

    stopped: why it broke off, as the record says it.
    """
    broken = next((int(step) for step, loss in losses if not math.isfinite(loss)), None)
    if not stopped and broken is None:
        return Finding.fine("divergence", "the run went to its end, and every loss is finite")
    reason = stopped or f"the loss of step {broken} is not finite"
    reason = reason.partition(" To mend it")[0].rstrip(".")
    return Finding.wrong(
        "divergence",
        f"the run broke off: {reason}",
        "lower the learning rate or warm up longer, and train again",
    )


def check_training_loss(losses: Points, goal: Objective = USUAL) -> Finding:
    """Is the loss lower at the end than at the start?

    Both ends are medians of up to `ENDS` steps, since single steps are noisy. goal: what the run
    was trained for, which says in what its loss is counted.
    """
    finite = [loss for _, loss in losses if math.isfinite(loss)]
    if len(finite) < 2:
        short = f"not looked at: a curve of {len(finite)} steps has no direction"
        return Finding.fine("training loss", short)
    n = max(1, min(ENDS, len(finite) // 3))
    first, last = statistics.median(finite[:n]), statistics.median(finite[-n:])
    span = f"{about(first)} → {about(last)} {goal.measure[0].removeprefix('in ')}"
    if last < first:
        return Finding.fine("training loss", f"it fell: {span}")
    if goal.on_pairs:
        return Finding.wrong(
            "training loss",
            f"it did not fall ({span}), so the better answers gained nothing on the worse ones",
            "look at ten pairs: do two of them contradict each other, or is the worse answer the "
            "chosen one? Then raise the epochs, or change the learning rate",
        )
    return Finding.wrong(
        "training loss",
        f"it did not fall ({span}), so the model learned nothing or lost what it knew",
        "look at the rows the model sees, then lower the learning rate or raise the epochs",
    )


def check_learning(folder: Path, notes: Sequence[str]) -> Finding:
    """Did the run change anything? A LoRA whose every B is 0 leaves its base as it is.

    notes: what the record says of the run beside its numbers.
    """
    # what the run noticed itself
    said = next((note for note in notes if note.startswith("nothing was learned")), None)
    if said is not None:
        message, _, cure = said.rstrip(".").rpartition("; ")
        return Finding.wrong("learning", message, f"{cure}, and train again")

    # what the weights say, of a run of before there were notes
    updates = [
        tensor
        for file in sorted((folder / "adapter").glob("*.safetensors"))
        for name, tensor in read_whole(file)
        if "lora_B" in name
    ]
    if updates and not any(tensor.any() for tensor in updates):
        return Finding.wrong(
            "learning",
            "every B of the adapter is 0, so nothing was learned: the adapter leaves its base as "
            "it is",
            "look whether the optimizer was given B; train again with more steps, or warmup: 0",
        )
    return Finding.fine("learning", "the trained weights moved")


def read_whole(file: Path) -> "Iterator[tuple[str, torch.Tensor]]":
    """The tensors of a file; none of one that is damaged, which `check_weights` says."""
    try:
        models.check_safetensors(file)
    except UserError:
        return
    yield from models.read_tensors(file)


def check_rows(notes: Sequence[str]) -> Finding:
    """Did every row teach or judge what it holds, and is the run the one of its record?"""
    said = [note for note in notes if not note.startswith(("nothing was learned", "of the groups"))]
    if not said:
        return Finding.fine("rows", "none lost its answer to max_length")
    message, _, cure = said[0].rstrip(".").rpartition("; ")
    if not message:
        message, cure = cure, "keep the new record"
    more = "".join(f"; {note.rstrip('.')}" for note in said[1:])
    return Finding.wrong("rows", f"{message}{more}", cure)


def check_overfitting(validation: Points, *, keeps_best: bool) -> Finding:
    """Did the validation loss end above its best? Then the last steps learned by heart.

    keeps_best: the run kept the weights of the best point, not those of the last step.
    """
    points = [(int(step), loss) for step, loss in validation if math.isfinite(loss)]
    if not points:
        return Finding.fine("over-fitting", "not looked at: the run has no validation points")
    best_step, best = min(points, key=lambda point: point[1])
    last_step, last = points[-1]
    if last <= (OVERFIT_KEPT if keeps_best else OVERFIT) * best:
        ended = f"the validation loss ended at {about(last)}, its best was {about(best)}"
        return Finding.fine("over-fitting", ended)
    cure = "train fewer epochs, on more rows or at a lower rate"
    return Finding.wrong(
        "over-fitting",
        f"the validation loss was {about(best)} at step {best_step} and rose to {about(last)} "
        f"at step {last_step}; the {'best' if keeps_best else 'last'} step's weights were kept",
        cure if keeps_best else f"{cure}, or set keep_best: true",
    )


def check_data(hashes: Mapping[str, str], experiment: Experiment) -> Finding:
    """Do the data give the very rows that the run was trained on, and the template their tokens?

    Looked at where they are here and no model is needed for them. hashes: those of the record.
    """
    try:
        splits = experiment.load_splits()
    except UserError as error:
        return Finding.fine("data", f"not looked at: {sentence(error)}")
    rows = splits["train"]
    if hash_rows(rows) != hashes.get("train", ""):
        return Finding.wrong(
            "data",
            f"{experiment.data} now gives other training rows than the run saw, "
            "so the record no longer makes the same run",
            "put the file back as it was, or train again and keep the new record",
        )
    judged = {} if experiment.goal.drawn else hash_judges(splits, experiment.recipe)
    if any(hashes.get(split, now) != now for split, now in judged.items()):
        return Finding.wrong(
            "data",
            f"{experiment.data} now gives other validation rows than those that judged the run's "
            "steps, so the record no longer makes the same run",
            "put the file back as it was, or train again and keep the new record",
        )
    if not reads_alike(hashes.get("rendered"), rows, experiment):
        return Finding.wrong(
            "data",
            f"{len(rows):,} training rows, the same as in the run, but the chat template now makes "
            "other tokens of them (does it write a date or a time?), so the record no longer makes "
            "the same run",
            "put the template back as it was, or train again and keep the new record",
        )
    return Finding.fine("data", f"{len(rows):,} training rows, the same as in the run")


def reads_alike(was: str | None, rows: "Dataset", experiment: Experiment) -> bool:
    """Whether the chat template still makes the same tokens of the rows.

    True where it can't be told: of an older record, or of a model that is not a folder here.
    """
    try:
        where = models.resolve(experiment.model)
        if was is None or not Path(where).is_dir() or experiment.goal.name != "sft":
            return True
        with data.on_date(experiment.date):
            tokens = train.as_trl(rows, models.load_tokenizer(where))
    except UserError:
        return True
    longest = experiment.recipe.max_length
    kept = train.cut(tokens, longest, "train").left_of(tokens)  # what was left out is not hashed
    return was == train.hash_tokens(kept, longest)
