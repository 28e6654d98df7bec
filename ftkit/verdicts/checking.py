"""Is a row of your own decidable? Four questions, and what is missing where one has no answer.

    check_row({"sentence", "measure", "rule", "source"})   a `RowCheck`

It decides nothing about whether the sentence is true: a row that passes is one that a figure could
show to be right, and that a figure could show to be wrong. Judges are `judges`'. Notebook 17.
"""

import importlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .. import lab
from ..core.errors import UserError, is_number, nearest
from ..core.results import Result, TableParts
from .claim import Figure
from .judges import possible_words

KEYS = ("sentence", "measure", "rule", "source")
# What compares; what compares only beside "than"; what makes a sentence true of nearly anything.
COMPARISONS = (
    "than", "equal", "equals", "same", "exactly", "never", "always", "none", "every", "half",
    "twice", "double",
)  # fmt: skip
COMPARATIVES = (
    "better", "higher", "lower", "larger", "smaller", "faster", "slower", "dearer", "cheaper",
    "longer", "shorter", "fewer", "less", "more", "greater", "later", "earlier", "deeper", "wider",
    "stronger", "best", "worst",
)  # fmt: skip
PHRASES = r"\bas \w+ as\b|\bat (?:least|most)\b|\b(?:best|worst) of\b"
VAGUE = ("often", "usually", "sometimes", "can", "may", "might", "typically", "generally")


@dataclass(frozen=True, repr=False)
class RowCheck(Result):
    """What a row has, and what it lacks: {question: (whether it has it, in words)}."""

    found: Mapping[str, tuple[bool, str]]

    @property
    def ok(self) -> bool:
        """Whether the row is decidable."""
        return all(has for has, _ in self.found.values())

    @property
    def missing(self) -> list[str]:
        """The questions without an answer."""
        return [asked for asked, (has, _) in self.found.items() if not has]

    def table(self) -> TableParts:
        """One line per question."""
        rows = [(asked, "yes" if has else "no", said) for asked, (has, said) in self.found.items()]
        title = "Decidable" if self.ok else f"Not yet decidable: {len(self.missing)} of 4 missing"
        return title, ("the row has", "", "what was found"), rows


def check_row(row: Mapping[str, Any]) -> RowCheck:
    """Whether a row of a ledger can be decided.

    sentence: what is claimed, with a number or a comparison in it. measure: what would be measured,
    as a name of the kit, such as "lora.count", as a grid, such as "grid lora", or as a function
    that gives figures. rule: (lowest, highest) between which the figure makes the sentence true,
    either may be infinite, or a judge of figures. source: who says so, and when. Raises UserError
    for what is no mapping, and for a key that is none of these.
    """
    if not isinstance(row, Mapping):
        raise UserError(f"the row is {row!r}; give a dict with {', '.join(KEYS)}.")
    for key in row:
        if key not in KEYS:
            raise UserError(
                f"a row has no {key!r}; it has {', '.join(KEYS)}.{nearest(str(key), KEYS)}"
            )
    return RowCheck(
        {
            "a number or a comparison": check_sentence(row.get("sentence")),
            "something that can be measured": check_measure(row.get("measure")),
            "a rule that can come out both ways": check_rule(row.get("rule")),
            "a source": check_source(row.get("source")),
        }
    )


Found = tuple[bool, str]


def check_sentence(sentence: object) -> Found:
    """Whether something in it can be compared; hedges are named."""
    if not isinstance(sentence, str) or len(sentence.split()) < 3:
        return False, "there is no sentence"
    words = re.findall(r"[a-z]+", sentence.lower())
    if numbers := re.findall(r"\d[\d.,]*", sentence):
        return True, f"it says {numbers[0].rstrip('.,')}"
    if vague := [word for word in words if word in VAGUE]:
        return False, f"it says {vague[0]!r}: how many of how many?"
    compared = [word for word in words if word in COMPARISONS]
    if compared := [*compared, *re.findall(PHRASES, sentence.lower())]:
        return True, f"it compares: {compared[0]!r}"
    if half := [word for word in words if word in COMPARATIVES]:
        return False, f"it says {half[0]!r} and not than what"
    return False, "nothing in it is counted or compared: how much, or more than what?"


def check_measure(measure: object) -> Found:
    """Whether there is such a function of the kit, such a grid, or a function of the reader's."""
    if callable(measure):
        return try_measure(measure)
    if not isinstance(measure, str) or not measure.strip():
        return False, "nothing is named that could be measured"
    grid = re.fullmatch(r"grid (\w+)", measure.strip())
    if grid:
        known = lab.grids.ROWS
        if grid[1] in known:
            return True, f"the grid {grid[1]!r} has {len(lab.grids.read(grid[1]))} rows"
        return False, f"there is no grid {grid[1]!r}.{nearest(grid[1], known)}"
    called = re.match(r"(\w+)\.(\w+)", measure.strip())
    if not called:
        return False, f"{measure!r} is no name of the kit: write wing.name, or grid NAME"
    return find_name(*called.groups())


def find_name(wing: str, name: str) -> Found:
    """Whether a wing of the kit hands out such a name."""
    package = importlib.import_module(__name__.partition(".")[0])
    if wing not in package.WINGS:
        return False, f"the kit has no wing {wing!r}.{nearest(wing, package.WINGS)}"
    names = dir(importlib.import_module(f"..{wing}", __package__))
    if name in names:
        return True, f"ftkit.{wing}.{name}"
    return False, f"ftkit.{wing} has no {name!r}.{nearest(name, names)}"


def try_measure(measure: Callable[[], Any]) -> Found:
    """Whether a function gives figures."""
    try:
        figures = measure()
    except Exception as error:  # whatever a reader's own code raises is said
        return False, f"the function fails: {type(error).__name__}: {error}"
    if not isinstance(figures, Sequence) or not figures:
        return False, f"the function gives {figures!r}; it should give a list of figures"
    if not all(isinstance(one, Figure) for one in figures):
        return False, f"the function gives {figures[0]!r} among others, which is no Figure"
    return True, f"the function gives {len(figures)} figures"


def check_rule(rule: object) -> Found:
    """Whether one figure makes the sentence true and another one false."""
    if callable(rule):
        return try_judge(rule)
    if not isinstance(rule, tuple | list) or len(rule) != 2:
        return False, "there is no rule: give (lowest, highest), or a judge of figures"
    numbers = [end for end in rule if is_number(end) or end in (math.inf, -math.inf)]
    if len(numbers) < 2 or rule[0] > rule[1]:
        return False, f"{tuple(rule)} are no two ends, the lower one first"
    if math.isinf(rule[0]) and math.isinf(rule[1]):
        return False, "every number lies in it: no figure could make the sentence false"
    return True, f"true between {rule[0]:g} and {rule[1]:g}, false elsewhere"


def try_judge(judge: Callable[[Sequence[Figure]], Any]) -> Found:
    """Whether a judge has more than one word for figures that are moved about."""
    figures = [Figure("a figure", 0.5, 0.4, 0.6, seeds=3, said=(0.0, 1.0))]
    try:
        words = possible_words(judge, figures)
    except Exception as error:  # whatever a reader's own code raises is said
        return False, f"the judge fails: {type(error).__name__}: {error}"
    if len(words) < 2:
        return False, f"it says {words.pop()!r} whatever the figures are"
    return True, f"it has {len(words)} words: {', '.join(sorted(map(str, words)))}"


def check_source(source: object) -> Found:
    """Whether somebody is named who says it; a year is asked for where none stands there."""
    if not isinstance(source, str) or len(source.split()) < 2:
        return False, "nobody is named who says so: a title, and a date"
    if not re.search(r"\b(19|20)\d\d\b", source):
        return False, f"{source!r} has no year: guides change, and prices more so"
    return True, source
