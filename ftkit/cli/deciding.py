"""The verb `decide`: a situation in options, a recommendation out.

    decide    prompt, retrieve or tune, why, and what would change it    decide.choose

It loads no model and trains nothing: the rules are `ftkit.decide`'s, and so are the defaults, which
decide nothing. What the arms do on rows of your own, `decide.compare_arms` measures in Python.
Taught in notebook 06.
"""

from typing import Annotated

import typer

from .. import decide as deciding
from ..decide import QUESTIONS, Situation
from .app import Json, app, one_sentence, show


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
