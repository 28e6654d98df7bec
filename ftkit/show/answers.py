"""What the models said: one test row after another, behind a slider.

    explore_answers(test, replies)               a slider over the rows
    answers_view(prompt, gold, replies)          one of them, as a table

It shows answers that were given before; `evaluate.score` and `models.answer` ask for them, and
whether one is right beyond "the same text" is for `evaluate.score` to say. Seen in notebook 00.
"""

import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from .panel import Panel

if TYPE_CHECKING:
    from datasets import Dataset

RIGHT, WRONG = "#2a7f4f", "#b3263a"
CELL = "style='text-align:left;white-space:pre-wrap;font-family:monospace'"


def table_row(head: str, text: str, colour: str | None = None) -> str:
    """A row of an HTML table: a head, and text as it is, line ends and all."""
    body = html.escape(text)
    if colour:
        body = f"<span style='color:{colour}'>{body}</span>"
    return f"<tr><th>{html.escape(head)}</th><td {CELL}>{body}</td></tr>"


def answers_view(prompt: str, gold: str, replies: Mapping[str, str]) -> str:
    """One prompt, the right answer, and what each model replied, as an HTML table.

    replies: {model: reply}. A reply that is the right answer to the letter is green, others red.
    """
    rows = [table_row("prompt", prompt), table_row("right answer", gold)]
    for name, reply in replies.items():
        rows.append(table_row(name, reply, RIGHT if reply == gold else WRONG))
    return f"<table>{''.join(rows)}</table>"


def explore_answers(
    test: "Dataset | Mapping[str, Sequence]",
    replies: Mapping[str, Sequence[str]],
    rows: Sequence[int] | None = None,
) -> Panel:
    """A slider over test rows: what each model answered.

    test: rows of chats, each ending in a question and its right answer. replies: {model: its
    answers, in the test's order}. rows: the numbers of the rows to show, all of them by default.
    """
    prompts = [messages[-2]["content"] for messages in test["messages"]]
    golds = [messages[-1]["content"] for messages in test["messages"]]

    def row_view(row: int) -> str:
        here = {name: answers[row] for name, answers in replies.items()}
        return answers_view(prompts[row], golds[row], here)

    return Panel(row_view, row=list(rows if rows is not None else range(len(prompts))))
