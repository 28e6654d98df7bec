"""What the models said: one test row after another, behind a slider.

    explore_answers(test, replies)               a slider over the rows
    answers_view(prompt, gold, replies)          one of them, as a table

It shows answers that were given before; `evaluate.score` and `models.answer` ask for them, and
whether one is right beyond "the same text" is for `evaluate.score` to say. Seen in notebook 00.
"""

import html
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..core.errors import UserError
from .panel import Panel

if TYPE_CHECKING:
    from datasets import Dataset

# How a reply is judged: in words, and in a colour on which white letters can be read; the reply
# itself keeps the page's own colours, light or dark.
RIGHT, WRONG, NO_JSON = ("right", "#1e7145"), ("wrong", "#b3263a"), ("not JSON", "#7a4a00")
CELL = "style='text-align:left;white-space:pre-wrap;font-family:monospace'"


def table_row(head: str, text: str, verdict: tuple[str, str] | None = None) -> str:
    """A row of an HTML table: a head, a verdict or none, and text as it is, line ends and all."""
    said = ""
    if verdict:
        look = "color:#fff;border-radius:3px;padding:1px 6px;white-space:nowrap"
        said = f"<span style='background:{verdict[1]};{look}'>{verdict[0]}</span>"
    body = html.escape(text)
    return f"<tr><th>{html.escape(head)}</th><td {CELL}>{said}</td><td {CELL}>{body}</td></tr>"


def judge(reply: str, gold: str) -> tuple[str, str]:
    """The verdict on a reply: right to the letter, wrong, or no JSON where the right one is.

    "7" is JSON too, so that only a right answer in brackets asks for it.
    """
    if reply == gold:
        return RIGHT
    if gold.lstrip().startswith(("{", "[")):
        try:
            json.loads(reply)
        except ValueError:
            return NO_JSON
    return WRONG


def answers_view(prompt: str, gold: str, replies: Mapping[str, str]) -> str:
    """One prompt, the right answer, and what each model replied, as an HTML table.

    replies: {model: reply}. Beside each stands in words whether it is the right answer to the
    letter, and where that is JSON, whether it is JSON at all.
    """
    rows = [table_row("prompt", prompt), table_row("right answer", gold)]
    for name, reply in replies.items():
        rows.append(table_row(name, reply, judge(reply, gold)))
    return f"<table>{''.join(rows)}</table>"


def explore_answers(
    test: "Dataset | Mapping[str, Sequence]",
    replies: Mapping[str, Sequence[str]],
    rows: Sequence[int] | None = None,
) -> Panel:
    """A slider over test rows: what each model answered.

    test: rows of chats, each ending in a question and its right answer. replies: {model: its
    answers, in the test's order}. rows: the numbers of the rows to show, all of them by default.
    Raises UserError for replies to more or fewer rows.
    """
    # an answer that is left out would move all those behind it
    asked = len(test["messages"])
    for name, given in replies.items():
        if len(given) != asked:
            raise UserError(f"{name!r} has {len(given)} replies to {asked} rows; give one per row.")
    prompts = [messages[-2]["content"] for messages in test["messages"]]
    golds = [messages[-1]["content"] for messages in test["messages"]]

    def row_view(row: int) -> str:
        here = {name: answers[row] for name, answers in replies.items()}
        return answers_view(prompts[row], golds[row], here)

    offered = list(rows if rows is not None else range(len(prompts)))
    title, call = "What the models answered", "show.explore_answers(test, replies)"
    return Panel(row_view, title=title, call=call, row=offered)
