"""Controls in front of a view: core ipywidgets only, which Jupyter, Colab, VS Code and Voilà show.

    Panel(view, layer=[0, 1], r=[1, 2, 4])         a slider or menu for each argument of the view
    Panel(view, **Matrices(names).controls, …)     a layer, and a matrix of it
    Ticks({"q_proj": True, …}, presets)            check boxes, with buttons for usual choices

A view is a pure function of its choices that returns HTML or a `Drawing`. Moving a control calls
the view and nothing else, so it is answered in a few milliseconds. Without a kernel, or where no
widget can be shown, the first view stays visible as a plain picture. What a view draws with is in
`svg` and `labels`; the views and the numbers behind them lie in the wings' explorers.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..core.errors import UserError, nearest
from .labels import layers_and_matrices
from .svg import Drawing


class Ticks:
    """Check boxes with buttons for usual choices; a control as ipywidgets' own are.

    `.value` is the list of ticked names, in the boxes' order, and can be set.
    """

    def __init__(
        self, ticked: Mapping[str, bool], presets: Mapping[str, Sequence[str]] | None = None
    ):
        import ipywidgets

        self.callbacks: list[Callable] = []
        self.between = False  # between two values: only some of the boxes are set yet
        layout = ipywidgets.Layout(width="auto", margin="0 16px 0 0")

        # A check box for each name.
        self.boxes = {}
        for name, on in ticked.items():
            box = ipywidgets.Checkbox(on, description=name, indent=False, layout=layout)
            box.add_class(f"ft-{name}")
            box.observe(self.call_back, "value")
            self.boxes[name] = box

        # A button for each preset.
        self.presets = {}
        for label, names in (presets or {}).items():
            button = ipywidgets.Button(description=label, layout=layout)
            button.on_click(lambda _, names=names: setattr(self, "value", names))
            self.presets[label] = button

        # The buttons in a row above the boxes.
        rows = [list(self.presets.values()), list(self.boxes.values())]
        self.box = ipywidgets.VBox([wrapping_row(row) for row in rows if row])

    @property
    def value(self) -> list[str]:
        """The ticked names."""
        return [name for name, box in self.boxes.items() if box.value]

    @value.setter
    def value(self, names: Sequence[str]) -> None:
        """Tick these names and no others; whoever observes is called once.

        Raises UserError for a name that has no box, and then changes nothing.
        """
        if unknown := [name for name in names if name not in self.boxes]:
            name, known = unknown[0], list(self.boxes)
            raise UserError(
                f"there is no box {name!r} to tick; there are {', '.join(known)}."
                f"{nearest(name, known)}"
            )
        self.between = True
        try:
            for name, box in self.boxes.items():
                box.value = name in names
        finally:
            self.between = False
        self.call_back()

    def call_back(self, change: object = None) -> None:
        """Call whoever observes: once for a whole preset, not once per box."""
        if not self.between:
            for callback in self.callbacks:
                callback(change)

    def observe(self, callback: Callable, _name: str) -> None:
        """Call back when `.value` changes, as an ipywidget does."""
        self.callbacks.append(callback)

    def add_class(self, name: str) -> None:
        """Give the whole group a class, as an ipywidget does."""
        self.box.add_class(name)


class Matrices:
    """A model's matrices behind two controls: a layer, and a matrix of it."""

    def __init__(self, names: Sequence[str]):
        self.names = layers_and_matrices(names)

    def layers(self) -> list[int]:
        """The layers' numbers, −1 for what stands in no layer."""
        return sorted({layer for layer, _ in self.names})

    def of_layer(self, layer: int) -> list[str]:
        """The matrices of one layer."""
        return [matrix for at, matrix in self.names if at == layer]

    def name(self, layer: int, matrix: str) -> str:
        """The whole name of what is chosen."""
        return self.names[layer, matrix]

    @property
    def controls(self) -> dict[str, Any]:
        """The two choices of a `Panel`, to stand first in it: `Panel(view, **controls, …)`."""
        return {"layer": self.layers(), "matrix": self.of_layer}


def wrapping_row(widgets: Sequence) -> Any:
    """Widgets side by side, in a new line where the page is too narrow."""
    import ipywidgets

    return ipywidgets.HBox(widgets, layout=ipywidgets.Layout(flex_flow="row wrap"))


def label_values(values: Sequence) -> list[tuple[str, object]]:
    """(what is written on the control, value) of each value."""
    pairs = []
    for value in values:
        pairs.append((f"{value:g}" if isinstance(value, float) else str(value), value))
    return pairs


def make_control(name: str, choice: Any, start: object = None) -> Any:
    """What chooses: an ipywidget, or `Ticks`.

    choice: numbers get a slider, strings a menu, {name: bool} check boxes; a control that is given
    is taken as it is. A slider or menu stands at `start` where that is among its values, else at
    the first of them.
    """
    import ipywidgets

    if hasattr(choice, "observe"):
        return choice
    if isinstance(choice, Mapping):
        return Ticks(choice)
    values = list(choice)
    first = start if start in values else values[0]
    if isinstance(first, str):
        kind, width = ipywidgets.Dropdown, "320px"
    else:
        kind, width = ipywidgets.SelectionSlider, "420px"
    layout = ipywidgets.Layout(width=width)
    return kind(options=label_values(values), value=first, description=name, layout=layout)


def stand_in(old: object, values: Sequence) -> object:
    """What is chosen once `values` are left: `old`, else the next lower number, else the first."""
    if old in values:
        return old
    if isinstance(old, str):
        return values[0]
    lower = [value for value in values if not isinstance(value, str) and value <= old]
    return max(lower, default=values[0])


class Panel:
    """Controls in front of a view: a moved control redraws the picture.

    Panel(view, row=[0, 1, 2]) shows view(row=0) and a slider over the rows. Each choice is what
    `make_control` takes, or a function of the choices before it that gives the values which these
    leave, as in Panel(view, layer=[0, 1], r=lambda layer: ranks[layer]). start: where a control
    stands at first, by name. `.controls` holds the controls by name, `.html` the current picture,
    `.text` its line, `.box` the whole widget.
    """

    def __init__(
        self,
        view: Callable[..., str | Drawing],
        start: Mapping[str, object] | None = None,
        **choices: Any,
    ):
        import ipywidgets

        self.view = view
        self.lock = threading.RLock()  # a notebook may call back from another thread
        self.busy = False  # a redraw is under way

        # The controls, from left to right, so that each may depend on those before it.
        self.controls: dict[str, Any] = {}
        self.narrowing: dict[str, Callable[..., Any]] = {}  # those that do, and their values
        for name, choice in choices.items():
            if callable(choice):
                self.narrowing[name] = choice
                choice = choice(**self.values())
            control = make_control(name, choice, (start or {}).get(name))
            control.add_class(f"ft-{name}")
            self.controls[name] = control

        # The first picture, and from then on a new one for every move.
        self.shown = self.draw()
        self.picture = ipywidgets.HTML(self.html, layout=ipywidgets.Layout(width="100%"))
        self.picture.add_class("ft-view")
        for control in self.controls.values():
            control.observe(self.redraw, "value")

        # The controls above the picture.
        widgets = [getattr(control, "box", control) for control in self.controls.values()]
        self.box = ipywidgets.VBox([wrapping_row(widgets), self.picture])

    def values(self) -> dict[str, Any]:
        """The present choices by name."""
        return {name: control.value for name, control in self.controls.items()}

    def draw(self) -> str | Drawing:
        """The view at the present choices."""
        return self.view(**self.values())

    def redraw(self, _change: object = None) -> None:
        """Show the view at the present choices, after a control has been moved."""
        with self.lock:
            if self.busy:
                return  # moved by `narrow`, which is part of a redraw
            self.busy = True
            try:
                self.narrow()
                self.show()
            finally:
                self.busy = False

    def show(self) -> None:
        """Draw again: for a panel whose picture depends on more than its controls."""
        with self.lock:
            self.shown = self.draw()
            self.picture.value = self.html

    def narrow(self) -> None:
        """Give each control that depends on earlier ones the values that these leave it."""
        before: dict[str, Any] = {}
        for name, control in self.controls.items():
            if name in self.narrowing:
                values, old = self.narrowing[name](**before), control.value
                if label_values(values) != list(control.options):
                    control.options = label_values(values)
                    control.value = stand_in(old, values)
            before[name] = control.value

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

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        """The panel as a front end likes it best: a widget, else a picture, else a line."""
        if isinstance(self.shown, Drawing):
            static = {"text/html": self.shown._repr_html_(), "image/svg+xml": self.html}
        else:
            static = {"text/html": self.html}
        widget = {"version_major": 2, "version_minor": 0, "model_id": self.box.model_id}
        live = {"application/vnd.jupyter.widget-view+json": widget}
        return {"text/plain": self.text, **static, **live}
