"""The decision as a widget: turn the answers, and see what to do, why, and who says otherwise.

    decision_view(recommendation)    one recommendation as a picture
    explore_decision()               the view behind menus

The rules stand in `choosing`; here they are only drawn. `panel.save(path)` writes every position as
one page. Notebook 06; the same in a terminal is `python -m ftkit decide`.
"""

import textwrap

from ..show.panel import Panel
from ..show.svg import (
    ACCENT,
    FAINT,
    GREY,
    INK,
    MARGIN,
    SMALL,
    Area,
    Drawing,
    arrow,
    drawing,
    words,
)
from .choosing import BOTH, MEASURE, PROMPT, RETRIEVE, TUNE, Recommendation, choose

LEAST = 330  # of the picture's height, so that it seldom changes
STAGES = (MEASURE, PROMPT, RETRIEVE, TUNE)  # in the order in which they are tried
NAMES = {MEASURE: "a test set", PROMPT: "prompt", RETRIEVE: "retrieve", TUNE: "tune"}
STAGE = Area(MARGIN, 44, 150, 40)
GAP = 42  # between two stages
LETTERS = 112  # of a line
STEP = 17  # between two lines
ROWS = (20, 50, 100, 200, 1000)
WORDS_OF = {"few": (1_000, 300), "millions": (1_000_000, 300)}


def stages_of(what: str) -> set[str]:
    """The stages that a recommendation names."""
    return {RETRIEVE, TUNE} if what == BOTH else {what}


def draw_stages(what: str) -> str:
    """Four boxes from left to right, those that are recommended filled and marked."""
    chosen, parts = stages_of(what), []
    for place, name in enumerate(STAGES):
        area = Area(STAGE.left + place * (STAGE.width + GAP), STAGE.top, STAGE.width, STAGE.height)
        is_chosen = name in chosen
        parts.append(
            area.box(ACCENT if is_chosen else "white", (ACCENT if is_chosen else FAINT, 2), 6)
        )
        colour, label = ("white", f"✓ {NAMES[name]}") if is_chosen else (GREY, NAMES[name])
        x, y = area.middle
        parts.append(words(x, y + 5, label, 14, colour, "middle", bold=is_chosen))
        if place:
            begin = (area.left - GAP + 6, y)
            parts.append(arrow(begin, (area.left - 6, y), GREY))
    return "".join(parts)


def paragraph(head: str, text: str, y: float, most: int = 3) -> tuple[str, float]:
    """A bold head and lines of text from y on, `most` at most; and the y below them."""
    lines = textwrap.wrap(text, LETTERS, max_lines=most, placeholder=" …")
    parts = [words(MARGIN, y, head, colour=ACCENT, bold=True)] if head else []
    y += STEP if head else 0
    for shown in lines:
        parts.append(words(MARGIN, y, shown, colour=INK))
        y += STEP
    return "".join(parts), y + 6


def decision_view(found: Recommendation) -> Drawing:
    """A recommendation: the stages, why, what is next, what would change it, what guides say."""
    parts, y = [draw_stages(found.what)], STAGE.bottom + 28
    changes = "; ".join(f"{answer} → {what}" for answer, what in found.changes.items())
    paragraphs = {
        f"Because ({found.rule})": found.why,
        "Next": found.then,
        "What would change it": changes or "none of the answers alone",
    }
    for head, text in paragraphs.items():
        part, y = paragraph(head, text, y)
        parts.append(part)

    # the guides, each with its sentence, whole
    for asked in found.guides:
        kind = "agree" if asked.agree else "disagree"
        part, y = paragraph(f"The guides {kind}: {asked.question}", "", y)
        parts.append(part)
        y -= 6
        for said in asked.sayings:
            title = said.guide.partition(" — ")[0].partition(":")[0]
            quoted = textwrap.wrap(f"{title}: “{said.sentence}”", LETTERS + 12)
            for line in quoted:
                parts.append(words(MARGIN + 8, y, line, SMALL, GREY))
                y += STEP - 2
        y += 6
    text = f"{found.what}, because {found.why}; next: {found.then}"
    height = max(LEAST, int(y) - STEP + MARGIN)
    return drawing(f"Recommended: {found.what}", parts, text, height=height)


def explore_decision() -> Panel:
    """Choose the answers, and see `decision_view`."""

    def decide(
        lacks: str, prompted: str, rows: int, facts_change: str, calls: str, latency: str
    ) -> Drawing:
        per_day, tokens = WORDS_OF[calls]
        answers = {"lacks": lacks, "prompted": prompted, "rows": rows, "latency": latency}
        return decision_view(
            choose(facts_change=facts_change, calls=per_day, prompt_tokens=tokens, **answers)
        )

    return Panel(
        decide,
        title="Prompt, retrieve or tune?",
        call="decide.explore_decision()",
        lacks=["format", "judgement", "facts", "both", "nothing"],
        prompted=["not yet", "is enough", "is not enough"],
        rows=list(ROWS),
        facts_change=["seldom", "weekly"],
        calls=list(WORDS_OF),
        latency=["relaxed", "tight"],
    )
