"""The verbs `decide` and `claims`: a recommendation, and what the guides say, weighed.

    decide    prompt, retrieve or tune, why, and what would change it    decide.choose
    claims    every claim of the guides with its computed verdict        verdicts.recorded, settle

`decide` loads no model and trains nothing: the rules and the defaults are `ftkit.decide`'s. What
arms do on rows of your own, `decide.compare_arms` measures in Python. Claims are shown as they were
written last, unless they are to be measured. Notebooks 06 and 17.
"""

from typing import Annotated

import typer

from .. import decide as deciding
from .. import verdicts
from ..decide import QUESTIONS, Situation
from .app import Json, app, one_sentence, say, show


def ask(name: str) -> typer.models.OptionInfo:
    """The option of a question, with the question as its help."""
    question = QUESTIONS[name]
    return typer.Option(help=f"{question[0].upper()}{question[1:]}.")


@app.command()
def decide(
    lacks: Annotated[str, ask("lacks")] = Situation.lacks,
    prompted: Annotated[str, ask("prompted")] = Situation.prompted,
    rows: Annotated[int, ask("rows")] = Situation.rows,
    facts_change: Annotated[str, ask("facts_change")] = Situation.facts_change,
    cites: Annotated[bool, ask("cites")] = Situation.cites,
    behaviour_changes: Annotated[bool, ask("behaviour_changes")] = Situation.behaviour_changes,
    tests: Annotated[bool, ask("tests")] = Situation.tests,
    calls: Annotated[int, ask("calls")] = Situation.calls,
    prompt_tokens: Annotated[int, ask("prompt_tokens")] = Situation.prompt_tokens,
    latency: Annotated[str, ask("latency")] = Situation.latency,
    private: Annotated[bool, ask("private")] = Situation.private,
    as_json: Json = False,
) -> None:
    """Recommend: prompt, retrieve or tune, with reasons and what would change it."""
    with one_sentence():
        found = deciding.choose(
            lacks=lacks,
            prompted=prompted,
            rows=rows,
            facts_change=facts_change,
            cites=cites,
            behaviour_changes=behaviour_changes,
            tests=tests,
            calls=calls,
            prompt_tokens=prompt_tokens,
            latency=latency,
            private=private,
        )
        show(found, as_json, found.json())


Ids = Annotated[list[str] | None, typer.Argument(help="Rows, such as L2 and Q5; all by default.")]
Again = Annotated[
    bool,
    typer.Option(
        "--again",
        help="Measure now: named rows also where that takes minutes, else the quick ones.",
    ),
]
Write = Annotated[
    bool, typer.Option("--write", help="Measure now, and write data/claims.json; some minutes.")
]


@app.command()
def claims(
    ids: Ids = None, again: Again = False, write: Write = False, as_json: Json = False
) -> None:
    """Show what the guides claim, with a computed verdict: all rows, or those named in full.

    Kinds: C is counted, M is measured, X is where guides conflict, R is only reported.

    holds, fails: counted, so it is so everywhere.

    holds here, fails here: measured on the models that come with the kit.

    depends: on a setting, which the figures name.

    conflict settled: guides differ, and some are right.

    cannot be told: an interval covers the bound.

    unverified: only reported, or not reached.

    In figures, "A less B" is A − B.
    """
    with one_sentence():
        for name in ids or []:
            verdicts.find_claim(name)
        if again or write:
            say("measuring")
        if write:
            found = verdicts.write(ids)
        else:
            found = verdicts.settle(ids) if again else verdicts.recorded()
        # those that were asked for are told in full
        chosen = [found[name] for name in ids or []] or found.settled
        told = "\n\n".join(map(str, chosen)) if ids else found
        show(told, as_json, {"claims": verdicts.Verdicts(chosen).json()})
