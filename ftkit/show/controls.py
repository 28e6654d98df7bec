"""What a reader turns: sliders, menus and check boxes, and what each of them offers.

    make_control(name, choice)                 an ipywidget, or `Ticks`
    Ticks({"q_proj": True, …}, presets)        check boxes, with buttons for usual choices
    Matrices(names).controls                   a layer, and a matrix of it
    offered_by(control)                        all values that it can have, in their order

A slider or menu that is set to what it does not offer says so in one sentence. What stands behind
the controls is `panel`'s business, and a page without a kernel `page`'s.
"""

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..core.errors import UserError, is_number, nearest
from .labels import layers_and_matrices

MOST_TICKS = 12  # boxes of which all choices can be listed


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
        self.presets, self.usual = {}, dict(presets or {})
        for label, names in self.usual.items():
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
    if not values:
        raise UserError(f"there is nothing to choose for {name!r}; give at least one value.")
    first = start if start in values else values[0]
    # a slider needs some length, and on a narrow page no more than that
    if isinstance(first, str):
        kind, width = ipywidgets.Dropdown, "320px"
    else:
        kind, width = ipywidgets.SelectionSlider, "420px"
    layout = ipywidgets.Layout(width=width, min_width="0", max_width="100%")
    control = teaching(kind)
    return control(options=label_values(values), value=first, description=name, layout=layout)


@functools.cache
def teaching(kind: type) -> type:
    """The same slider or menu, which says in one sentence what it does not offer."""
    import traitlets

    class Selection(kind):
        """A control whose `value` is one of its `options`, else a `UserError` says so."""

        @traitlets.validate("value")
        def _validate_value(self, proposal: Any) -> object:
            offered = [value for _, value in self.options]
            if proposal.value in offered:
                return offered[offered.index(proposal.value)]
            raise UserError(not_offered(self.description, proposal.value, offered))

    Selection.__name__ = Selection.__qualname__ = kind.__name__
    return Selection


def not_offered(name: str, value: object, offered: Sequence) -> str:
    """The sentence on a value that a control does not have."""
    labels = [label for label, _ in label_values(offered)]
    shown = ", ".join(labels if len(labels) <= 12 else [*labels[:11], "…", labels[-1]])
    if is_number(value) and all(map(is_number, offered)):
        close = min(offered, key=lambda one: abs(one - value))  # type: ignore # both are numbers
        return f"{name} is {value:g}, and there is {shown} to choose from; {close:g} is nearest."
    return f"{name} is {value!r}, and there is {shown} to choose from.{nearest(value, labels)}"


def offered_by(control: Any) -> list:
    """All values that a control can have now, in their order.

    Raises UserError for one without end, such as a field for text.
    """
    if isinstance(control, Ticks):
        names = list(control.boxes)
        if len(names) > MOST_TICKS:
            raise UserError(
                f"{len(names)} check boxes have {2 ** len(names):,} choices; name those that you "
                f"mean, as in targets=[{names[:1]}, {names[:2]}]."
            )
        return [
            [name for name, on in zip(names, ticked, strict=True) if on]
            for ticked in itertools.product((False, True), repeat=len(names))
        ]
    if hasattr(control, "options"):
        return [value for _, value in label_values_of(control.options)]
    if isinstance(control.value, bool):
        return [False, True]
    if isinstance(control.value, int) and hasattr(control, "max"):
        return list(range(control.min, control.max + 1, control.step))
    raise UserError(
        f"a {type(control).__name__} has no list of values; choose some, as in "
        f"panel.save(path, {control.description or 'name'}=[{control.value!r}])."
    )


def label_values_of(options: Any) -> list[tuple[str, object]]:
    """(label, value) of each option of an ipywidget, which may be plain values or such pairs."""
    pairs = []
    for option in options.items() if isinstance(options, Mapping) else options:
        pair = isinstance(option, tuple) and len(option) == 2
        pairs.append(option if pair else (str(option), option))
    return pairs


def stand_in(old: object, values: Sequence) -> object:
    """What is chosen once `values` are left: `old`, else the next lower number, else the first."""
    if old in values:
        return old
    if isinstance(old, str):
        return values[0]
    lower = [value for value in values if not isinstance(value, str) and value <= old]
    return max(lower, default=values[0])


def moved_with(name: str, old: object, new: object) -> str:
    """The sentence on a control that had to move because another one was moved."""
    before, after = (label for label, _ in label_values([old, new]))
    return f"{name} = {before} is not offered here; now {after}."
