"""Interview questions as cards: to practise an answer, or to lead a talk.

    cards()                             every card, as a table
    card("alpha")                       one: question, rubric, both answers, follow-ups, trap
    card("alpha").demo()                its demonstration, run now: a picture
    practise("alpha")                   your answer first, then the strong one beside it
    practise("alpha", "It is …")        the same where there is no front end
    lead(["lora", "alpha"], minutes=20) a talk with clock, rubric and notes: a `Talk`

The texts are data/interview.json, what they say in figures is computed by `evidence`. Nothing is
judged by the machine: whoever listens ticks the rubric. Nothing is sent, and only `Talk.export`
writes a file. Notebook 16.
"""

import html
import json
import re
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from ..core import Result, UserError, data_path, is_number, nearest, write_whole
from ..core.results import TableParts, html_text
from ..show import still_and_live
from ..verdicts import source
from . import evidence
from .displays import rendered

FEW_WORDS = 5  # an answer has so many at least
COLUMNS = 96  # of a card in a terminal
FIVE = ("rag", "lora", "alpha", "leakage", "did-it-help")  # of a talk that names none
FOLD = "<details><summary>{}</summary>{}</details>"
PARTS: tuple[str, ...] = (
    "What to listen for",
    "A weak answer",
    "A strong answer",
    "Figures to have ready",
    "Then ask",
    "The trap",
)
REST = tuple(part for part in PARTS if part not in ("What to listen for", "A strong answer"))
BOX = "border:1px solid #8888;border-radius:4px;padding:8px;margin:4px 8px 4px 0"
# Words beside a box to tick are cut off at the end of the line, unless they are told to go on.
STYLE = (
    "<style>.ft-tick,.ft-tick .widget-label-basic{height:auto;width:auto;white-space:normal;"
    "overflow:visible;line-height:1.35}.ft-tick input{flex:none}</style>"
)


class Point(NamedTuple):
    """A point of a rubric, and what shows that an answer has it."""

    point: str
    shows: str

    def __str__(self) -> str:
        return f"{self.point} ({self.shows})"


class FollowUp(NamedTuple):
    """A further question, and a short answer to it."""

    question: str
    answer: str


class Trap(NamedTuple):
    """A sentence of a guide as it stands there, and why: it is wrong, or lacks its condition."""

    title: str
    date: str
    sentence: str
    why: str

    @property
    def named(self) -> str:
        """The guide with its date, where it has one."""
        return f"{self.title}, {self.date}" if self.date else self.title


@dataclass(frozen=True, repr=False)
class Card(Result):
    """A question with everything about it; texts are filled with figures when they are read."""

    id: str
    stored: Mapping[str, Any]

    @property
    def figures(self) -> dict[str, Any]:
        """All that its texts say in figures, by name; each was computed."""
        return evidence.figures(self.id)

    def fill(self, text: str) -> str:
        """A text of the card with its figures in it."""
        return re.sub(r"(?<![\w-])-(?=[0-9])", "−", text.format_map(self.figures))

    @property
    def question(self) -> str:
        """The question."""
        return self.stored["question"]

    @property
    def origin(self) -> str:
        """Who asks it: "guides" or "ours"."""
        return self.stored["from"]

    @property
    def shows(self) -> str:
        """What the demonstration shows."""
        return self.stored["demo"]

    @property
    def weak(self) -> str:
        """An answer that many give."""
        return self.fill(self.stored["weak"])

    @property
    def strong(self) -> str:
        """An answer in 120 words at most, with the few figures that can be said aloud."""
        return self.fill(self.stored["strong"])

    @property
    def ready(self) -> tuple[str, ...]:
        """The figures behind the strong answer, with their settings, for whoever asks on."""
        return tuple(map(self.fill, self.stored["ready"]))

    @property
    def rubric(self) -> tuple[Point, ...]:
        """What to listen for."""
        return tuple(
            Point(self.fill(p["point"]), self.fill(p["shows"])) for p in self.stored["rubric"]
        )

    @property
    def follow_ups(self) -> tuple[FollowUp, ...]:
        """Two further questions, with their answers."""
        asked = self.stored["follow_ups"]
        return tuple(FollowUp(self.fill(f["question"]), self.fill(f["answer"])) for f in asked)

    @property
    def trap(self) -> Trap:
        """Where a guide goes wrong."""
        told = self.stored["trap"]
        guide = source(told["guide"])
        return Trap(guide["title"], guide["date"], told["sentence"], self.fill(told["why"]))

    def demo(self) -> Any:
        """Run the demonstration on this session's model: a drawing, a figure or a panel."""
        return evidence.run_demo(self.id)

    def table(self) -> TableParts:
        """Part by part."""
        trap = self.trap
        rows = [("a weak answer", self.weak), ("a strong answer", self.strong)]
        rows += [("have ready", text) for text in self.ready]
        rows += [("listen for", point) for point in self.rubric]
        rows += [("then ask", f"{more.question} {more.answer}") for more in self.follow_ups]
        rows += [("the trap", f"“{trap.sentence}” ({trap.named}) {trap.why}")]
        return self.question, ("", ""), [*rows, ("demo", self.shows)]

    def __repr__(self) -> str:
        title, _, rows = self.table()
        lines = [f"{name}: {text}" for name, text in rows]
        wrapped = [textwrap.fill(line, COLUMNS, subsequent_indent="    ") for line in lines]
        return "\n".join([f"{self.id} · {title}", *wrapped])

    __str__ = __repr__

    def _repr_html_(self) -> str:
        call = f"<code>interview.card({self.id!r}).demo()</code>"
        demo = f"<div>Demo: {html_text(self.shows)} {call}</div>"
        return f"<div>{headline(self)}{folds(self)}{demo}</div>"


@dataclass(frozen=True, repr=False)
class Cards(Result):
    """All cards, by their ids."""

    cards: Sequence[Card]

    def __iter__(self) -> Iterator[Card]:
        return iter(self.cards)

    def __len__(self) -> int:
        return len(self.cards)

    def table(self) -> TableParts:
        """A line for each."""
        rows = [(one.id, one.question, one.origin, one.shows) for one in self.cards]
        heads = ("id", "question", "asked by", "its demo")
        return f'{len(rows)} questions; one of them: interview.card("{rows[0][0]}")', heads, rows


def cards() -> Cards:
    """Every card, in the order of the file."""
    stored = json.loads(data_path("interview.json").read_text(encoding="utf-8"))["cards"]
    return Cards([Card(one["id"], one) for one in stored])


def card(name: str) -> Card:
    """The card with this id; raises UserError with the nearest one for others."""
    by_id = {one.id: one for one in cards()}
    if name not in by_id:
        known = ", ".join(by_id)
        raise UserError(f"there is no card {name!r}; give one of {known}.{nearest(name, by_id)}")
    return by_id[name]


# How a card reads on a page.


def headline(asked: Card) -> str:
    """The question, in large."""
    who = "asked by the guides" if asked.origin == "guides" else "our own"
    return (
        f'<div style="font-size:1.4em;font-weight:600;margin:6px 0">{html_text(asked.question)}'
        f'</div><div style="opacity:.7">{html.escape(asked.id)} · {who}</div>'
    )


def folds(asked: Card, names: Sequence[str] = PARTS) -> str:
    """Parts of a card, each folded up."""
    trap = asked.trap
    quoted = f"<blockquote>“{html.escape(trap.sentence)}”<br>{html.escape(trap.named)}</blockquote>"
    more = [f"<p><b>{html_text(q)}</b> {html_text(a)}</p>" for q, a in asked.follow_ups]
    texts = (
        as_list(asked.rubric),
        f"<p>{html_text(asked.weak)}</p>",
        f"<p>{html_text(asked.strong)}</p>",
        f"<ul>{''.join(f'<li>{html_text(text)}</li>' for text in asked.ready)}</ul>",
        "".join(more),
        f"{quoted}<p>{html_text(trap.why)}</p>",
    )
    parts = dict(zip(PARTS, texts, strict=True))
    return "".join(FOLD.format(name, parts[name]) for name in names)


def as_list(points: Sequence[Point]) -> str:
    """A rubric as a list."""
    items = [f"<li><b>{html_text(p.point)}</b>: {html_text(p.shows)}</li>" for p in points]
    return f"<ul>{''.join(items)}</ul>"


def beside(mine: str, asked: Card) -> str:
    """An answer beside the strong one; below it where the page is narrow."""
    columns = {"Your answer": mine, "A strong answer": asked.strong}
    style = f"{BOX};flex:1 1 280px;white-space:pre-wrap;line-height:1.4"
    cells = [
        f'<div style="{style}"><b>{name}</b>\n{html_text(text)}</div>'
        for name, text in columns.items()
    ]
    return f'<div style="display:flex;flex-wrap:wrap">{"".join(cells)}</div>'


# To practise.


@dataclass(frozen=True, repr=False)
class Practised(Result):
    """An answer beside the strong one, with the rubric to hold it against."""

    card: Card
    answer: str

    def table(self) -> TableParts:
        """Both answers, and the points."""
        rows = [("your answer", self.answer), ("a strong answer", self.card.strong)]
        return self.card.question, ("", ""), rows + [("☐", point) for point in self.card.rubric]

    def __repr__(self) -> str:
        title, _, rows = self.table()
        told = [textwrap.fill(f"{name}: {text}", COLUMNS) for name, text in rows]
        return "\n".join([title, *told])

    __str__ = __repr__

    def _repr_html_(self) -> str:
        rubric = f"<b>Which of these does yours have?</b>{as_list(self.card.rubric)}"
        answers = beside(self.answer, self.card)
        return f"{headline(self.card)}{answers}{rubric}{folds(self.card, REST)}"


def practise(name: str, answer: str | None = None) -> Practised | None:
    """Ask a card's question; the strong answer is shown once there is one of your own.

    name: a card's id. Without an answer a page shows the question with a field to write in, and
    nothing comes back; with one, what would stand there. Raises UserError for an unknown card, and
    for an answer of fewer than FEW_WORDS words.
    """
    asked = card(name)
    if answer is not None and answer is not ...:
        check_answer(answer)
        return Practised(asked, answer.strip())
    said = f"{asked.question}  [interview.practise({name!r}, 'your answer')]"
    still_and_live(f"{headline(asked)}<div>Your answer?</div>", said, Practice(asked).box)
    return None


def check_answer(answer: str) -> None:
    """Refuse what is no answer yet."""
    if not isinstance(answer, str) or len(answer.split()) < FEW_WORDS:
        raise UserError(
            f"an answer of {FEW_WORDS} words or more comes first, and {answer!r:.60} is none; "
            "say it as you would say it aloud."
        )


class Practice:
    """A card with a field to answer in; `box` is the widget."""

    def __init__(self, asked: Card):
        import ipywidgets

        self.card = asked
        wide = ipywidgets.Layout(width="100%")
        self.field = ipywidgets.Textarea(
            placeholder="Say it as you would say it aloud, in a minute or two.", rows=6, layout=wide
        )
        self.button = action("Compare", "check", self.compare, "ft-compare")
        self.status = ipywidgets.HTML()
        self.after = ipywidgets.VBox()
        parts = [ipywidgets.HTML(headline(asked)), self.field, self.button, self.status, self.after]
        self.box = ipywidgets.VBox(parts)
        self.box.add_class("ft-practise")

    def compare(self) -> None:
        """Show the strong answer beside what was written, and the rubric to tick."""
        import ipywidgets

        try:
            check_answer(self.field.value)
        except UserError as error:
            self.status.value = html.escape(str(error))
            return
        self.status.value = "<b>Which of these points does your answer have?</b>"
        self.ticks = Ticks(self.card.rubric)
        answers = ipywidgets.HTML(beside(self.field.value.strip(), self.card))
        more = ipywidgets.HTML(folds(self.card, REST))
        self.after.children = [self.ticks.box, answers, more, Demo(self.card).box]


class Ticks:
    """A rubric with a box to tick for each point, and how many are; `tell` hears all boxes."""

    def __init__(
        self,
        points: Sequence[Point],
        ticked: Sequence[bool] = (),
        tell: Callable[[list[bool]], None] | None = None,
    ):
        import ipywidgets

        wide = ipywidgets.Layout(width="100%")
        self.boxes = [
            ipywidgets.Checkbox(description=str(point), indent=False, layout=wide)
            for point in points
        ]
        self.count = ipywidgets.HTML()
        self.tell = tell
        for place, one in enumerate(self.boxes):
            one.value = bool(ticked) and ticked[place]
            one.add_class("ft-tick")
            one.observe(lambda _: self.hear(), "value")
        self.box = ipywidgets.VBox([ipywidgets.HTML(STYLE), *self.boxes, self.count])
        self.say()

    @property
    def values(self) -> list[bool]:
        """Which boxes are ticked."""
        return [one.value for one in self.boxes]

    def hear(self) -> None:
        """A box was ticked, or unticked."""
        if self.tell is not None:
            self.tell(self.values)
        self.say()

    def say(self) -> None:
        """How many are ticked."""
        self.count.value = f"{sum(self.values)} of {len(self.boxes)} points"


class Demo:
    """A button that runs a card's demonstration, and shows it below itself."""

    def __init__(self, asked: Card):
        import ipywidgets

        self.card = asked
        self.button = action("Run the demo", "play", self.run, "ft-demo")
        self.told = ipywidgets.HTML(html_text(asked.shows))
        self.shown = ipywidgets.VBox()
        self.box = ipywidgets.VBox([self.button, self.told, self.shown])

    def run(self) -> None:
        """Run it; the button waits until it is done."""
        import ipywidgets

        self.button.disabled = True
        self.button.description = "Running"
        try:
            self.shown.children = [rendered(self.card.demo()).live]
        except Exception as error:
            # what another model can't do would be lost in a widget's log
            why = html.escape(f"{type(error).__name__}: {error}")
            self.shown.children = [ipywidgets.HTML(why)]
        finally:
            self.button.disabled, self.button.description = False, "Run the demo"


def action(name: str, icon: str, do: Callable[[], None], mark: str) -> Any:
    """A button that does this, with a class by which a page knows it."""
    import ipywidgets

    button = ipywidgets.Button(
        description=name, icon=icon, layout=ipywidgets.Layout(width="max-content")
    )
    button.on_click(lambda _: do())
    button.add_class(mark)
    return button


# To lead a talk.


@dataclass
class Asked:
    """A question of a talk: what it took, which points the answer had, what was noted."""

    card: Card
    ticked: list[bool]
    seconds: float = 0.0
    notes: str = ""

    @property
    def points(self) -> int:
        """How many points are ticked."""
        return sum(self.ticked)

    def as_json(self) -> dict[str, Any]:
        """All of it, for a file."""
        points = zip(self.card.rubric, self.ticked, strict=True)
        rubric = [{"point": p.point, "shows": p.shows, "ticked": on} for p, on in points]
        told = {"id": self.card.id, "question": self.card.question}
        return told | {"seconds": round(self.seconds, 1), "rubric": rubric, "notes": self.notes}


@dataclass(repr=False)
class Talk:
    """Questions with a clock, rubrics and notes; all that its buttons do, calls do as well.

    minutes: of the whole talk; a question has its even share. clock: seconds that only rise.
    """

    asked: list[Asked]
    minutes: float
    clock: Callable[[], float] = time.monotonic
    place: int = 0  # of the question that is on
    began: str = ""  # UTC, ISO 8601
    since: float | None = None  # on the clock: from when on the question's time is not yet counted
    written: set[Path] = field(default_factory=set)

    @property
    def on(self) -> Asked:
        """The question that is on."""
        return self.asked[self.place]

    @property
    def running(self) -> bool:
        """Whether the clock runs."""
        return self.since is not None

    @property
    def seconds(self) -> float:
        """Of all questions together."""
        self.count()
        return sum(one.seconds for one in self.asked)

    def find(self, name: str | None = None) -> Asked:
        """A question by its card's id, or the one that is on; UserError for another one."""
        if name is None:
            return self.on
        by_id = {one.card.id: one for one in self.asked}
        if name not in by_id:
            raise UserError(
                f"{name!r} is not in this talk; it has {', '.join(by_id)}.{nearest(name, by_id)}"
            )
        return by_id[name]

    def count(self) -> None:
        """Give the time since the last count to the question that is on."""
        if self.since is not None:
            now = self.clock()
            self.on.seconds += now - self.since
            self.since = now

    def start(self, name: str | None = None) -> None:
        """Let the clock run, for the question that is on or for another one."""
        self.turn_to(name or self.on.card.id)
        self.began = self.began or datetime.now(UTC).isoformat(timespec="seconds")
        self.since = self.clock() if self.since is None else self.since

    def pause(self) -> None:
        """Stop the clock; `start` goes on."""
        self.count()
        self.since = None

    def turn_to(self, name: str) -> None:
        """Go to a question; from now on the time is its."""
        chosen = self.find(name)
        self.count()
        self.place = self.asked.index(chosen)

    def tick(self, point: int, name: str | None = None, *, on: bool = True) -> None:
        """Tick a point of a rubric, the first being 1; `on=False` takes it back."""
        asked = self.find(name)
        if not isinstance(point, int) or not 1 <= point <= len(asked.ticked):
            raise UserError(
                f"point is {point!r}; {asked.card.id} has points 1 to {len(asked.ticked)}."
            )
        asked.ticked[point - 1] = on

    def note(self, text: str, name: str | None = None) -> None:
        """Write a line below a question's notes."""
        asked = self.find(name)
        asked.notes = f"{asked.notes}\n{text}".strip()

    def export(self, path: str | Path | None = None) -> Path:
        """Write the talk as Markdown or JSON, by the name's ending; where it lies.

        path: by default a new name with date and time, in the working directory. Raises UserError
        for another ending, a folder that is not there, and a file that this talk did not write.
        """
        self.count()
        to = self.new_name() if path is None else Path(path).expanduser()
        kinds = {".md": self.as_markdown, ".json": self.as_text}
        if to.suffix not in kinds:
            raise UserError(f"{to.name} ends in {to.suffix!r}; give a name in .md or .json.")
        if not to.parent.is_dir():
            raise UserError(f"there is no folder {to.parent}; make it, or give another name.")
        if to.exists() and to.resolve() not in self.written:
            raise UserError(f"{to} is there already, and not from this talk; give another name.")
        write_whole(to, kinds[to.suffix]())
        self.written.add(to.resolve())
        return to

    def new_name(self) -> Path:
        """A file that is not there yet."""
        stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
        names = (Path(f"interview-{stamp}{more}.md") for more in ("", *map("-{}".format, range(9))))
        return next(name for name in names if not name.exists())

    def as_text(self) -> str:
        """The talk as JSON."""
        told = {"began": self.began, "minutes": self.minutes, "seconds": round(self.seconds, 1)}
        told |= {"questions": [one.as_json() for one in self.asked]}
        return json.dumps(told, ensure_ascii=False, indent=1) + "\n"

    def as_markdown(self) -> str:
        """The talk as Markdown."""
        lines = [f"# Interview {self.began}".rstrip(), "", self.total, ""]
        for one in self.asked:
            had = f"{spell(one.seconds)}, {one.points} of {len(one.ticked)} points"
            lines += [f"## {one.card.question}", "", f"`{one.card.id}` · {had}", ""]
            points = zip(one.card.rubric, one.ticked, strict=True)
            lines += [f"- [{'x' if on else ' '}] {point}" for point, on in points]
            lines += ["", *(f"> {line}".rstrip() for line in one.notes.splitlines()), ""]
        return "\n".join(lines).rstrip() + "\n"

    @property
    def total(self) -> str:
        """How much of the time is gone, in words."""
        return told_time(self.seconds, 60 * self.minutes)

    @property
    def of_question(self) -> str:
        """The same of the question that is on and its even share."""
        self.count()
        return told_time(self.on.seconds, 60 * self.minutes / len(self.asked))

    @property
    def text(self) -> str:
        """The talk in a few lines."""
        lines = [f"{one.card.id}: {one.card.question}" for one in self.asked]
        return "\n".join([f"A talk of {self.minutes:g} minutes, {len(lines)} questions", *lines])

    def __repr__(self) -> str:
        return self.text

    def _ipython_display_(self) -> None:
        """The desk of whoever leads, where a kernel answers it; elsewhere the questions."""
        items = "".join(f"<li>{html_text(one.card.question)}</li>" for one in self.asked)
        head = self.text.splitlines()[0]
        still_and_live(f"<b>{head}</b><ol>{items}</ol>", self.text, Desk(self).box)


def spell(seconds: float) -> str:
    """Minutes and seconds: spell(95) is "1:35"."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def told_time(seconds: float, limit: float) -> str:
    """Time against its limit: "1:35 of 6:00", and what is over."""
    over = f", {spell(seconds - limit)} over" if seconds > limit else ""
    return f"{spell(seconds)} of {spell(limit)}{over}"


def lead(names: Sequence[str] = FIVE, minutes: float = 20) -> Talk:
    """A talk about these cards, in this order; in a cell a desk with clock, rubric and notes.

    minutes: of the whole talk. Raises UserError for an unknown card, one that is named twice, and
    a time that is none.
    """
    if isinstance(names, str) or not isinstance(names, Sequence) or not names:
        raise UserError(f'names is {names!r}; give a list of cards, such as ["lora", "alpha"].')
    if len(set(names)) < len(names):
        twice = next(name for name in names if list(names).count(name) > 1)
        raise UserError(f"{twice!r} is named twice; ask each question once.")
    if not is_number(minutes) or not 0 < minutes <= 600:
        raise UserError(f"minutes is {minutes!r}; give a number above 0, up to 600.")
    chosen = [card(name) for name in names]
    return Talk([Asked(one, [False] * len(one.rubric)) for one in chosen], minutes)


class Desk:
    """The widget of a talk: a clock, one question at a time with its rubric and notes, export."""

    def __init__(self, talk: Talk):
        import ipywidgets

        self.talk = talk
        self.times, self.status = ipywidgets.HTML(), ipywidgets.HTML()
        self.clock_button = action("Start", "play", self.start_or_pause, "ft-clock")
        names = [one.card.id for one in talk.asked]
        self.chosen = ipywidgets.ToggleButtons(options=names, value=talk.on.card.id)
        self.chosen.style.button_width = "auto"
        self.chosen.observe(lambda change: self.turn_to(change["new"]), "value")
        self.chosen.add_class("ft-questions")
        self.below = ipywidgets.VBox()
        export = action("Export", "download", self.export, "ft-export")

        # one below the other, so that it reads on a narrow page
        flow = ipywidgets.Layout(flex_flow="row wrap", align_items="center")
        top = ipywidgets.HBox([self.clock_button, export, self.times], layout=flow)
        self.box = ipywidgets.VBox([top, self.status, self.chosen, self.below])
        self.box.add_class("ft-lead")
        self.halt = threading.Event()
        self.show_question()

    def show_question(self) -> None:
        """The question that is on, with what is ticked and noted so far."""
        import ipywidgets

        asked = self.talk.on
        self.ticks = Ticks(asked.card.rubric, asked.ticked, self.keep_ticks)
        wide = ipywidgets.Layout(width="100%")
        self.notes = ipywidgets.Textarea(
            value=asked.notes, placeholder="Notes", rows=4, layout=wide, continuous_update=True
        )
        self.notes.observe(lambda change: setattr(self.talk.on, "notes", change["new"]), "value")
        more = ipywidgets.HTML(folds(asked.card, PARTS[1:]))
        head = ipywidgets.HTML(headline(asked.card))
        self.below.children = [head, self.ticks.box, self.notes, more, Demo(asked.card).box]
        self.show_times()

    def keep_ticks(self, values: list[bool]) -> None:
        """The boxes of the question that is on."""
        self.talk.on.ticked = values

    def turn_to(self, name: str) -> None:
        """Another question."""
        self.talk.turn_to(name)
        self.show_question()

    def start_or_pause(self) -> None:
        """Let the clock run, or stop it."""
        if self.talk.running:
            self.talk.pause()
            self.halt.set()
        else:
            self.talk.start()
            self.halt = threading.Event()
            threading.Thread(target=self.tick_on, args=(self.halt,), daemon=True).start()
        self.show_times()

    def tick_on(self, halt: threading.Event) -> None:
        """Write the time every second, until the clock is stopped."""
        while not halt.wait(1):
            self.show_times()

    def show_times(self) -> None:
        """The times of the question and of the talk, and what the button does next."""
        self.clock_button.description = "Pause" if self.talk.running else "Start"
        self.clock_button.icon = "pause" if self.talk.running else "play"
        self.times.value = (
            f"&nbsp;<b>{self.talk.of_question}</b> this question · {self.talk.total} in all"
        )

    def export(self) -> None:
        """Write a file, and say where it is."""
        try:
            last = sorted(self.talk.written)
            path = self.talk.export(last[0] if last else None)
            self.talk.export(path.with_suffix(".json"))
            said = f"Written: {path.name} and {path.with_suffix('.json').name}"
        except (UserError, OSError) as error:
            said = str(error)
        self.status.value = html.escape(said)
