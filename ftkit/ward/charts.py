"""What the owner of a run sees of it, and how the doctor did: pictures and tables of finished runs.

    find_patients(rows, room)              {"A": row, …}: the patients of a room
    show_patients({"A": row, …}, title)    curves, what lies in the folders, what was replied
    treat(rows, room)                      what the doctor said of them, and the cured runs
    tally(rows, healthy)                   a `Tally`: hits, misses and false alarms

Nothing here says what a run has; that is `illnesses`' to know and the reader's to find. Finished
runs are read by `lab.grids.read("ward")`. Notebook 11.
"""

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..core.results import Result, Table, TableParts, html_text
from ..show.labels import decades
from ..show.svg import ACCENT, FAINT, GREY, PLAIN, Area, Drawing, Frame, dot, drawing, line, words
from .illnesses import ILLNESSES, LEARNED, ROOMS, HealthyRow, Illness, WardRow, WardRun

ACROSS = 2  # curves beside each other
LEFT, TOP, WIDE, HIGH, GAP_X, GAP_Y = 56, 70, 286, 96, 88, 74
LOWEST = 5e-4  # nats; what lies below is drawn there
HIGHER = 0.1  # nats; where the axes begin if no loss of the room is lower
BEGIN, ENDING = 22, 30  # characters of a row that are shown at either end
MARKED = re.compile(r"⟦[^⟦⟧<]*⟧?")  # what carries loss, in HTML: up to the end of its cell
GROUND = '<mark style="background:#dbe6f7;color:#111">'
REPLY = 130  # characters of a reply that are shown
LONG = "first row as trained", "prompt of the saved template"  # facts with a line per patient


@dataclass(frozen=True)
class Patients:
    """Some runs as their owners see them: a picture of the curves, their facts and their replies.

    folders: a line per fact in which they differ; written: of long facts, a line per patient;
    alike: the facts in which they do not differ, which are folded on a page.
    """

    curves: Drawing
    folders: Table
    written: Table | None
    alike: Table
    replies: Table

    def __repr__(self) -> str:
        parts = self.curves, self.folders, self.written, self.alike, self.replies
        return "\n\n".join(repr(part) for part in parts if part is not None)

    def _repr_html_(self) -> str:
        named = html_text(
            f"{self.alike.title}: {' · '.join(str(row[0]) for row in self.alike.rows)}"
        )
        folded = f"<details><summary>{named}</summary>{self.alike._repr_html_()}</details>"
        long = self.written._repr_html_() if self.written else ""
        facts = MARKED.sub(rf"{GROUND}\g<0></mark>", f"{self.folders._repr_html_()}{long}{folded}")
        return "".join((self.curves._repr_html_(), facts, self.replies._repr_html_()))


def show_patients(rows: Mapping[str, WardRow], title: str) -> Patients:
    """Runs by the names of their patients; title: of the picture, what it shows as a claim."""
    facts = {name: folder_facts(row) for name, row in rows.items()}
    first = next(iter(facts.values()))
    table = [(fact, *(facts[name][fact] for name in rows)) for fact in first]
    # a fact that is the same in all folders is told once, and below
    differ = [line for line in table if len(set(line[1:])) > 1]
    alike = [line[:2] for line in table if len(set(line[1:])) == 1]
    long = [line for line in differ if line[0] in LONG]
    by_patient = list(zip(rows, *(line[1:] for line in long), strict=True))
    heads = ("", *(line[0] for line in long))
    short = [line for line in differ if line not in long]
    return Patients(
        draw_curves(rows, title),
        Table("What lies in their folders, where they differ", ("", *rows), short),
        Table("Marks and templates, a line per patient", heads, by_patient) if long else None,
        Table("The same in all of them", ("", ", ".join(rows)), alike),
        Table("What they reply", ("", ""), told_replies(rows)),
    )


def told_replies(rows: Mapping[str, WardRow]) -> list[tuple[str, str]]:
    """Each question and its right answer once, and below them what the patients wrote."""
    by_question: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for name, row in rows.items():
        for asked, right, reply in read_samples(row):
            by_question.setdefault((asked, right), []).append((name, reply))
    lines = []
    for (asked, right), replies in by_question.items():
        lines += [("asked", asked), ("right", right), *replies]
    return lines


def find_patients(
    rows: Sequence[WardRow], room: str, seed: int = 0, *, cured: bool = False
) -> dict[str, WardRow]:
    """The sick runs of a room by the names of its patients; cured: the cured ones instead."""
    by_run = {WardRun(**settings(row)): row for row in rows}
    illnesses = {patient: ILLNESSES[name] for patient, name in ROOMS[room].items()}
    return {
        patient: by_run[dataclasses.replace(one.cured if cured else one.sick, seed=seed)]
        for patient, one in illnesses.items()
    }


@dataclass(frozen=True, repr=False)
class Diagnoses(Table):
    """A table that stays folded on a page, since it names what a reader is to find."""

    def _repr_html_(self) -> str:
        head = "What the doctor finds in the folders (this names the illnesses)"
        page, rest = "", super()._repr_html_()
        # of each of the doctor's sentences what was found in bold, its reasons and cure behind it
        for _, _, said, *_ in self.rows:
            first = html_text(re.split(r"(?<=.)[:;] (?=[a-z])", str(said))[0])
            before, cell, rest = rest.partition(f">{first}")
            page += f"{before}><b>{first}</b>" if said else before + cell
        return f"<details><summary>{head}</summary>{page}{rest}</details>"


def treat(rows: Sequence[WardRow], room: str, seed: int = 0) -> Diagnoses:
    """A line per patient of a room: the illness, what the doctor said, and both runs' scores.

    Also found: its other checks that called something wrong in that folder.
    """
    by_run = {WardRun(**settings(row)): row for row in rows}
    lines = []
    for patient, name in ROOMS[room].items():
        illness = ILLNESSES[name]
        sick, cured = (
            by_run[dataclasses.replace(run, seed=seed)] for run in (illness.sick, illness.cured)
        )
        right = show_right(sick, [sick]), show_right(sick, [cured])
        others = ", ".join(check for check in sick.found if check != illness.check)
        lines.append((patient, name, sick.said, others, *right))
    heads = ("", "illness", "the doctor says", "also found", "right", "right when cured")
    return Diagnoses("Sick and cured", heads, lines)


def read_samples(row: WardRow) -> list[tuple[str, str, str]]:
    """The first question of each kind: (asked, right, written)."""
    each = len(row.samples) // (2 if "new" in row.scores else 1)
    return [
        (" ".join(one.asked.split()), one.wanted, written(one.reply, ended=one.ended))
        for one in row.samples[::each]
    ]


def clip(text: str, longest: int) -> str:
    """A text on one line, and no longer than that."""
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[:longest]} …"


def written(reply: str, *, ended: bool) -> str:
    """A reply as it is shown: shortened, and marked where it was cut off."""
    short = clip(reply, REPLY) or "(nothing)"
    return short if ended else f"{short.removesuffix(' …')} … and so on"


def folder_facts(row: WardRow) -> dict[str, str]:
    """What its owner reads in a run's folder, in a dozen words each."""
    record = row.record
    trained, different = record["rows"]
    then, now = record["base"]
    recipe_alpha, config_alpha = record["alpha"]
    return {
        "test rows right": f"{row.scores['test']:.0%}",
        "replies that end": f"{row.scores['test: ended']:.0%}",
        "run.json: rate, steps": f"{record['lr']:g}, {record['steps']}",
        "run.json: numbers trained": f"{record['trainable']:,}",
        "run.json: alpha; adapter_config.json": f"{recipe_alpha:g}; {config_alpha:g} (r = 8)",
        "base: in run.json; now": f"{then}; {now}",
        "training rows": f"{trained}, {different} of them different",
        "first row as trained": shorten(str(record["row"])),
        "prompt of the saved template": str(record["prompt"]),
    }


def shorten(row: str) -> str:
    """Both ends of a row, in which ⟦ ⟧ stand around what carries loss."""
    begin, _, rest = row.partition(LEARNED[0])
    # a question is cut before its last mark, so that no mark is cut in two
    last = begin.rfind("<|")
    tail = begin[last:] if 0 < len(begin) - last <= BEGIN else begin[-BEGIN // 2 :]
    question = begin if len(begin) <= 2 * BEGIN else f"{begin[:BEGIN]} … {tail}"
    answer = rest if len(rest) <= 2 * ENDING else f"{rest[: ENDING // 2]} … {rest[-ENDING:]}"
    return f"{question}{LEARNED[0]}{answer}" if rest else question


def draw_curves(rows: Mapping[str, WardRow], title: str) -> Drawing:
    """Training and validation loss of some runs by step, each in a frame of its own.

    All frames have one range of losses, so that heights can be compared.
    """
    parts, told = [], []
    losses = [loss for row in rows.values() for _, loss in finite_points(row)]
    low = HIGHER if min(losses, default=0.0) > HIGHER else LOWEST
    span = low, max(2.0, 1.3 * max(losses, default=0.0))
    for place, (name, row) in enumerate(rows.items()):
        left = LEFT + (place % ACROSS) * (WIDE + GAP_X)
        upper = TOP + (place // ACROSS) * (HIGH + GAP_Y)
        parts.append(draw_curve(Area(left, upper, WIDE, HIGH), name, row, span))
        told.append(f"{name}: {in_words(row)}")
    lines = math.ceil(len(rows) / ACROSS)
    height = TOP + lines * (HIGH + GAP_Y) - GAP_Y + 44
    aside = "line: training, dots: validation"
    return drawing(title, parts, f"{title}. {'; '.join(told)}", aside, height)


def finite_points(row: WardRow) -> list[Sequence[float]]:
    """The points of both curves of a run whose loss is a number."""
    return [point for point in (*row.losses, *row.validation) if math.isfinite(point[1])]


def draw_curve(area: Area, name: str, row: WardRow, span: tuple[float, float]) -> str:
    """The two curves of one run; span: the lowest and the highest loss of its frame."""
    low, top = span
    losses = [(step, max(loss, low)) for step, loss in row.losses if math.isfinite(loss)]
    checks = [(step, max(loss, low)) for step, loss in row.validation if math.isfinite(loss)]
    frame: Frame = area.frame((0, row.steps), span, log_y=True)
    ticks = {0: "0", row.steps / 2: f"{row.steps // 2}", row.steps: f"{row.steps} steps"}
    tens = {y: text for y, text in decades(low, top).items() if math.log10(y) % 1 == 0}
    parts = [frame.axes(ticks, tens, ""), words(area.left, area.top - 9, name, 13, bold=True)]
    parts.append(words(area.left + 18, area.top - 9, "loss, nats per learned token", 10.5, GREY))
    parts.append(line([frame.at(*point) for point in losses], PLAIN, 1.6))
    parts += [dot(*frame.at(*point), 3.4, ACCENT) for point in checks]
    if len(losses) == 1:
        parts.append(dot(*frame.at(*losses[0]), 3.4, PLAIN))
    if any(loss < low for _, loss in finite_points(row)):
        parts.append(words(area.right, area.bottom - 6, f"below {low:g}", 10.5, PLAIN, "end"))

    # a curve that breaks off says so
    broken = next((step for step, loss in row.losses if not math.isfinite(loss)), None)
    if broken is not None:
        parts.append(frame.upright(broken, FAINT, 2, "4 3"))
        x, y = frame.at(broken, math.sqrt(low * top))
        parts.append(words(x + 8, y, f"nan from step {broken:g} on", 12, ACCENT, bold=True))
    return "".join(parts)


def in_words(row: WardRow) -> str:
    """A run's curves in a sentence."""
    losses = [loss for _, loss in row.losses]
    checks = [loss for _, loss in row.validation if math.isfinite(loss)]
    said = f"training {losses[0]:.3g} to {losses[-1]:.3g}"
    return f"{said}, validation {checks[0]:.3g} to {checks[-1]:.3g}" if checks else said


@dataclass(frozen=True)
class Line:
    """How one illness came out over its seeds."""

    illness: Illness
    seeds: int
    sick_right: str  # the mean share of right answers, and of what where that is not usual
    cured_right: str
    named: int  # in how many seeds the doctor's check for it found it
    also: Mapping[str, int]  # its other checks that found something, and in how many seeds


@dataclass(frozen=True, repr=False)
class Tally(Result):
    """What the doctor found of the sick runs, of their cured ones, and of healthy runs."""

    lines: Sequence[Line]
    cured: int  # cured runs; several illnesses may share one, which counts once
    relapses: Sequence[WardRow]  # those of which the doctor called something wrong
    healthy: int
    alarms: Sequence[HealthyRow]  # healthy runs of which it called something wrong
    others: Sequence[WardRow] = ()  # runs of the ward without a fault that cure nobody

    @property
    def sick(self) -> int:
        """How many sick runs there are."""
        return sum(line.seeds for line in self.lines)

    @property
    def hits(self) -> int:
        """Sick runs whose illness was named."""
        return sum(line.named for line in self.lines)

    def table(self) -> TableParts:
        """A line per illness."""
        rows = [
            (
                line.illness.name,
                line.sick_right,
                line.cured_right,
                line.illness.check,
                f"{line.named} of {line.seeds}",
                ", ".join(
                    check if n == line.seeds else f"{check} ({n})" for check, n in line.also.items()
                ),
            )
            for line in self.lines
        ]
        title = (
            f"Named: {self.hits} of {self.sick} sick runs; false alarms: {len(self.relapses)} of "
            f"{self.cured} cured runs and {len(self.alarms)} of {self.healthy} healthy ones"
        )
        if self.others:
            found = sum(bool(row.found) for row in self.others)
            title += f"; {found} of {len(self.others)} others without a fault"
        heads = ("illness", "right, mean", "cured", "the doctor's check", "named", "also found")
        return title, heads, rows


def tally(rows: Sequence[WardRow], healthy: Sequence[HealthyRow]) -> Tally:
    """The doctor's hits and misses over the ward, and its false alarms among healthy runs."""
    by_run = {WardRun(**settings(row)): row for row in rows}
    seeds = sorted({row.seed for row in rows})
    lines = [count_line(illness, by_run, seeds) for illness in ILLNESSES.values()]
    runs = dict.fromkeys(illness.cured for illness in ILLNESSES.values())
    cured = [by_run[dataclasses.replace(run, seed=seed)] for run in runs for seed in seeds]
    relapses = [row for row in cured if row.found]
    known = {*runs, *(illness.sick for illness in ILLNESSES.values())}
    others = [row for run, row in by_run.items() if dataclasses.replace(run, seed=0) not in known]
    alarms = [row for row in healthy if row.found]
    return Tally(lines, len(cured), relapses, len(healthy), alarms, others)


def settings(row: WardRow) -> dict:
    """What decides a finished run."""
    return {field.name: getattr(row, field.name) for field in dataclasses.fields(WardRun)}


def count_line(illness: Illness, rows: Mapping[WardRun, WardRow], seeds: Sequence[int]) -> Line:
    """One illness over its seeds."""
    sick, cured = (
        [rows[dataclasses.replace(run, seed=seed)] for seed in seeds]
        for run in (illness.sick, illness.cured)
    )
    found = Counter(check for row in sick for check in row.found)
    named = found.pop(illness.check, 0)
    right = show_right(sick[0], sick), show_right(sick[0], cured)
    return Line(illness, len(seeds), *right, named, dict(found))


def show_right(sick: WardRow, rows: Sequence[WardRow]) -> str:
    """The mean share of right answers, "of new ones" where the sick run was asked these."""
    return f"{mean_right(rows):.0%}{' of new ones' if 'new' in sick.scores else ''}"


def mean_right(rows: Sequence[WardRow]) -> float:
    """The mean share of right answers: to new questions, where these were asked, too."""
    right = [row.scores.get("new", row.scores["test"]) for row in rows]
    return sum(right) / len(right)
