"""The proof of a sentence, one fold away: a notebook's claims, each a sentence and its truth.

    claims({sentence: truth}, pocket={…})   all of them tried at once: `Checked`, or `ClaimError`

Claims hold on every model. Those of the pocket model alone stop the run there; on another model
they are only tried, and told with how they came out. Unlike an assert, a claim is no statement that
`python -O` leaves out. What a reader answers is not tried here (`check`). Met from notebook 00 on.
"""

import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeGuard

from ..core.errors import UserError
from ..core.results import html_text
from ..core.session import chosen_model

Truth = object  # a bool, one of numpy's or torch's, or a function without arguments that gives one
# How a claim of the pocket model comes out on another one.
SAME = "✓ as with the pocket model"
OTHER = "✗ unlike the pocket model"
UNASKED = "– cannot be asked of this model"
EXAMPLE = 'claims({"the loss falls": last < first})'


class ClaimError(AssertionError):
    """Claims that do not hold, named in one sentence."""


@dataclass(frozen=True, repr=False)
class Checked:
    """Claims that were tried: the sentences that hold, and how the pocket model's came out here.

    told: on another model, {sentence: "✓ …", "✗ …" or "– …"} of the pocket model's claims.
    """

    sentences: tuple[str, ...]
    told: Mapping[str, str]

    @property
    def head(self) -> str:
        """How many hold, or where none had to, how many were tried."""
        if self.told and not self.sentences:
            return f"{len(self.told)} of the pocket model's tried"
        return f"✓ {len(self.sentences)} checked"

    def __repr__(self) -> str:
        told = [f"{outcome}: {sentence}" for sentence, outcome in self.told.items()]
        return "\n".join([self.head, *told])

    def _repr_html_(self) -> str:
        # what holds is folded away, what another model was found to do is not
        items = "".join(f"<li>{html_text(sentence)}</li>" for sentence in self.sentences)
        told = "".join(
            f"<div>{html.escape(outcome)}: {html_text(sentence)}</div>"
            for sentence, outcome in self.told.items()
        )
        fold = f"<details><summary>{self.head}</summary><ul>{items}</ul></details>"
        return (fold if items else f"<div>{self.head}</div>") + told


def claims(
    always: Mapping[str, Truth] | None = None, *, pocket: Mapping[str, Truth] | None = None
) -> Checked:
    """Try every claim; raises `ClaimError` that names all that do not hold.

    always: {sentence: truth} of what holds on every model. pocket: the same of the pocket model
    alone; on another model (`chosen_model`) they never stop the run. A truth is a bool, numpy's and
    torch's too, or a function that gives one, for what another model can't even be asked. Raises
    UserError for a truth that is no bool, for a sentence given twice, and where there is no claim.
    """
    always = check_sentences("the first argument", always)
    pocket = check_sentences("pocket", pocket)
    if both := always.keys() & pocket.keys():
        raise UserError(f"{min(both)!r} is claimed twice; of the pocket model alone, or of all?")
    if not always | pocket:
        raise UserError(f"there is no claim to check; give one, such as {EXAMPLE}.")
    here = chosen_model() == "pocket"
    # all of them, so that the error names each that fails
    due = always | pocket if here else always
    failed = {}
    for sentence, truth in due.items():
        if (fault := find_fault(sentence, truth)) is not None:
            failed[sentence] = fault
    if failed:
        raise ClaimError(failure(failed, len(due))) from next(iter(failed.values()))
    told = {} if here else {sentence: try_here(sentence, pocket[sentence]) for sentence in pocket}
    return Checked(tuple(due), told)


def check_sentences(what: str, given: Mapping[str, Truth] | None) -> dict[str, Truth]:
    """The claims as a dict; UserError for what is no {sentence: truth}."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        kind = type(given).__name__
        raise UserError(f"{what} of claims is of type {kind}; give {{sentence: truth}}: {EXAMPLE}.")
    for sentence in given:
        if not isinstance(sentence, str) or not sentence.strip():
            raise UserError(f"a claim is called {sentence!r}; give it a sentence: {EXAMPLE}.")
    return dict(given)


def is_true(sentence: str, value: object) -> bool:
    """A claim's value as a bool, numpy's and torch's too; UserError for a value that is none."""
    shape = getattr(value, "shape", None)
    if shape == () and hasattr(value, "item"):
        value = value.item()  # type: ignore # it was just asked for
    if isinstance(value, bool):
        return value
    # what people give instead
    cure = "add .all() or .any()" if shape else "write what has to hold, such as `low > 0`"
    found = f"{type(value).__name__} of shape {tuple(shape)}" if shape else repr(value)
    raise UserError(f"the claim {sentence!r} is {found:.80}, neither True nor False; {cure}.")


def is_question(truth: Truth) -> TypeGuard[Callable[[], Truth]]:
    """Whether a truth is a function, to be asked only now."""
    return callable(truth) and not hasattr(truth, "shape")


def find_fault(sentence: str, truth: Truth) -> Exception | None:
    """None where a claim holds, else what its function raised, or an AssertionError."""
    try:
        value = truth() if is_question(truth) else truth
    except Exception as error:
        # whatever a line of a notebook can raise: a skill that another model is not asked for, say
        return error
    return None if is_true(sentence, value) else AssertionError(sentence)


def failure(failed: Mapping[str, Exception], count: int) -> str:
    """The sentence of a `ClaimError`: how many of `count` claims do not hold, and which."""
    does = "does" if len(failed) == 1 else "do"
    named = []
    for sentence, fault in failed.items():
        raised = type(fault) is not AssertionError
        named.append(f"{sentence} ({type(fault).__name__}: {fault})" if raised else sentence)
    claimed = "claim" if count == 1 else "claims"
    return f"{len(failed)} of {count} {claimed} {does} not hold: {'; '.join(named)}"


def try_here(sentence: str, truth: Truth) -> str:
    """How a claim of the pocket model comes out on another model."""
    fault = find_fault(sentence, truth)
    if fault is None:
        return SAME
    return OTHER if type(fault) is AssertionError else f"{UNASKED}, {type(fault).__name__}"
