"""The guides' scripts against the libraries that are installed: which of their arguments a call
still takes, and what replaces the others.

Nothing here states a verdict: data/guides.json holds names alone, and the installed signatures
decide.
"""

import difflib
import importlib
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..core.errors import UserError, nearest
from ..core.files import data_path
from ..core.results import Result

TAKEN, OPEN, REFUSED = "taken", "open", "refused"


@dataclass(frozen=True)
class Argument:
    """One argument that a guide passes: `verdict` is taken, refused, or open where **kwargs would
    swallow any name.
    """

    guide: str
    call: str
    name: str
    verdict: str
    instead: str  # "call name" of what does it today, "" where nothing is known


@dataclass(frozen=True, repr=False)
class ScriptReport(Result):
    """Every argument of the guides' scripts with its verdict."""

    arguments: list[Argument]

    def of(self, verdict: str) -> list[Argument]:
        """The arguments with this verdict."""
        return [a for a in self.arguments if a.verdict == verdict]

    def table(self):
        """One line for each refused argument."""
        refused = self.of(REFUSED)
        title = f"{len(refused)} of {len(self.arguments)} arguments are refused; {len(self.of(OPEN))} fall into **kwargs, which takes any name"
        rows = [
            (a.guide, a.call.split(".", 1)[1], a.name, a.instead.split(".", 1)[-1] or "?")
            for a in refused
        ]
        return title, ("guide", "call", "refused", "today"), rows


def scripts() -> dict:
    """data/guides.json: `calls[guide][call]` are argument names, `instead` what does today what an
    argument did.
    """
    return json.loads(data_path("guides.json").read_text(encoding="utf-8"))


def find(call: str) -> Callable:
    """The installed function or class by its dotted name, such as "trl.SFTConfig"."""
    library, *names = call.split(".")
    try:
        found = importlib.import_module(library)
        for name in names:
            found = getattr(found, name)
    except ImportError as error:
        raise UserError(
            f"{library} is not installed, so {call} can't be looked at; install it, or look at another call."
        ) from error
    except AttributeError as error:
        raise UserError(
            f"{library} has no {'.'.join(names)!r}.{nearest(names[0], dir(importlib.import_module(library)))}"
        ) from error
    return found


def verdict(call: str, name: str) -> str:
    """What the installed signature of `call` says to an argument: taken, refused, or open (it ends
    in **kwargs).
    """
    known = inspect.signature(find(call)).parameters
    if name in known and known[name].kind is not inspect.Parameter.VAR_KEYWORD:
        return TAKEN
    return OPEN if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in known.values()) else REFUSED


def replacement(call: str, name: str, instead: Mapping[str, str]) -> str:
    """What does it today, as "call name": the known cure, if a signature takes it, else the call's
    own nearest spelling, else nothing.
    """
    cure = instead.get(f"{call} {name}", "")
    if cure and verdict(*cure.split()) != REFUSED:
        return cure
    close = difflib.get_close_matches(name, inspect.signature(find(call)).parameters, n=1)
    return f"{call} {close[0]}" if close else ""


def check_scripts(stated: Mapping | None = None) -> ScriptReport:
    """Hold every argument of the guides' scripts against the installed signatures; `stated` as
    `scripts()` gives it.
    """
    stated = stated or scripts()
    found = []
    for guide, calls in stated["calls"].items():
        for call, names in calls.items():
            for name in names:
                said = verdict(call, name)
                found.append(
                    Argument(
                        guide,
                        call,
                        name,
                        said,
                        "" if said == TAKEN else replacement(call, name, stated["instead"]),
                    )
                )
    return ScriptReport(found)
