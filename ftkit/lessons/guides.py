"""The guides' scripts against the libraries that are installed: which arguments does a call take?

    check_scripts()       every argument of the scripts with its verdict: a `ScriptReport`
    verdict(call, name)   taken, refused, or open where **kwargs would swallow any name

Nothing here states a verdict: data/guides.json holds names alone, and the installed signatures
decide. No script is run; what one trains is in `tools.bench` (notebook 07).
"""

import difflib
import importlib
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import Parameter
from typing import Any

from ..core.errors import UserError, nearest
from ..core.files import data_path
from ..core.results import Result, TableParts

TAKEN, OPEN, REFUSED = "taken", "open", "refused"
# The kinds of parameters that a call can give by name.
BY_NAME = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


@dataclass(frozen=True)
class Argument:
    """One argument that a guide passes, and what the installed signature says to it."""

    guide: str
    call: str  # the dotted name of a function or class, such as "trl.SFTConfig"
    name: str
    verdict: str  # TAKEN, OPEN or REFUSED
    instead: str  # "call name" of what does it today, "" where nothing is known


@dataclass(frozen=True, repr=False)
class ScriptReport(Result):
    """Every argument of the guides' scripts with its verdict."""

    arguments: list[Argument]

    def of(self, verdict: str) -> list[Argument]:
        """The arguments with this verdict."""
        return [argument for argument in self.arguments if argument.verdict == verdict]

    def table(self) -> TableParts:
        """One line per refused argument: guide, call, name, and what does it today."""
        refused = self.of(REFUSED)
        title = (
            f"{len(refused)} of {len(self.arguments)} arguments are refused; "
            f"{len(self.of(OPEN))} fall into **kwargs, which takes any name"
        )
        # without the library's name, which says nothing here
        rows = []
        for argument in refused:
            call = argument.call.split(".", 1)[1]
            today = argument.instead.split(".", 1)[-1] or "?"
            rows.append((argument.guide, call, argument.name, today))
        return title, ("guide", "call", "refused", "today"), rows


def scripts() -> dict:
    """data/guides.json: the arguments that the guides' scripts pass, and what replaces them.

    `calls[guide][call]` are names of arguments; `instead["call name"]` is "call name" of what does
    today what that argument did.
    """
    return json.loads(data_path("guides.json").read_text(encoding="utf-8"))


def find_callable(call: str) -> Callable[..., Any]:
    """The installed function or class by its dotted name, such as "trl.SFTConfig".

    Raises UserError where the library is not installed, or has no such name.
    """
    # the library, then a name inside it after the other
    library, *names = call.split(".")
    try:
        place: Any = importlib.import_module(library)
        for name in names:
            place = getattr(place, name)
    except ImportError as error:
        raise UserError(
            f"{library} is not installed, so {call} can't be looked at; install it, or look at "
            "another call."
        ) from error
    except AttributeError as error:
        known = dir(importlib.import_module(library))
        raise UserError(
            f"{library} has no {'.'.join(names)!r}.{nearest(names[0], known)}"
        ) from error
    return place


def verdict(call: str, name: str) -> str:
    """What the installed signature of `call` says to an argument.

    TAKEN where it names it, OPEN where it ends in **kwargs, which takes any name, else REFUSED.
    """
    known = inspect.signature(find_callable(call)).parameters
    if name in known and known[name].kind in BY_NAME:
        return TAKEN
    kinds = [parameter.kind for parameter in known.values()]
    return OPEN if Parameter.VAR_KEYWORD in kinds else REFUSED


def replacement(call: str, name: str, instead: Mapping[str, str]) -> str:
    """What does it today, as "call name"; "" where nothing is known.

    The known cure, if a signature takes it, else the call's own nearest spelling.
    """
    cure = instead.get(f"{call} {name}", "")
    if cure and verdict(*cure.split()) != REFUSED:
        return cure
    known = inspect.signature(find_callable(call)).parameters
    close = difflib.get_close_matches(name, known, n=1)
    return f"{call} {close[0]}" if close else ""


def check_scripts(stated: Mapping | None = None) -> ScriptReport:
    """Hold every argument of the guides' scripts against the installed signatures.

    stated: what `scripts()` gives, by default.
    """
    stated = stated or scripts()
    arguments = []
    for guide, calls in stated["calls"].items():
        for call, names in calls.items():
            for name in names:
                answer = verdict(call, name)
                cure = "" if answer == TAKEN else replacement(call, name, stated["instead"])
                arguments.append(Argument(guide, call, name, answer, cure))
    return ScriptReport(arguments)
