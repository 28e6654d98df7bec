"""Base and tuned of a run folder, asked all that can be asked of both; once, for it is kept.

    ask_run(folder, test)      task, format, made up, latency, skills, flags, what broke: by row
    recall(folder, test)       what these weights answered to these rows before, or None

The answers lie in the folder, asked.json, by the hash of the test rows, and are forgotten when the
weights are others. Shares are as `evaluate.Comparison.json` and `Forgetting.json` have them; beside
them stands who was right on which row, so that runs can be compared in pairs. What may be said of
it is for `lab.report`. Notebook 18.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import cost, data, evaluate, models, train
from ..core.errors import UserError
from ..core.files import write_whole
from ..core.parsing import parse_json, read_text
from .likelihoods import choices
from .probing import Forgetting, Skills, skills, table
from .what_broke import Regressions, regressions

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Say = Callable[[str], object]
ASKED = "asked.json"  # in a run folder
TRIED, SOON = 8, 10  # rows asked first to tell how long all take, where all are so many times more
STRANGERS = 100  # questions about people whom nobody can know
BASES: dict[tuple, Skills] = {}  # skills of bases without an adapter, in this process
COMPARED: dict[tuple, "evaluate.Comparison"] = {}  # and their answers to test rows
# Of a model that is slow here: test rows, probes of each skill, questions about strangers.
FEW_ROWS, FEW_PROBES, FEW_STRANGERS = 60, 6, 24


class Asked(NamedTuple):
    """How skills are asked: as of a model that is fast here or not, and how many of each."""

    usual: bool
    probes: int | None


def ask_run(
    folder: str | Path,
    test: "Dataset | None",
    name: str = "the test rows",
    *,
    again: bool = False,
    probes: int | None = None,
    say: Say = lambda _: None,
) -> dict[str, Any]:
    """What base and tuned of a run folder answer: read if it was asked before, else asked and kept.

    test: chat rows, None to ask for skills alone; name: what they are called. again: ask anew.
    probes: questions of each skill, by default 50, and 6 of a model that is slow here. say: is told
    what is asked, and about how long it takes. Returns JSON values: "test" (name, hash, n),
    "values" (shares by measure), "answers" ({measure: {"base": [0, 1, …], "tuned": …}}), "broken"
    (prompts, None of a model that is slow here), "weights", "seconds". Raises UserError where the
    run or its base is gone.
    """
    folder = Path(folder)
    if not again and (found := recall(folder, test, probes)):
        return found
    say(f"{folder.name}: opening the run and its base")
    began, hashed = time.perf_counter(), hash_test(test)
    models_of = train.reopen(folder)
    if test is not None and not models.affordable(models_of[1], True, False):
        test = data.first(test, min(FEW_ROWS, len(test)))
    found = ask_both(folder, models_of, test, probes, say)
    found["test"] = {"name": name, "hash": hashed, "n": 0 if test is None else len(test)}
    found |= {"weights": hash_run(folder), "seconds": round(time.perf_counter() - began, 1)}
    return keep(folder, key_of(hashed, probes), json.loads(json.dumps(found)))


def ask_both(
    folder: Path,
    models_of: "tuple[PreTrainedModel, PreTrainedModel, PreTrainedTokenizerBase]",
    test: "Dataset | None",
    probes: int | None,
    say: Say,
) -> dict[str, Any]:
    """Ask tuned and base, on the date of the training, which a chat template may write."""
    tuned, base, tokenizer = models_of
    usual, stated = models.affordable(base, True, False), train.read_record(folder)["experiment"]
    with data.on_date(stated.get("date")):
        compared = None
        if test is not None:
            say(f"{folder.name}: asking {len(test)} test rows{tell_time(tuned, tokenizer, test)}")
            # a base that answered these rows beside another run is not asked again
            same = (*identify(base, tokenizer, stated), hash_test(test))
            both = (base, tuned, tokenizer, test)
            if known := COMPARED.get(same):
                compared = evaluate.compare_again(known, *both)
            else:
                strangers = STRANGERS if usual else FEW_STRANGERS
                compared = COMPARED[same] = evaluate.compare(*both, strangers=strangers)
        say(f"{folder.name}: asking base and tuned for their skills")
        before = ask_base(base, tokenizer, stated, Asked(usual, probes))
        forgotten = table(before, ask_skills(tuned, tokenizer, Asked(usual, probes)))
        broken = regressions(forgotten, tuned, tokenizer) if usual else None
    return in_values(compared, forgotten, broken)


def recall(
    folder: str | Path, test: "Dataset | None", probes: int | None = None
) -> dict[str, Any] | None:
    """What these very weights answered to these very rows before; None where they did not."""
    found = read_asked(Path(folder)).get(key_of(hash_test(test), probes))
    if not isinstance(found, Mapping) or found.get("weights") != hash_run(Path(folder)):
        return None
    parts = ("test", "values", "answers")
    return dict(found) if all(isinstance(found.get(part), Mapping) for part in parts) else None


def hash_test(test: "Dataset | None") -> str:
    """What a set of test rows says, hashed."""
    said = [] if test is None else [data.row_hash(row) for row in test["messages"]]
    return hashlib.sha256("\n".join(said).encode()).hexdigest()


def key_of(hashed: str, probes: int | None) -> str:
    """What answers to these test rows, and to so many questions of each skill, are kept by."""
    return hashed if probes is None else f"{hashed} {probes}"


def hash_run(folder: Path) -> str:
    """The hash of a run's weights: of its adapter, or of the whole model."""
    kind = "adapter" if (folder / "adapter").is_dir() else "model"
    return models.hash_weights(folder / kind)


def read_asked(folder: Path) -> dict[str, Any]:
    """What was asked of a run before, by the hash of its test rows; nothing where it is torn."""
    file = folder / ASKED
    try:
        stored = parse_json(read_text(file), file) if file.is_file() else {}
    except UserError:
        return {}
    return dict(stored) if isinstance(stored, Mapping) else {}


def keep(folder: Path, asked: str, found: dict[str, Any]) -> dict[str, Any]:
    """Write what was answered beside what was asked on other rows; returns it.

    A folder that can't be written into is asked again next time.
    """
    try:
        write_whole(folder / ASKED, json.dumps({**read_asked(folder), asked: found}) + "\n")
    except OSError:
        pass
    return found


def tell_time(
    tuned: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", test: "Dataset"
) -> str:
    """About how long all rows take of two models, by a few of them; nothing of a few."""
    if len(test) < SOON * TRIED:
        return ""
    few, began = data.first(test, TRIED), time.perf_counter()
    evaluate.score(tuned, tokenizer, few)
    each = (time.perf_counter() - began) / len(few)
    return f", at most {cost.in_hours(2 * each * len(test) / 3600)}"


def ask_base(
    base: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", stated: Mapping, asked: Asked
) -> Skills:
    """A base's skills; one that was asked in this process is not asked again for its next run."""
    same = (*identify(base, tokenizer, stated), asked)
    if same not in BASES:
        BASES[same] = ask_skills(base, tokenizer, asked)
    return BASES[same]


def identify(
    base: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", stated: Mapping
) -> tuple:
    """What makes a base's answers the same: weights, type, template, and what was stated.

    stated: the experiment, which says in how many bits the base is and on which date it is asked.
    """
    bits, date = stated.get("quant"), stated.get("date")
    template = str(tokenizer.chat_template)
    return (models.fingerprint(base), str(base.dtype), template, bits, date)


def ask_skills(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", asked: Asked
) -> Skills:
    """A model's skills, written; of one that is slow here chosen from replies, and fewer."""
    if asked.usual:
        return skills(model, tokenizer, asked.probes)
    return choices(model, tokenizer, asked.probes or FEW_PROBES)


def in_values(
    compared: "evaluate.Comparison | None", forgotten: Forgetting, broken: Regressions | None
) -> dict[str, Any]:
    """What was answered, as it is kept: shares, right and wrong by row, what broke."""
    values = forgotten.json()
    before, after = forgotten.before.right, forgotten.after.right
    by_suite = {name: {"base": ones(before[name]), "tuned": ones(after[name])} for name in before}
    answers: dict[str, Any] = {"skills": by_suite}
    if compared is not None:
        values = {**compared.json(), **values, **evaluate.flags(compared, forgotten).json()}
        both = {"base": compared.base, "tuned": compared.tuned}
        answers["task"] = {who: ones(score.exact) for who, score in both.items()}
        answers["format"] = {who: formed(score) for who, score in both.items()}
    told = None if broken is None else [list(prompt) for prompt in broken.broken]
    return {"values": values, "answers": answers, "broken": told, "probes": forgotten.after.asked}


def ones(right: "list[bool]") -> list[int]:
    """Right and wrong as 1 and 0, which are shorter."""
    return [int(one) for one in right]


def formed(score: "evaluate.Score") -> list[int]:
    """Which replies are strictly in format, 1 or 0, of the rows whose gold is JSON."""
    found = []
    for reply, gold in zip(score.replies, map(evaluate.read_value, score.golds), strict=True):
        if gold is not None:
            found.append(int(evaluate.parse(reply, gold) is not None))
    return found
