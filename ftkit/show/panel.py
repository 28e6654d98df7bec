"""Controls in front of a view: core ipywidgets only, so JupyterLab, Colab, VS Code and Voilà show
them.

A view is a pure function of its choices that returns HTML or a `Drawing`; a `Panel` puts controls
in front of it. Moving a control only calls the view, in a few milliseconds. Without a kernel, or
where no widget can be shown, the first view stays visible as a plain picture.
"""

import threading
from collections.abc import Callable, Mapping, Sequence

from .svg import Drawing


class Ticks:
    """Check boxes with buttons for usual choices; `.value` is the list of ticked names, in order,
    and can be set.
    """

    def __init__(
        self, ticked: Mapping[str, bool], presets: Mapping[str, Sequence[str]] | None = None
    ):
        import ipywidgets

        self.changed: list[Callable] = []
        self.setting = False
        fits = ipywidgets.Layout(width="auto", margin="0 16px 0 0")
        self.boxes = {
            n: ipywidgets.Checkbox(on, description=n, indent=False, layout=fits)
            for n, on in ticked.items()
        }
        self.presets = {
            label: ipywidgets.Button(description=label, layout=fits) for label in presets or {}
        }
        for name, tick in self.boxes.items():
            tick.add_class(f"ft-{name}")
            tick.observe(self.tell, "value")
        for label, button in self.presets.items():
            button.on_click(lambda _, names=presets[label]: setattr(self, "value", names))
        rows = [list(self.presets.values()), list(self.boxes.values())]
        self.box = ipywidgets.VBox(
            [
                ipywidgets.HBox(row, layout=ipywidgets.Layout(flex_flow="row wrap"))
                for row in rows
                if row
            ]
        )

    @property
    def value(self) -> list[str]:
        """The ticked names."""
        return [name for name, tick in self.boxes.items() if tick.value]

    @value.setter
    def value(self, names: Sequence[str]) -> None:
        """Tick these names and no others; observers are called once."""
        if unknown := [n for n in names if n not in self.boxes]:
            raise ValueError(
                f"there is no box {unknown[0]!r} to tick; there are {', '.join(self.boxes)}."
            )
        self.setting = True
        try:
            for name, tick in self.boxes.items():
                tick.value = name in names
        finally:
            self.setting = False
        self.tell()

    def tell(self, change: object = None) -> None:
        """Call whoever observes, once for a whole preset."""
        if not self.setting:
            for callback in self.changed:
                callback(change)

    def observe(self, callback: Callable, _name: str) -> None:
        """Call back when `.value` changes, as an ipywidget does."""
        self.changed.append(callback)

    def add_class(self, name: str) -> None:
        """Mark the whole group, as an ipywidget does."""
        self.box.add_class(name)


def labelled(values: Sequence) -> list[tuple[str, object]]:
    """(what is written on the control, value) of each value."""
    return [(f"{v:g}" if isinstance(v, float) else str(v), v) for v in values]


def control(name: str, choice: object, start: object = None):
    """What chooses: numbers get a slider, strings a menu, {name: bool} check boxes; a control that
    is given is taken as it is.

    A slider or menu stands at `start` where that is among its values, else at the first.
    """
    import ipywidgets

    if hasattr(choice, "observe"):
        return choice
    if isinstance(choice, Mapping):
        return Ticks(choice)
    options = labelled(choice)
    first = start if start in choice else options[0][1]
    kind, width = (
        (ipywidgets.Dropdown, "320px")
        if isinstance(first, str)
        else (ipywidgets.SelectionSlider, "420px")
    )
    return kind(
        options=options, value=first, description=name, layout=ipywidgets.Layout(width=width)
    )


class Panel:
    """Controls in front of a view: `Panel(view, row=[0, 1, 2])` shows view(row=0) and redraws as
    the slider moves.

    choices: see `control`; a function of the choices before it gives the values that these leave,
    as in Panel(view, layer=[0, 1], r=lambda layer: ranks[layer]). start: where a control stands at
    first, by name. `.controls` holds the controls by name, `.html` the current picture, `.text` its
    line, `.box` the whole widget.
    """

    def __init__(
        self,
        view: Callable[..., str | Drawing],
        start: Mapping[str, object] | None = None,
        **choices,
    ):
        import ipywidgets

        self.view, self.choices = view, choices
        self.lock, self.drawing = (
            threading.RLock(),
            False,
        )  # a notebook may call back from another thread
        self.controls: dict = {}
        for name, choice in choices.items():
            self.controls[name] = control(
                name,
                choice(**self.values()) if callable(choice) else choice,
                (start or {}).get(name),
            )
            self.controls[name].add_class(f"ft-{name}")
        self.shown = self.current()
        self.picture = ipywidgets.HTML(self.html, layout=ipywidgets.Layout(width="100%"))
        self.picture.add_class("ft-view")
        for chosen in self.controls.values():
            chosen.observe(self.redraw, "value")
        controls = [getattr(c, "box", c) for c in self.controls.values()]
        self.box = ipywidgets.VBox(
            [
                ipywidgets.HBox(controls, layout=ipywidgets.Layout(flex_flow="row wrap")),
                self.picture,
            ]
        )

    def values(self) -> dict:
        """The present choices by name."""
        return {name: chosen.value for name, chosen in self.controls.items()}

    def current(self) -> str | Drawing:
        """The view at the present choices."""
        return self.view(**self.values())

    def redraw(self, _change: object = None) -> None:
        """Show the view at the present choices."""
        with self.lock:
            if self.drawing:
                return  # a control that `narrow` has just set
            self.drawing = True
            try:
                self.narrow()
                self.show()
            finally:
                self.drawing = False

    def show(self) -> None:
        """Draw the view at the present choices: for a panel whose picture depends on more than its
        controls.
        """
        with self.lock:
            self.shown = self.current()
            self.picture.value = self.html

    def narrow(self) -> None:
        """Give controls that depend on earlier ones their values, and keep what was chosen or else
        the next lower number.
        """
        before: dict = {}
        for name, chosen in self.controls.items():
            if callable(choice := self.choices[name]):
                values, old = list(choice(**before)), chosen.value
                if labelled(values) != list(chosen.options):
                    lower = [
                        v
                        for v in values
                        if not isinstance(v, str) and not isinstance(old, str) and v <= old
                    ]
                    chosen.options = labelled(values)
                    chosen.value = old if old in values else max(lower, default=values[0])
            before[name] = chosen.value

    @property
    def html(self) -> str:
        """What is shown now."""
        return self.shown.svg if isinstance(self.shown, Drawing) else self.shown

    @property
    def text(self) -> str:
        """What is shown now, in one line."""
        if isinstance(self.shown, Drawing):
            return self.shown.text
        chosen = ", ".join(f"{name}={value!r}" for name, value in self.values().items())
        return f"Panel({self.view.__name__}: {chosen})"

    def __repr__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        static = (
            {"text/html": self.shown._repr_html_(), "image/svg+xml": self.html}
            if isinstance(self.shown, Drawing)
            else {"text/html": self.html}
        )
        widget = {"version_major": 2, "version_minor": 0, "model_id": self.box.model_id}
        return {
            "text/plain": self.text,
            **static,
            "application/vnd.jupyter.widget-view+json": widget,
        }
