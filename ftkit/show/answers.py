"""TODO header of show.answers."""

import html
from collections.abc import Sequence

from .panel import Panel


def answers_view(prompt: str, gold: str, replies: dict[str, str]) -> str:
    """One prompt, the right answer, and what each model replied, as an HTML table; right replies
    are green, wrong ones red.
    """
    cell = "style='text-align:left;white-space:pre-wrap;font-family:monospace'"
    rows = [
        f"<tr><th>prompt</th><td {cell}>{html.escape(prompt)}</td></tr>",
        f"<tr><th>right answer</th><td {cell}>{html.escape(gold)}</td></tr>",
    ]
    for name, reply in replies.items():
        colour = "#2a7f4f" if reply == gold else "#b3263a"
        rows.append(
            f"<tr><th>{html.escape(name)}</th><td {cell}><span style='color:{colour}'>{html.escape(reply)}</span></td></tr>"
        )
    return f"<table>{''.join(rows)}</table>"


def explore_answers(
    test, replies: dict[str, Sequence[str]], rows: Sequence[int] | None = None
) -> Panel:
    """A slider over test rows: what each model answered. `replies` maps a model's name to its
    answers, in the test's order.
    """
    prompts = [m[-2]["content"] for m in test["messages"]]
    golds = [m[-1]["content"] for m in test["messages"]]

    def row_view(row: int) -> str:
        return answers_view(
            prompts[row], golds[row], {name: all_of[row] for name, all_of in replies.items()}
        )

    return Panel(row_view, row=list(rows if rows is not None else range(len(prompts))))
