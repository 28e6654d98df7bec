"""The whole ledger: every claim in order, measured or as it was written down.

    settle(ids, dear=True)   claims measured now: a `Verdicts`, which opens and sorts in a cell
    recorded()               the same from data/claims.json, nothing measured
    write(ids)               measure, and write what came out there
    find_claim("L2")         one claim, or the nearest

The words in data/claims.json are held against the figures beside them: one that was changed by hand
is refused. `python -m ftkit claims` asks the same in a terminal. Shown in notebook 17.
"""

import html
import importlib
import json
import math
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import UserError, nearest
from ..core.files import data_path, write_whole
from ..core.results import Result, Table, TableParts, html_text
from .claim import KINDS, WORDS, Claim, Figure, Settled, short_title, source

ROOMS = ("lora", "memory", "cost", "data", "training", "evaluation")
# The parts of the ledger, in its order; a row's number follows its letter.
PARTS = {
    "L": "LoRA's mathematics",
    "Q": "four bits and memory",
    "D": "data",
    "W": "deciding",
    "T": "training",
    "P": "preferences",
    "E": "evaluation",
    "F": "forgetting",
    "M": "merging and serving",
    "C": "cost and operations",
    "G": "slips",
}
WIDE = 51  # characters of a claim in a line of text, which is of 80 then; a longer one goes on
ABOUT = (
    "What fine-tuning guides say, in our own words, and what decides each claim. Written by "
    "`python -m ftkit claims --write`; every verdict is computed from the figures beside it."
)
STYLE = (
    "<style>.ft-ledger :is(caption,th,td,pre){text-align:left!important;vertical-align:top}"
    ".ft-ledger caption{white-space:nowrap}.ft-ledger summary{cursor:pointer}</style>"
)
# A click on a head sorts by that column, a second one the other way round.
SORT = (
    "var h=this.closest('th'),t=h.closest('table'),b=t.tBodies[0],i=h.cellIndex,"
    "d=h.dataset.d=h.dataset.d==='1'?'-1':'1';"
    "k=function(r){var c=r.cells[i];return c.dataset.k||c.textContent};"
    "Array.from(b.rows).sort(function(x,y){return d*k(x).localeCompare(k(y),undefined,"
    "{numeric:true})}).forEach(function(r){b.appendChild(r)})"
)


def claims() -> tuple[Claim, ...]:
    """Every claim, in the ledger's order."""
    rooms = (importlib.import_module(f".{room}_rows", __package__) for room in ROOMS)
    return tuple(sorted((claim for room in rooms for claim in room.CLAIMS), key=place))


def place(claim: Claim) -> tuple[int, int]:
    """Where a claim stands: its part, then its number."""
    return list(PARTS).index(claim.id[0]), int(claim.id[1:])


def find_claim(name: str) -> Claim:
    """The claim with this id, in capitals or not. Raises UserError with the nearest for others."""
    by_id = {claim.id: claim for claim in claims()}
    if str(name).upper() not in by_id:
        raise UserError(
            f"there is no claim {name!r}; the ledger has {len(by_id)}, from {next(iter(by_id))} to "
            f"{list(by_id)[-1]}.{nearest(str(name).upper(), by_id)}"
        )
    return by_id[str(name).upper()]


@dataclass(frozen=True, repr=False)
class Verdicts(Result):
    """Claims with their figures and words."""

    settled: Sequence[Settled]

    def __getitem__(self, name: str) -> Settled:
        """What is known about one claim."""
        claim = find_claim(name)
        for one in self.settled:
            if one.claim.id == claim.id:
                return one
        raise UserError(f"claim {claim.id} was not settled here; ask for it by its id.")

    @property
    def words(self) -> dict[str, str]:
        """{id: verdict}."""
        return {one.claim.id: one.verdict for one in self.settled}

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """{kind: {verdict: how many}}: kinds and words in their order, words that occur."""
        found = Counter((one.claim.kind, one.verdict) for one in self.settled)
        return {
            kind: {word: found[kind, word] for word in WORDS if (kind, word) in found}
            for kind in KINDS
        }

    def counted(self) -> Table:
        """The counts by kind and verdict, as a table."""
        rows = []
        for kind, words in self.counts.items():
            by_word = [words.get(word, 0) for word in WORDS]
            rows.append((f"{kind}: {KINDS[kind]}", *by_word, sum(by_word)))
        rows.append(("all", *(sum(column) for column in list(zip(*rows, strict=True))[1:])))
        return Table("Verdicts by kind", ("kind", *WORDS, "all"), rows)

    def conflicts(self) -> Table:
        """Where guides differ: what each says, its own words beside the verdict."""
        rows = []
        for one in self.settled:
            if one.claim.kind == "X":
                quotes = [
                    f"{short_title(source(guide)['title'])}: “{said}”"
                    for guide, said in one.claim.quote.items()
                ]
                rows += [
                    (one.claim.id if not i else "", quote, one.verdict if not i else "")
                    for i, quote in enumerate(quotes)
                ]
        return Table("Where the guides differ", ("row", "a guide says", "verdict"), rows)

    def table(self) -> TableParts:
        """Lines of 80 characters: id, kind, verdict and sentence, whose rest stands below it."""
        rows = []
        for one in self.settled:
            first, *rest = textwrap.wrap(one.claim.sentence, WIDE)
            rows.append((one.claim.id, one.claim.kind, one.verdict, first))
            rows += [("", "", "", line) for line in rest]
        return self.title, ("row", "kind", "verdict", "claim"), rows

    @property
    def title(self) -> str:
        """How many claims, and how many of each word."""
        found = Counter(one.verdict for one in self.settled)
        said = ", ".join(f"{found[word]} {word}" for word in WORDS if found[word])
        return f"{len(self.settled)} claims: {said}"

    def _repr_html_(self) -> str:
        """A table whose rows open, and which a click on a head sorts; it needs no network."""
        heads = ("row", "claim, with its figures", "kind", "verdict", "notebook")
        buttons = "".join(
            f'<th><button type="button" onclick="{html.escape(SORT)}">{head} ⇅</button></th>'
            for head in heads
        )
        body = "".join(map(html_of_row, self.settled))
        return (
            f'{STYLE}<table class="ft-ledger"><caption><b>{html_text(self.title)}</b></caption>'
            f"<thead><tr>{buttons}</tr></thead><tbody>{body}</tbody></table>"
        )

    def json(self) -> list[dict[str, Any]]:
        """Every claim as data/claims.json has it."""
        return [as_json(one) for one in self.settled]


def html_of_row(one: Settled) -> str:
    """A claim as a row of the ledger: its sentence opens to all that is known about it."""
    claim, (part, number) = one.claim, place(one.claim)
    _, heads, rows = one.table()
    figures = "".join(f"<tr>{cells_of(row)}</tr>" for row in (heads, *rows))
    opened = (
        f"<details><summary>{html_text(claim.sentence)}</summary><table>{figures}</table>"
        f"{one.html_below()}</details>"
    )
    cells = {
        f"{part:02d}{number:02d}": claim.id,
        "": opened,
        claim.kind: claim.kind,
        f"{WORDS.index(one.verdict)}": f"<b>{html_text(one.verdict)}</b>",
        f"n{claim.notebook}": html_text(claim.notebook),
    }
    shown = (f'<td data-k="{key}">{cell}</td>' for key, cell in cells.items())
    return f"<tr>{''.join(shown)}</tr>"


def cells_of(row: Sequence[object]) -> str:
    """The cells of a row of figures."""
    return "".join(f"<td>{html_text(value)}</td>" for value in row)


def settle(ids: Iterable[str] | None = None, *, dear: bool = False) -> Verdicts:
    """Measure claims by their ids now; all cheap ones where none are named, with `dear` all.

    Raises UserError for an unknown id.
    """
    if isinstance(ids, str):
        ids = [ids]
    if ids is None:
        chosen = [claim for claim in claims() if dear or not claim.dear]
    else:
        chosen = [find_claim(name) for name in ids]
    return Verdicts([claim.settle() for claim in chosen])


def recorded(path: Path | None = None) -> Verdicts:
    """The ledger as it was written last.

    Raises UserError for a file that is not there, for one whose rows are not the ledger's, and for
    a verdict that the figures beside it do not give.
    """
    path = path or data_path("claims.json")
    by_id = stored(path)
    ours = claims()
    if list(by_id) != [claim.id for claim in ours]:
        differ = sorted(by_id.keys() ^ {claim.id for claim in ours}) or ["their order"]
        raise UserError(
            f"{path.name} and the ledger differ in {', '.join(differ)}; write it again: "
            "python -m ftkit claims --write."
        )
    return Verdicts([from_json(claim, by_id[claim.id]) for claim in ours])


def stored(path: Path) -> dict[str, dict[str, Any]]:
    """{id: what the file has of it}."""
    if not path.is_file():
        raise UserError(f"there is no {path.name} yet; write it: python -m ftkit claims --write.")
    entries = json.loads(path.read_text(encoding="utf-8"))["claims"]
    return {entry["id"]: entry for entry in entries}


def write(ids: Iterable[str] | None = None, path: Path | None = None) -> Verdicts:
    """Measure claims, all or those named, and write them.

    Of the others the figures stay; their sentences and words are those of today's rows and rules.
    """
    path = path or data_path("claims.json")
    fresh = settle(ids, dear=True)
    kept = stored(path) if ids is not None and path.is_file() else {}
    rows = {name: again(find_claim(name), kept[name]) for name in kept if name in all_ids()}
    rows |= {one.claim.id: one for one in fresh.settled}
    ordered = Verdicts([rows[name] for name in all_ids() if name in rows]).json()
    lines = ",\n".join(json.dumps(one, ensure_ascii=False, allow_nan=False) for one in ordered)
    write_whole(path, f'{{"about": {json.dumps(ABOUT)},\n"claims": [\n{lines}\n]}}\n')
    return fresh


def all_ids() -> list[str]:
    """Every id, in the ledger's order."""
    return [claim.id for claim in claims()]


def as_json(one: Settled) -> dict[str, Any]:
    """A settled claim as plain data; seconds are left out, they differ every time."""
    claim = one.claim
    return {
        "id": claim.id,
        "sentence": claim.sentence,
        "kind": claim.kind,
        "sources": [source(guide) for guide in claim.sources],
        "quote": dict(claim.quote),
        "decides": claim.decides,
        "rule": claim.rule,
        "figures": [figure_as_json(figure) for figure in one.figures],
        "notebook": claim.notebook,
        "machine": dict(one.machine),
        "verdict": one.verdict,
    }


def figure_as_json(figure: Figure) -> dict[str, Any]:
    """A figure as plain data: only what it has; an end without end is the word "inf" or "-inf"."""
    told = {key: value for key, value in figure._asdict().items() if value not in (None, "")}
    return {key: plain(value) for key, value in told.items()}


def plain(value: Any) -> Any:
    """A number as JSON has it, with twelve digits; words for what is not finite."""
    if isinstance(value, tuple):
        return [plain(end) for end in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            return str(value)
        short = float(f"{value:.12g}")
        return int(short) if short.is_integer() and abs(short) < 1e15 else short
    return value


def figure_from_json(entry: Mapping[str, Any]) -> Figure:
    """The figure that `figure_as_json` wrote."""
    numbers = {
        key: float(entry[key]) for key in ("value", "low", "high") if entry.get(key) is not None
    }
    said = tuple(map(float, entry["said"])) if "said" in entry else None
    return Figure(**{**entry, **numbers, "said": said})


def again(claim: Claim, entry: Mapping[str, Any]) -> Settled:
    """What is recorded of a claim, judged again by its figures."""
    figures = tuple(figure_from_json(figure) for figure in entry["figures"])
    return Settled(claim, figures, claim.verdict(figures), entry["machine"], math.nan)


def from_json(claim: Claim, entry: Mapping[str, Any]) -> Settled:
    """What is recorded of a claim, its word held against its figures."""
    found = again(claim, entry)
    if found.verdict != entry["verdict"]:
        raise UserError(
            f"data/claims.json says {claim.id} {entry['verdict']!r}, and its figures say "
            f"{found.verdict!r}; write it again: python -m ftkit claims {claim.id} --write."
        )
    return found
