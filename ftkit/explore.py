"""Widgets: core ipywidgets only, so JupyterLab, Colab, VS Code and Voilà show them.

A view is a pure function of its choices that returns HTML; a `Panel` puts sliders in front of it. Moving a slider only
calls the view. Without a kernel, or where no widget can be shown, the first view stays visible as plain HTML.
"""

import html
from collections.abc import Callable, Sequence


class Panel:
    """Sliders in front of a view: `Panel(view, row=[0, 1, 2])` shows view(row=0) and redraws as the slider moves.

    `.controls` holds the widgets by name, `.html` the current picture, `.box` the whole widget.
    """

    def __init__(self, view: Callable[..., str], **choices: Sequence):
        import ipywidgets

        self.view = view
        self.controls = {
            name: ipywidgets.SelectionSlider(
                options=list(values), description=name, continuous_update=True, layout=ipywidgets.Layout(width="420px")
            )
            for name, values in choices.items()
        }
        self.picture = ipywidgets.HTML(self.current())
        for name, control in self.controls.items():
            control.add_class(f"ft-{name}")
            control.observe(self.redraw, "value")
        self.picture.add_class("ft-view")
        self.box = ipywidgets.VBox([*self.controls.values(), self.picture])

    def current(self) -> str:
        """The view at the present choices."""
        return self.view(**{name: control.value for name, control in self.controls.items()})

    def redraw(self, _change: object = None) -> None:
        """Show the view at the present choices."""
        self.picture.value = self.current()

    @property
    def html(self) -> str:
        """What is shown now."""
        return self.picture.value

    def __repr__(self) -> str:
        chosen = ", ".join(f"{name}={control.value!r}" for name, control in self.controls.items())
        return f"Panel({self.view.__name__}: {chosen})"

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        widget = {"version_major": 2, "version_minor": 0, "model_id": self.box.model_id}
        return {"text/plain": repr(self), "text/html": self.html, "application/vnd.jupyter.widget-view+json": widget}


def answers_view(prompt: str, gold: str, replies: dict[str, str]) -> str:
    """One prompt, the right answer, and what each model replied, as an HTML table; right replies are green, wrong ones red."""
    cell = "style='text-align:left;white-space:pre-wrap;font-family:monospace'"
    rows = [
        f"<tr><th>prompt</th><td {cell}>{html.escape(prompt)}</td></tr>",
        f"<tr><th>right answer</th><td {cell}>{html.escape(gold)}</td></tr>",
    ]
    for name, reply in replies.items():
        colour = "#2a7f4f" if reply == gold else "#b3263a"
        rows.append(f"<tr><th>{html.escape(name)}</th><td {cell}><span style='color:{colour}'>{html.escape(reply)}</span></td></tr>")
    return f"<table>{''.join(rows)}</table>"


def answers(test, replies: dict[str, Sequence[str]], rows: Sequence[int] | None = None) -> Panel:
    """A slider over test rows: what each model answered. `replies` maps a model's name to its answers, in the test's order."""
    prompts = [m[-2]["content"] for m in test["messages"]]
    golds = [m[-1]["content"] for m in test["messages"]]

    def row_view(row: int) -> str:
        return answers_view(prompts[row], golds[row], {name: all_of[row] for name, all_of in replies.items()})

    return Panel(row_view, row=list(rows if rows is not None else range(len(prompts))))
