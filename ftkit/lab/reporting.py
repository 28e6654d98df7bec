"""A run folder as one page to hand on: what was done, what came of it, what may be said of it.

    report(run, against=(…))    a `Report`: shows itself in a cell, `.findings`, `.save(path)`

It puts in order what the wings say: `data.check` and `audit`, the recipe, the curves,
`evaluate.compare`, `forgetting`, `doctor`, `cost` and `operate.verify`. Scores that the record
holds are read; what has to be asked is kept beside it (`forgetting.ask_run`), so that the next page
is quick. Several runs are compared by seed or by row. The sentences are `saying`'s, the page is
`show.document`. `python -m ftkit report` writes it. Notebook 18.
"""

import dataclasses
import json
import math
import statistics
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import audit, cost, data, doctor, evaluate, forgetting, models, operate, train
from ..core.errors import UserError, is_number, is_whole
from ..core.files import write_whole
from ..core.parsing import parse_json, read_text
from ..core.results import Result, Table, TableParts, about, without_mark
from ..core.statistics import Rate
from ..show.plots import Picture, curves, intervals, lines, skills
from ..show.sections import Section, document
from ..train import CHECKPOINTS, Experiment
from . import saying
from .saying import Answer, Measured

if TYPE_CHECKING:
    from datasets import Dataset

Say = Callable[[str], object]
Range = tuple[float, float]
BOTH = ("base", "tuned")
SHARES = ("task", "format", "hallucination", "invented")
DASH = "–"
TOLD = 3  # prompts that broke, of each skill, which a page shows
UNTOLD = ("recipe.seed", "recipe.report_to", "date")  # what makes no other recipe
UNASKED = (
    "That it is safe: nobody asked it for refusals, secrets or orders hidden in documents "
    "(notebook 09b does)."
)


@dataclass(frozen=True)
class Given:
    """How a report was asked for."""

    rows: str | Path | None = None  # to judge on, in place of the run's own test rows
    again: bool = False
    per_hour: Range | None = None
    probes: int | None = None  # questions of each skill
    say: Say = lambda _: None


@dataclass(frozen=True)
class Case:
    """A run of a report: its record, what it was asked, and what could not be."""

    folder: Path
    record: Mapping[str, Any]
    experiment: Experiment
    measured: Measured | None = None
    notes: Sequence[str] = ()

    @property
    def name(self) -> str:
        """Its folder's own name."""
        return self.folder.resolve().name

    @property
    def seed(self) -> int:
        """The seed of its recipe."""
        return self.experiment.recipe.seed

    @property
    def settings(self) -> dict[str, Any]:
        """Every setting by a dotted name, as the experiment states it."""
        return flat(self.experiment.to_dict())

    @property
    def recipe(self) -> tuple:
        """What makes two runs the same recipe: every setting but the seed, and where it reports."""
        return tuple((k, str(v)) for k, v in self.settings.items() if k not in UNTOLD)


def flat(stated: Mapping[str, Any], within: str = "") -> dict[str, Any]:
    """Nested settings by dotted names."""
    found: dict[str, Any] = {}
    for name, value in stated.items():
        inner = isinstance(value, Mapping)
        found |= flat(value, f"{within}{name}.") if inner else {f"{within}{name}": value}
    return found


@dataclass(frozen=True, repr=False)
class Report(Result):
    """What may be said of a run, what may not, and the page that shows why."""

    title: str
    lead: Sequence[str]
    said: Sequence[str]  # what the figures answer: yes, no, or cannot be told
    limits: Sequence[str]  # what nobody may say by this page
    sections: Sequence[Section] = field(repr=False)
    figures: Mapping[str, Any] = field(repr=False)

    @property
    def findings(self) -> list[str]:
        """The sentences that follow from the figures."""
        return [without_mark(sentence) for sentence in self.said]

    def table(self) -> TableParts:
        """A line for each sentence."""
        rows = [("may be said", sentence) for sentence in self.said]
        rows += [("may not be said", sentence) for sentence in self.limits]
        return self.title, ("", "sentence"), rows

    def text(self, width: int = 80) -> str:
        """The same for a terminal: under the page's two headings, in lines of this width."""
        lines = [self.title]
        for part in self.headed():
            lines += ["", part.title]
            for words in map(without_mark, part.words):
                lines += textwrap.wrap(
                    words, max(width, 20), initial_indent="- ", subsequent_indent="  ",
                    break_long_words=False, break_on_hyphens=False,
                )  # fmt: skip
        return "\n".join(lines)

    def headed(self) -> list[Section]:
        """What may be said and what may not, each under its heading."""
        said = self.said or ["Nothing: nothing was asked of it."]
        parts = {"What may be said": said, "What may not be said": self.limits}
        return [Section(head, words, listed=True) for head, words in parts.items()]

    def html(self) -> str:
        """The whole page: one file without a script and without an address outside it."""
        return document(self.title, self.lead, [*self.headed(), *self.sections])

    def save(self, path: str | Path) -> Path:
        """Write the page, whole or not at all; its path. UserError where there is no folder."""
        path = check_page(path)
        write_whole(path, self.html())
        return path

    def json(self) -> dict[str, Any]:
        """The sentences, and the figures that they follow from."""
        limits = [without_mark(sentence) for sentence in self.limits]
        return {"findings": self.findings, "limits": limits, **self.figures}


def check_page(path: str | Path) -> Path:
    """The place of a page; UserError, before anything is asked, where none can be written."""
    path = Path(path)
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise UserError(f"{path} can't be written; give a file in a folder that is there.")
    return path


def report(
    run: str | Path,
    against: Sequence[str | Path] | str | Path = (),
    *,
    rows: str | Path | None = None,
    again: bool = False,
    per_hour: Range | None = None,
    probes: int | None = None,
    say: Say = lambda _: None,
) -> Report:
    """A run folder as a `Report`, alone or beside others.

    against: other runs. Those of the same recipe with other seeds are seeds of one experiment;
    other recipes are compared with this one, seed by seed where both have two seeds or more in
    common, else row by row. rows: a file or task to judge on, without what a run has seen; by
    default the run's own test rows. again: ask anew what was asked before. per_hour: (lowest,
    highest) price of an hour of the machine. probes: questions of each skill, by default 50, and 6
    of a model that is slow here. say: is told what takes long, and about how long.

    What can't be done for want of rows, base or weights is said on the page. Raises UserError for a
    folder that is no run, for runs whose test rows differ, and for the same run twice.
    """
    others = [against] if isinstance(against, str | Path) else list(against)
    cases = [open_run(folder) for folder in (run, *others)]
    check_different(cases)
    if probes is not None and (not is_whole(probes) or probes < 1):
        raise UserError(f"probes is {probes!r}; give a whole number from 1 on.")
    given = Given(rows, again, per_hour, probes, say)
    if len(cases) == 1:
        cases = [ask_alone(cases[0], given)]
    else:
        cases = ask_several(cases, given)
    answers = saying.correct([*answer_alone(cases), *answer_beside(cases)])
    return assemble(cases, answers, given)


def open_run(folder: str | Path) -> Case:
    """A run's record, also of one that was killed; UserError for what is no run."""
    folder = Path(folder)
    begun = folder / CHECKPOINTS / "begun.json"
    if (folder / "run.json").is_file() or not begun.is_file():
        record = train.read_record(folder)
        return Case(folder, record, Experiment.from_dict(record["experiment"]))
    stated = parse_json(read_text(begun), begun)
    if not isinstance(stated, Mapping) or not isinstance(stated.get("experiment"), Mapping):
        raise UserError(f"{begun} is no record of a run; train again.")
    losses, validation = read_steps(folder / CHECKPOINTS / "steps.jsonl")
    steps = losses[-1][0] if losses else 0
    stopped = f"it was killed after step {steps}; python -m ftkit train goes on from there"
    record = {"losses": losses, "validation": validation, "steps": steps, "stopped": stopped}
    record |= {"hashes": stated.get("hashes", {}), "versions": {}, "unfinished": True}
    return Case(folder, record, Experiment.from_dict(stated["experiment"]))


def read_steps(file: Path) -> tuple[list[list], list[list]]:
    """(losses, validation losses) by step of a run under way; a line that is torn is left out."""
    found: dict[str, list[list]] = {"loss": [], "eval_loss": []}
    for line in read_text(file).splitlines() if file.is_file() else ():
        try:
            logged = json.loads(line)
        except ValueError:
            continue
        for name, curve in found.items():
            if isinstance(logged, Mapping) and is_number(logged.get(name)):
                curve.append([logged.get("step"), logged[name]])
    return found["loss"], found["eval_loss"]


def check_different(cases: Sequence[Case]) -> None:
    """Refuse one recipe with one seed twice."""
    seen: dict[tuple, Case] = {}
    for each in cases:
        other = seen.setdefault((each.recipe, each.seed), each)
        if other is not each:
            raise UserError(
                f"{each.folder} and {other.folder} are the same recipe with the same seed, "
                f"{each.seed}; leave one of them out."
            )


# What is asked of the models.


def ask_alone(case: Case, given: Given) -> Case:
    """The case with what its models answered: the record's own scores where it has some."""
    stored = of_record(case) if given.rows is None else None
    if stored and not given.again:
        note = "Anything by row: the record has shares alone. --again asks for the rows."
        return dataclasses.replace(case, measured=stored, notes=[note])
    if case.record.get("unfinished"):
        return dataclasses.replace(case, notes=["What it answers: the run is not done."])
    test, notes = find_test(case, given)
    try:
        return ask_case(case, test, notes, given)
    except UserError as error:
        notes.append(f"What it answers now, for it could not be asked: {sentence(error)}.")
        return dataclasses.replace(case, measured=stored, notes=notes)


def ask_several(cases: Sequence[Case], given: Given) -> list[Case]:
    """All cases with what their models answered to the same rows, row by row.

    Refuses, by name and before anything is asked, a run that is not done and one whose test rows
    are others than the first one's.
    """
    for each in cases:
        if each.record.get("unfinished"):
            raise UserError(f"{each.folder} {each.record['stopped']}; leave it out, or end it.")
    found = [find_test(each, given, cases) for each in cases]
    told = [told_rows(each, test) for each, (test, _) in zip(cases, found, strict=True)]
    hashes = [forgetting.hash_test(test) for test, _ in found]
    for each, rows, hashed in zip(cases, told, hashes, strict=True):
        if hashed != hashes[0]:
            raise UserError(
                f"{cases[0].folder} has {told[0]} and {each.folder} {rows}, and what was not "
                "asked the same can't be compared; give rows for both, --data FILE, or state the "
                "splits in the file."
            )
    return [
        ask_case(each, test, notes, given) for each, (test, notes) in zip(cases, found, strict=True)
    ]


def told_rows(case: Case, test: "Dataset | None") -> str:
    """Which test rows a run has, in words."""
    if test is None:
        return "no test rows"
    seed = f" (split by seed {case.seed})" if Path(case.experiment.data).suffix else ""
    return f"{len(test)} test rows of {case.experiment.data}{seed}"


def ask_case(case: Case, test: "Dataset | None", notes: Sequence[str], given: Given) -> Case:
    """The case with its answers to these rows, asked once and kept."""
    name = file_name(case.experiment.data if given.rows is None else given.rows)
    options: dict[str, Any] = {"again": given.again, "probes": given.probes, "say": given.say}
    measured = forgetting.ask_run(case.folder, test, name, **options)
    return dataclasses.replace(case, measured=measured, notes=notes)


def sentence(error: UserError) -> str:
    """What an error says, without its full stop."""
    return str(error).rstrip(".")


def of_record(case: Case) -> Measured | None:
    """The scores that a record holds, of base and tuned with their n; None where it has none."""
    scores = as_mapping(case.record.get("scores"))
    shares = {name: as_mapping(scores.get(name)) for name in SHARES}
    if not is_shares(shares["task"]):
        return None
    # what stands there in another form than `evaluate` gives it is left out
    values: dict[str, Any] = {name: one for name, one in shares.items() if is_shares(one)}
    for name, keys in (("fields", BOTH), ("skills", ("before", "after"))):
        parts = as_mapping(scores.get(name))
        values[name] = {part: one for part, one in parts.items() if is_shares(one, keys)}
    for name in ("latency_ms", "flags"):
        values[name] = as_mapping(scores.get(name))
    name = file_name(case.experiment.data)
    test = {"name": name, "n": shares["task"]["n"], "hash": None}
    return {"test": test, "values": values, "answers": {}}


def file_name(rows: str | Path) -> str:
    """What rows are called on the page: where they lie on this disk is nobody's business."""
    return Path(rows).name if Path(rows).suffix else str(rows)


def as_mapping(value: object) -> Mapping[str, Any]:
    """What a record states under a key; nothing where it is of another kind."""
    return value if isinstance(value, Mapping) else {}


def is_shares(value: object, keys: Sequence[str] = BOTH) -> bool:
    """Whether these are two shares of so many."""
    stated = as_mapping(value)
    known = all(is_number(stated.get(key)) and 0 <= stated[key] <= 1 for key in keys)
    return known and is_whole(stated.get("n")) and stated["n"] > 0


def find_test(
    case: Case, given: Given, cases: Sequence[Case] = ()
) -> "tuple[Dataset | None, list[str]]":
    """(the rows to judge a run on, what has to be said of them); None where there are none.

    cases: runs that must not have seen them either.
    """
    stated = case.experiment
    if given.rows is None and stated.goal.on_pairs:
        return None, ["A score on its own rows: they are pairs, with no one right answer."]
    try:
        test = test_of(case) if given.rows is None else data.test_rows(given.rows)
    except UserError as error:
        if given.rows is not None:
            raise
        return None, [f"A score on its own rows: {sentence(error)}."]
    notes: list[str] = []
    for each in cases or [case]:
        unseen = evaluate.keep_unseen(test, each.folder, option="")
        notes += told_unseen(unseen, len(test))
        test = unseen.rows
    return test, notes


def test_of(case: Case) -> "Dataset":
    """A run's own test rows; UserError where there are none, or no longer."""
    stated = case.experiment
    splits = data.load(stated.data, None, case.seed, stated.encoding)
    if "test" not in splits:
        raise UserError(f"{stated.data} states splits and has no test rows.")
    return splits["test"]


def told_unseen(unseen: evaluate.Unseen, given: int) -> list[str]:
    """What of the rows may flatter the run, or does not any more."""
    if unseen.near is None:
        return [
            "That every test row is unseen: what the run was trained on is not known any more, "
            "and rows of its training would flatter it."
        ]
    said = []
    if unseen.left_out:
        said.append(
            f"Anything about {unseen.left_out} of the {given} rows: the run has seen them in "
            "training, so they are left out."
        )
    if unseen.near:
        said.append(
            f"That the test rows are all new: {unseen.near} of {len(unseen.rows)} nearly "
            f"repeat{'s' if unseen.near == 1 else ''} a training row."
        )
    return said


# What follows from it.


def groups_of(cases: Sequence[Case]) -> list[dict[int, Case]]:
    """The runs by recipe, the first run's first; within a recipe by seed."""
    found: dict[tuple, dict[int, Case]] = {}
    for each in cases:
        found.setdefault(each.recipe, {})[each.seed] = each
    return list(found.values())


def asked_of(group: Mapping[int, Case]) -> dict[int, Measured]:
    """What the runs of a recipe answered, by seed."""
    return {seed: each.measured for seed, each in group.items() if each.measured is not None}


def answer_alone(cases: Sequence[Case]) -> list[Answer]:
    """The first recipe beside its base: over its seeds, or of one run row by row."""
    mine = asked_of(groups_of(cases)[0])
    if len(mine) > 1:
        return saying.compare_seeds(mine)
    return [answer for each in mine.values() for answer in saying.compare_base(each)]


def answer_beside(cases: Sequence[Case]) -> list[Answer]:
    """The first recipe beside each other one: by seed where two are shared, else by row."""
    first, *others = groups_of(cases)
    mine, found = asked_of(first), []
    for other in others:
        theirs, beside = asked_of(other), name_recipe(other, first)
        if len(mine.keys() & theirs.keys()) > 1:
            found += saying.compare_seeds(mine, theirs, beside)
        elif mine and theirs:
            one, two = next(iter(mine.values())), next(iter(theirs.values()))
            found += saying.compare_rows(one, two, beside)
    return found


def name_recipe(group: Mapping[int, Case], than: Mapping[int, Case]) -> str:
    """A recipe by what it has otherwise than another: "with lr 0.02"."""
    mine, theirs = (next(iter(each.values())).settings for each in (group, than))
    names = [
        name
        for name in dict.fromkeys([*mine, *theirs])
        if mine.get(name) != theirs.get(name) and name not in UNTOLD
    ]
    told = (f"{name.removeprefix('recipe.')} {mine.get(name, 'as usual')}" for name in names)
    return f"with {', '.join(told)}"


def limits_of(cases: Sequence[Case]) -> list[str]:
    """What nobody may say by this page, and what would let them."""
    case, measured = cases[0], cases[0].measured
    found = [note for each in cases for note in each.notes]
    if stopped := case.record.get("stopped"):
        found.insert(0, f"What the whole run does: it broke off ({str(stopped).rstrip('.')}).")
    if measured is None:
        return [*found, "Whether it is better on its task: nothing was asked of it.", UNASKED]
    if measured["test"].get("n"):
        found += limits_of_seeds(asked_of(groups_of(cases)[0]), measured["test"])
        found += limits_of_rows(case, measured)
    else:
        found.append(
            "Whether it is better on its task: there were no test rows to ask. Give a file of "
            "them: --data FILE (in Python rows=FILE)."
        )
    if len(groups_of(cases)[0]) == 1:
        found.append(
            f"How it comes out with another seed: this is one run with one seed, {case.seed}, and "
            "no interval here has other seeds in it. Train the same recipe with two more seeds, "
            "and give those runs as --against."
        )
    return [*found, UNASKED]


def limits_of_seeds(mine: Mapping[int, Measured], test: Mapping[str, Any]) -> list[str]:
    """What an interval over seeds can't say: there are no other test rows in it."""
    shares = [saying.share(each, "task") for each in mine.values()]
    if len(shares) < 2 or any(map(math.isnan, shares)):
        return []
    alone = Rate(round(statistics.fmean(shares) * test["n"]), test["n"])
    return [
        f"How it does on {test['n']} other rows like those of {test['name']}: an interval over "
        "seeds has no other test rows in it. So many rows tell a share of right answers no closer "
        f"than {alone}."
    ]


def limits_of_rows(case: Case, measured: Measured) -> list[str]:
    """What test rows can't say of others."""
    test, recipe = measured["test"], case.experiment.recipe
    points = len(case.record["validation"])
    found = [
        f"How it does on other rows: the {test['n']} test rows are of {test['name']}; rows from "
        "elsewhere may come out otherwise.",
        "That it would score so, if it was picked from several runs by these test rows: the best "
        "of many is flattered. Give the others as --against, or new rows as --data.",
    ]
    if recipe.evaluations and recipe.keep_best and points > 1:
        found.append(
            f"That the validation loss is one of new rows: the lowest of {points} points chose the "
            "weights."
        )
    return found


# The page.


class Looked(NamedTuple):
    """What was found in the run folder; None where nothing could be looked at."""

    doctor: "doctor.Findings | None"
    verified: "operate.Verified | None"


def assemble(cases: Sequence[Case], answers: Sequence[Answer], given: Given) -> Report:
    """The report of what was asked."""
    case = cases[0]
    said = saying.say_all(answers)
    if answers:
        said.append(saying.how_corrected(answers))
    given.say(f"{case.name}: looking over its data, its folder and its record")
    looked = look_over(case, again=given.again)
    sections = [
        *([section_runs(cases)] if len(cases) > 1 else []),
        section_answers(answers),
        section_dimensions(case),
        section_forgotten(case),
        section_flags(case, looked),
        section_data(case, given.rows),
        section_recipe(case),
        section_curves(case),
        section_cost(case, given.per_hour),
        section_record(case, looked),
    ]
    figures = {
        "run": str(case.folder),
        "against": [str(each.folder) for each in cases[1:]],
        "test": None if case.measured is None else case.measured["test"],
        "runs": [run_json(each) for each in cases],
        "answers": [answer_json(answer) for answer in answers],
        "red_flags": [flag.dimension for flag in flags_of(case) if flag.state == "RED"],
    }
    return Report(title_of(cases), lead_of(cases), said, limits_of(cases), sections, figures)


def run_json(case: Case) -> dict[str, Any]:
    """A run's own shares, as far as they were asked."""
    shares = {name: saying.share(case.measured, name) for name in saying.MAIN if case.measured}
    known = {name: one for name, one in shares.items() if not math.isnan(one)}
    return {"run": case.name, "seed": case.seed, **known}


def answer_json(answer: Answer) -> dict[str, Any]:
    """An answer in values: shares, p corrected."""
    return {
        "question": answer.asks,
        "answer": answer.word,
        "value": answer.value,
        "interval": [answer.low, answer.high],
        "p": answer.p,
        "comparisons": answer.of,
        "on": answer.on,
    }


def title_of(cases: Sequence[Case]) -> str:
    """The page's title: which run, and how many beside it."""
    more = len(cases) - 1
    beside = f" and {more} more run{'s' if more > 1 else ''}" if more else ""
    return f"Report on {cases[0].name}{beside}"


def lead_of(cases: Sequence[Case]) -> list[str]:
    """What this is, in two sentences; a third where there are several runs."""
    case = cases[0]
    stated = case.experiment
    test = case.measured["test"] if case.measured else {}
    rows = f"{test['n']} test rows of {test['name']}" if test.get("n") else "no test rows"
    lead = [
        f"This is a report on a fine-tuning: {stated.model or 'pocket'} was trained on "
        f"{file_name(stated.data)} by {how_trained(stated)}, {case.record['steps']} steps with "
        f"seed {case.seed}, and is held against the same model before that, on {rows}.",
        "Each yes and no follows from a difference and its p by a rule that is stated with it; "
        "what may not be said is listed, too.",
    ]
    if len(cases) > 1:
        lead.append(f"Below the comparisons, everything is about {case.name} alone.")
    return lead


def how_trained(stated: Experiment) -> str:
    """The method in a word or two."""
    name = {"lora": "LoRA", "dora": "DoRA", "full": "full fine-tuning"}.get(
        stated.method_name, stated.method_name
    )
    rank = f" of rank {stated.lora.get('r', 8)}" if stated.lora is not None else ""
    on = f" on a base in {stated.quant}" if stated.quant else ""
    return f"{name}{rank}{on}"


def look_over(case: Case, *, again: bool) -> Looked:
    """What the doctor says of the folder, and whether its record still holds."""
    try:
        found = doctor.examine(case.folder)
    except UserError:
        return Looked(None, None)
    found = dataclasses.replace(found, of=case.name)
    if case.record.get("unfinished"):
        return Looked(found, None)
    verified = operate.verify(case.folder, figures=again, found=found)
    return Looked(found, dataclasses.replace(verified, folder=case.name))


def in_percent(share: float | None) -> str:
    """A share in a table; a dash for none."""
    return DASH if share is None or math.isnan(share) else f"≈{100 * share:.1f} %"


def section_runs(cases: Sequence[Case]) -> Section:
    """The runs side by side, and what their recipes are."""
    groups = groups_of(cases)
    rows = []
    for group in groups:
        recipe = "as the first" if group is groups[0] else name_recipe(group, groups[0])
        for seed, each in group.items():
            asked = each.measured
            shares = [saying.share(asked, name) if asked else None for name in saying.MAIN]
            rows.append((each.name, recipe, seed, *map(in_percent, shares)))
    heads = ("run", "recipe", "seed", "exactly right", "in format", "made up", "skills right")
    # a share that no run was asked for has no column
    known = [n for n, column in enumerate(zip(*rows, strict=True)) if set(column) != {DASH}]
    heads, *rows = [tuple(row[n] for n in known) for row in (heads, *rows)]
    recipes = "one recipe" if len(groups) == 1 else f"{len(groups)} recipes"
    words = [f"{len(cases)} runs of {recipes} were asked the same test rows."]
    if len(groups) > 1:
        words.append(
            "Recipes are compared seed by seed where they have two seeds or more in common, by "
            "Student's t over the paired differences; else row by row, by McNemar's exact test."
        )
    return Section("The runs beside each other", words, [Table("Tuned models", heads, rows)])


def section_answers(answers: Sequence[Answer]) -> Section:
    """Every answer with its interval, as a picture and as a table."""
    title = "What the answers follow from"
    if not answers:
        return Section(title, ["Nothing was asked, so nothing follows."])
    settled = {one.asks: one.word for one in answers if one.word != "cannot be told"}
    ends = {one.asks: (100 * one.value, 100 * one.low, 100 * one.high) for one in answers}
    many = f" once p is corrected for all {len(answers)}" if len(answers) > 1 else ""
    below = "points (right of zero: yes; left: no)\nline: 95 % interval of this comparison alone"
    picture = intervals(ends, f"{below}\ngrey: cannot be told{many}", settled, "cannot be told")
    claim = f"{len(settled)} of {len(answers)} questions can be answered"
    told = "; ".join(f"{one.asks}: {one.word}" for one in answers)
    rows = [
        (one.asks, one.word, f"≈{value:+.1f} [{low:+.1f}, {high:+.1f}]", about(one.p, 2))
        for one, (value, low, high) in zip(answers, ends.values(), strict=True)
    ]
    heads = ("question", "answer", "points towards yes [95 % interval]", "p, corrected")
    table = Table("The same in numbers", heads, rows)
    return Section(title, [saying.how_corrected(answers)], [picture.describe(claim, told), table])


def section_dimensions(case: Case) -> Section:
    """Five dimensions, base beside tuned."""
    title = "Base beside tuned"
    if case.measured is None:
        return Section(title, ["Nothing was asked, so there is nothing to show."])
    names = {
        "task": "task: exactly right",
        "format": "format: strict",
        "strangers": "hallucination: made up about strangers",
        "skills": "forgetting: general skills right",
    }
    rows: list[tuple] = []
    for name, told in names.items():
        if asked := saying.counts(case.measured, name):
            base, tuned, n = asked
            rows.append((told, Rate(base, n), Rate(tuned, n), f"{n:,}"))
    rows += more_rows(case.measured["values"])
    table = Table("Share [95 % interval]", ("dimension", "base", "tuned", "n"), rows)
    words = "Both got the same questions and answered greedily: the likeliest token each time."
    return Section(title, [words], [table])


def more_rows(values: Mapping[str, Any]) -> list[tuple]:
    """Fields, inventions and latency, as far as they were measured."""
    parts = {f"· field {name}": one for name, one in (values.get("fields") or {}).items()}
    parts["hallucination: values not in the prompt"] = values.get("invented") or {}
    rows: list[tuple] = [
        (name, in_percent(one.get("base")), in_percent(one.get("tuned")), f"{one['n']:,}")
        for name, one in parts.items()
        if one.get("n")
    ]
    ms = values.get("latency_ms") or {}
    tuned = ms.get("tuned", ms.get("adapter"))
    if is_number(ms.get("base")) and is_number(tuned):
        rows.append(("latency: ms for a token, here", about(ms["base"]), about(tuned), ""))
    return rows


def section_forgotten(case: Case) -> Section:
    """Skill by skill, and the prompts that broke."""
    title, measured = "What was forgotten", case.measured
    suites = measured["values"].get("skills") if measured else None
    if not measured or not suites:
        return Section(title, ["No skills were asked."])
    before, after = ({n: one[w] for n, one in suites.items()} for w in ("before", "after"))
    order = sorted(before, key=lambda name: after[name] - before[name])
    lost = before[order[0]] - after[order[0]]
    claim = f"{order[0]} fell most, by ≈{100 * lost:.0f} points" if lost > 0 else "No skill fell"
    told = "; ".join(f"{n} from {in_percent(before[n])} to {in_percent(after[n])}" for n in order)
    picture = skills(before, {"tuned": after}, order).describe(claim, told)
    rows = [
        (name, in_percent(before[name]), in_percent(after[name]), forgetting.what_asks(name))
        for name in order
    ]
    table = Table("The same in numbers", ("skill", "base", "tuned", "what it asks"), rows)
    words, broken = what_broke(measured)
    return Section(title, words, [picture, table, *broken])


def what_broke(measured: Measured) -> tuple[list[str], list[Table]]:
    """The prompts that went from right to wrong, in a sentence and a table."""
    broken, asked = measured.get("broken"), saying.counts(measured, "skills")
    if broken is None or asked is None:
        return ["Which prompts broke is not kept; --again lists them."], []
    words = [f"≈{len(broken)} of the ≈{asked[0]} prompts that the base answered right broke."]
    shown: list[Sequence[str]] = []
    for prompt in broken:
        if sum(prompt[0] == other[0] for other in shown) < TOLD:
            shown.append(prompt)
    if len(shown) < len(broken):
        words.append(f"Up to {TOLD} of each skill are shown.")
    heads = ("skill", "prompt", "base, right", "tuned")
    return words, [Table("Prompts that broke", heads, shown)] if shown else []


def flags_of(case: Case) -> list[evaluate.Flag]:
    """The red flags as `evaluate` raised them; none where they were not judged."""
    stored = case.measured["values"].get("flags", {}) if case.measured else {}
    found = []
    for name, one in stored.items():
        one = as_mapping(one)
        numbers = [one.get("harm"), *(one.get("interval") or ()), one.get("limit")]
        if len(numbers) == 4 and all(map(is_number, numbers)):
            harm = str(one.get("rule", name)).partition(" > ")[0]
            value, low, high, limit = map(float, numbers)
            found.append(evaluate.Flag(name, harm, value, low, high, limit))
    return found


def section_flags(case: Case, looked: Looked) -> Section:
    """The red flags by rule, and what the doctor says of the folder."""
    flags = evaluate.Flags(flags_of(case))
    words = ["Red flags were not judged; --again judges them."]
    shown: list[Result] = []
    if flags.flags:
        red = ", ".join(flags.red)
        words = [f"Red: {red}." if red else "No flag is red."]
        shown.append(flags)
    found = looked.doctor
    if found is None:
        words.append("The doctor could not look over the folder.")
    else:
        shown.append(found)
        fine = f"The doctor's {len(found.findings)} checks of the folder are all fine."
        words += [f"{one.check}: {one.detail}." for one in found.wrong] or [fine]
    return Section("Red flags", words, shown)


def section_data(case: Case, rows: str | Path | None) -> Section:
    """What is in the rows: faults, copies, leaks, lengths."""
    title, stated = "The data", case.experiment
    options: dict[str, Any] = {"encoding": stated.encoding, "against": rows}
    options["max_length"] = stated.recipe.max_length
    try:
        tokenizer = models.load_tokenizer(stated.model)
        checked = data.check(stated.data, tokenizer, **options)
        if checked.errors or stated.goal.on_pairs:
            return Section(title, [f"{len(checked.errors)} rows are bad."], [checked])
        audited = audit.audit(stated.data, tokenizer=tokenizer, **options)
    except UserError as error:
        return Section(title, [f"They could not be looked at: {sentence(error)}."])
    leaked = [*checked.leaks.values(), *checked.against.values()]
    shared = sum(found["duplicates"] for found in leaked)
    words = [
        f"{checked.rows:,} rows, all of them readable; {checked.duplicates:,} say what an earlier "
        f"one says; {shared:,} rows to judge on were also rows to train on."
    ]
    name = file_name(stated.data)
    by_row = dataclasses.replace(checked, file=f"{name} row by row")
    as_set = dataclasses.replace(audited, file=f"{name} as a set")
    return Section(title, words, [by_row, as_set])


def section_recipe(case: Case) -> Section:
    """Every setting, and which of them are the defaults."""
    usual, rows = flat(Experiment().to_dict()), []
    for name, value in case.settings.items():
        told = "none" if value is None else str(value)
        default = "the default" if name in usual and usual[name] == value else ""
        rows.append((name.removeprefix("recipe."), told, default))
    other = sum(not default for *_, default in rows)
    words, record = [f"{other} of {len(rows)} settings are not the defaults."], case.record
    if is_whole(record.get("trainable")) and is_whole(record.get("total")):
        words.append(f"{record['trainable']:,} of {record['total']:,} numbers were trained.")
    return Section("The recipe", words, [Table("Settings", ("setting", "value", ""), rows)])


def section_curves(case: Case) -> Section:
    """Training and validation loss, and what else was watched."""
    title = "The curves"
    losses, validation = (finite(case.record[name]) for name in ("losses", "validation"))
    if not losses:
        return Section(title, ["No loss was recorded."])
    best = case.record.get("best_step")
    picture = curves(losses, validation, best if is_whole(best) else None)
    unit, what = case.experiment.goal.measure
    picture.axes[0].set_ylabel(f"loss, {unit.removeprefix('in ')}")
    (_, first), (steps, last) = losses[0], losses[-1]
    claim = f"The training loss went from ≈{first:.2f} to ≈{last:.2f} in {steps} steps"
    told = ", ".join(f"{loss:.3f} at step {step}" for step, loss in validation) or "not taken"
    shown: list[Picture] = [picture.describe(claim, f"The validation loss: {told}")]
    for name, curve in as_mapping(case.record.get("curves")).items():
        known = [point for point in curve if len(point) == 2 and all(map(is_number, point))]
        if known:
            picture = lines({name: known}, "step", name)
            shown.append(picture.describe(f"{name} ended at {about(known[-1][1])}"))
    return Section(title, [f"The loss is {unit}: {what}."], shown)


def finite(curve: Sequence[Sequence[float]]) -> list[tuple[int, float]]:
    """The points of a curve that a logarithmic axis has a place for."""
    return [(int(x), float(y)) for x, y in curve if is_number(y) and y > 0]


def section_cost(case: Case, per_hour: Range | None) -> Section:
    """Seconds, energy and money, as ranges with what they assume."""
    title, prices, assumed = "What it cost", cost.read_prices(), "at the price that was given"
    cards = [row for row in prices.rows if row.kind == "card hour"]
    if per_hour is None:
        per_hour = min(row.low for row in cards), max(row.high for row in cards)
        assumed = (
            f"as if the machine were rented at {cost.in_money(per_hour, prices.currency)} an hour, "
            f"what guides of {cards[0].date} name for GPUs; give yours: --price-per-hour"
        )
    try:
        found = cost.list_runs(case.folder, per_hour=per_hour)
    except UserError as error:
        return Section(title, [f"Nothing is recorded: {sentence(error)}."])
    one = found.runs[0]
    if one.seconds is None or one.kwh is None or one.money is None:
        return Section(title, ["The record does not say how long it took."])
    rows = [
        ("training", f"≈{one.seconds:.0f} seconds"),
        ("energy", " to ".join(f"≈{1000 * end:.2g}" for end in one.kwh) + " Wh"),
        ("money", " to ".join(f"≈{end:.2g}" for end in one.money) + f" {prices.currency}"),
    ]
    asked = (case.measured or {}).get("seconds")
    if is_number(asked):
        rows.append(("asking both models", f"≈{asked:.0f} seconds"))
    words = [f"Assumed: {found.assumption}; money {assumed}."]
    return Section(title, words, [Table("Time, energy, money", ("", ""), rows)])


def section_record(case: Case, looked: Looked) -> Section:
    """Seed, hashes, versions, and what has drifted since."""
    record, verified = case.record, looked.verified
    rows = [("seed", case.seed), *((f"hash of {k}", v) for k, v in record["hashes"].items())]
    rows += [(f"version of {name}", version) for name, version in record["versions"].items()]
    shown: list[Result] = [Table("What a repetition is held against", ("", ""), rows)]
    if verified is None:
        words = ["Whether its record still holds was not looked at: the run is not done."]
    else:
        still = (
            "Nothing of its making has changed since" if verified.ok else "Something has changed"
        )
        words = [
            f"To train it anew: python -m ftkit train {case.name} --out again, where its folder "
            "lies.",
            f"{still}: base, rows, template, weights, versions.",
        ]
        if verified.drifted or verified.figures:
            shown.append(verified)
        else:
            words.append("Its figures were not asked again; --again asks them.")
    notes = record.get("notes")
    words += [note for note in notes if isinstance(note, str)] if isinstance(notes, list) else []
    return Section("The record", words, shown)
