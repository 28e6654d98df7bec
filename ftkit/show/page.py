"""A panel as one file: every position drawn beforehand, read by any browser without a kernel.

    save_page(path, content, only)     write the page, or say which choices it cannot hold
    read_pictures(path)                every picture that such a page holds

All views are taken apart at their tags, and equal parts are stored once and compressed, so that
hundreds of pictures need less than one photograph. The page itself is `page.html`: controls in
plain HTML, which follow the rules of `controls`, no address outside the file. A panel calls this
(`panel.save`); `tools.save_explorers` writes the kit's own.
"""

import base64
import gzip
import html
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any

from ..core.errors import UserError, nearest
from ..core.files import write_whole
from ..core.versions import version_of
from .controls import Ticks, label_values, offered_by, stand_in
from .svg import Drawing

MOST_POSITIONS = 20_000
MOST_BYTES = 2_000_000
PIECE = re.compile(r"<[^>]*>[^<]*|[^<]+")  # a tag with the words behind it


@dataclass(frozen=True)
class Content:
    """What a page holds: a view, its controls, and what earlier ones leave to later ones."""

    view: Callable[..., str | Drawing]
    controls: Mapping[str, Any]
    narrowing: Mapping[str, Callable[..., Sequence]]
    title: str = ""
    call: str = ""

    def offered(self, name: str, before: Mapping[str, Any], only: Mapping[str, list]) -> list:
        """What a control offers after these choices, of what the page is to hold."""
        if name in self.narrowing:
            values = list(self.narrowing[name](**before))
        elif name in only and not isinstance(self.controls[name], Ticks):
            values = offered_or(self.controls[name], only[name])
        else:
            values = only[name] if name in only else offered_by(self.controls[name])
        return [value for value in values if name not in only or value in only[name]]


def offered_or(control: Any, values: list) -> list:
    """What a control offers; of one without a list of values, what the page is to hold."""
    endless = not hasattr(control, "options") and not isinstance(control.value, bool | int)
    return values if endless else offered_by(control)


@dataclass
class Pictures:
    """All views, each as the numbers of its parts; an equal part has one number, an equal view too.

    most: the longest text that was drawn, for a first guess at the page's size.
    """

    parts: dict[str, int] = field(default_factory=dict)
    views: dict[tuple[int, ...], int] = field(default_factory=dict)

    def add(self, shown: str) -> int:
        """The number of a view."""
        pieces = PIECE.findall(shown)
        numbers = tuple(self.parts.setdefault(piece, len(self.parts)) for piece in pieces)
        return self.views.setdefault(numbers, len(self.views))

    def stored(self) -> dict[str, list]:
        """Parts and views for the page; parts in order of their text, which packs best."""
        order = sorted(self.parts)
        place = {self.parts[piece]: at for at, piece in enumerate(order)}
        views = [[place[number] for number in numbers] for numbers in self.views]
        return {"parts": order, "views": views}


@dataclass
class Tree:
    """The positions as a tree: each knot the number of its options and what follows each of them.

    seen: {name: all values that it offers somewhere}.
    """

    content: Content
    only: Mapping[str, list]
    pictures: Pictures = field(default_factory=Pictures)
    options: dict[str, int] = field(default_factory=dict)
    seen: dict[str, list] = field(default_factory=dict)

    def grow(self, before: Mapping[str, Any]) -> Any:
        """The knot after these choices; a picture's number at the end, None where nothing is."""
        names = list(self.content.controls)
        if len(before) == len(names):
            return self.pictures.add(draw(self.content.view, before))
        name = names[len(before)]
        values, knots = [], []
        for value in self.content.offered(name, before, self.only):
            knot = self.grow({**before, name: value})
            if knot is not None:
                values.append(value)
                knots.append(knot)
        if not values:
            return None
        known = self.seen.setdefault(name, [])
        known += [value for value in values if value not in known]
        return [self.number_of(values), knots]

    def number_of(self, values: list) -> int:
        """The number of a list of options."""
        listed = json.dumps([[label, plain(value)] for label, value in labelled(values)])
        return self.options.setdefault(listed, len(self.options))


def labelled(values: list) -> list[tuple[str, object]]:
    """(label, value) of each value; several ticked names are written with commas."""
    pairs = []
    for value in values:
        if isinstance(value, list):
            pairs.append((", ".join(value) or "none", value))
        else:
            pairs += label_values([value])
    return pairs


def plain(value: object) -> object:
    """A value as the page compares it: a number or text."""
    if isinstance(value, list):
        return "\n".join(value)
    return value if isinstance(value, int | float | str) else str(value)


def draw(view: Callable[..., str | Drawing], chosen: Mapping[str, Any]) -> str:
    """A view as HTML; one that refuses what is chosen is its sentence."""
    try:
        shown = view(**chosen)
    except UserError as error:
        return f"<p>{html.escape(str(error))}</p>"
    return shown.svg if isinstance(shown, Drawing) else shown


def count_positions(content: Content, only: Mapping[str, list]) -> int:
    """How many positions all controls have together, drawn or not."""
    names = list(content.controls)
    dependent = [at for at, name in enumerate(names) if name in content.narrowing]
    walked = max(dependent, default=-1) + 1  # behind them, all offer the same everywhere
    same = math.prod(len(content.offered(name, {}, only)) for name in names[walked:])

    def walk(before: Mapping[str, Any]) -> int:
        if len(before) == walked:
            return same
        name = names[len(before)]
        values = content.offered(name, before, only)
        return sum(walk({**before, name: value}) for value in values)

    return walk({})


def check_only(content: Content, only: Mapping[str, object]) -> dict[str, list]:
    """The values that the page is to hold, as lists; UserError for a control that is not there."""
    lists = {}
    for name, given in only.items():
        if name not in content.controls:
            known = list(content.controls)
            raise UserError(
                f"there is no control {name!r} to choose for; there are {', '.join(known)}."
                f"{nearest(name, known)}"
            )
        values = list(given) if isinstance(given, list | tuple | range | set) else [given]
        control = content.controls[name]
        if isinstance(control, Ticks):
            # one choice of names, or several
            several = values if not all(isinstance(v, str) for v in values) else [values]
            values = [ticked_names(control, names) for names in several]
        if not values:
            raise UserError(f"{name} has no value to keep; give at least one.")
        lists[name] = values
    return lists


def ticked_names(control: Ticks, names: Any) -> list[str]:
    """Names of boxes, in the boxes' order."""
    known = list(control.boxes)
    for name in names:
        if name not in known:
            raise UserError(
                f"there is no box {name!r} to tick; there are {', '.join(known)}."
                f"{nearest(name, known)}"
            )
    return [name for name in known if name in names]


def choices_to_make(content: Content, only: Mapping[str, list], most: int) -> dict[str, list]:
    """What to keep of the controls so that at most so many positions are left, near what stands."""
    kept: dict[str, list] = {}
    while count_positions(content, {**only, **kept}) > most:
        # one control held where it stands: what leaves most and still fits, else what helps most
        tried = {}
        for name, control in content.controls.items():
            if name not in kept and len(only.get(name, "ab")) > 1:
                held = {**only, **kept, name: [control.value]}
                if left := count_positions(content, held):
                    tried[name] = left
        if not tried:
            break
        fitting = {name: left for name, left in tried.items() if left <= most}
        best = (
            max(fitting, key=fitting.__getitem__) if fitting else min(tried, key=tried.__getitem__)
        )
        kept[best] = [content.controls[best].value]
    return kept


def too_many(path: Path, content: Content, only: Mapping[str, list], what: str, most: int) -> str:
    """The sentence on a page that would be too large, with a call that is not."""
    kept = {**only, **choices_to_make(content, only, most)}
    arguments = "".join(f", {name}={values!r}" for name, values in kept.items())
    return f"{what}; keep some values of a control, as in panel.save({path.name!r}{arguments})."


def save_page(path: Path, content: Content, only: Mapping[str, object]) -> Path:
    """Write a page with every position of these controls; the path. See `Panel.save`."""
    # what it is to hold, and whether that is too much to be drawn
    kept = check_only(content, only)
    count = count_positions(content, kept)
    if count > MOST_POSITIONS:
        what = f"the panel has {count:,} positions, and a page holds {MOST_POSITIONS:,}"
        raise UserError(too_many(path, content, kept, what, MOST_POSITIONS))
    if not path.parent.is_dir():
        raise UserError(f"there is no folder {path.parent} to write {path.name} into; make it.")

    # every position drawn, and what was asked for and is nowhere offered
    tree = Tree(content, kept)
    root = tree.grow({})
    for name, values in kept.items():
        for value in values:
            if value not in tree.seen.get(name, []):
                raise UserError(not_kept(content, name, value))

    # written whole, or not at all
    text = fill_page(path, content, tree, root, count)
    if len(text) > MOST_BYTES:
        size = f"{len(text) / 1e6:.1f} MB"
        what = f"the page's {count:,} pictures would take {size}, and 2 MB is the most"
        fits = int(0.85 * count * MOST_BYTES / len(text))
        raise UserError(too_many(path, content, kept, what, fits))
    write_whole(path, text)
    return path


def not_kept(content: Content, name: str, value: object) -> str:
    """The sentence on a value that was asked for and is nowhere offered."""
    everywhere = offered_everywhere(content, name)
    if value in everywhere:
        return f"{name}={value!r} is not offered with the other values that are kept."
    return (
        f"{name}={value!r} is not offered; there is "
        f"{', '.join(label for label, _ in labelled(everywhere))}."
    )


def offered_everywhere(content: Content, name: str) -> list:
    """All values that a control offers after any choice of those before it."""
    names, found = list(content.controls), []

    def walk(before: Mapping[str, Any]) -> None:
        at = names[len(before)]
        values = content.offered(at, before, {})
        if at == name:
            found.extend(value for value in values if value not in found)
            return
        for value in values:
            walk({**before, at: value})

    walk({})
    return found


def fill_page(path: Path, content: Content, tree: Tree, root: Any, count: int) -> str:
    """The page's text: its first picture as it is, all others packed."""
    # where the controls begin: as near to where they stand as what is kept allows
    start, knot = [], root
    options = [json.loads(listed) for listed in tree.options]
    for control in content.controls.values():
        values = [value for _, value in options[knot[0]]]
        start.append(stand_in(plain(control.value), values))
        knot = knot[1][values.index(start[-1])]
    pictures = tree.pictures.stored()
    first = "".join(pictures["parts"][number] for number in pictures["views"][knot])

    # all of it as JSON, packed
    controls = [describe(name, content, tree) for name in content.controls]
    data = {"controls": controls, "options": options, "start": start, "tree": root, **pictures}
    packed = json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode()
    title = content.title or content.view.__name__.replace("_", " ").strip("<>")
    fixed = [f"{name} = {labelled(v)[0][0]}" for name, v in tree.seen.items() if len(v) == 1]
    call = content.call or "panel"
    return Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8")).substitute(
        title=html.escape(title),
        first=first,
        count=f"{count:,}",
        fixed=html.escape(f"Held: {', '.join(fixed)}. " if fixed else ""),
        source=html.escape(f"ftkit {version_of('ftkit')} · {call}.save({path.name!r})"),
        data=base64.b64encode(gzip.compress(packed, 9, mtime=0)).decode("ascii"),
    )


def describe(name: str, content: Content, tree: Tree) -> dict[str, Any]:
    """A control for the page: its name and kind, "" where it has one position only."""
    control, values = content.controls[name], tree.seen[name]
    if len(values) == 1:
        return {"name": name, "kind": ""}
    if isinstance(control, Ticks) and name not in tree.only:
        presets = [[label, list(names)] for label, names in control.usual.items()]
        return {"name": name, "kind": "ticks", "boxes": list(control.boxes), "presets": presets}
    if values == [False, True]:
        return {"name": name, "kind": "box"}
    return {"name": name, "kind": "menu" if isinstance(values[0], str | list) else "slider"}


def read_pictures(path: Path) -> frozenset[str]:
    """Every picture that a saved page holds, as HTML."""
    packed = re.search(r'id="data">([^<]*)<', path.read_text(encoding="utf-8"))
    data = json.loads(gzip.decompress(base64.b64decode(packed[1]))) if packed else {"views": []}
    return frozenset("".join(data["parts"][at] for at in view) for view in data["views"])
