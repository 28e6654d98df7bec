"""Controls in front of a view: core ipywidgets only, which Jupyter, Colab, VS Code and Voilà show.

    panel = Panel(view, layer=[0, 1], r=[1, 2, 4])   a slider or menu for each argument of the view
    panel.choose(layer=1, r=4)                       set some of them
    panel.save("ranks.html", layer=[0])              all positions as one page, without a kernel

A view is a pure function of its choices that returns HTML or a `Drawing`. Moving a control calls
the view and nothing else, so it is answered in a few milliseconds. Controls are made in `controls`,
pages in `page`; without a kernel the first view stands there as a plain picture (`live`). What a
view draws with is in `svg` and `labels`; the views themselves lie in the wings' explorers.
"""

import html
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..core.errors import UserError, nearest
from .controls import label_values, make_control, moved_with, stand_in, wrapping_row
from .live import still_and_live
from .page import Content, save_page
from .svg import Drawing


class Panel:
    """Controls in front of a view: a moved control redraws the picture.

    Panel(view, row=[0, 1, 2]) shows view(row=0) and a slider over the rows. Each choice is what
    `make_control` takes, or a function of the choices before it that gives the values which these
    leave, as in Panel(view, layer=[0, 1], r=lambda layer: ranks[layer]). start: where a control
    stands at first, by name. title, call: what is seen and the call that shows it, for a page.
    `.controls` holds the controls by name, `.html` the current picture, `.text` its line, `.box`
    the whole widget. A value that earlier choices take away is told in `.note`.
    """

    def __init__(
        self,
        view: Callable[..., str | Drawing],
        start: Mapping[str, object] | None = None,
        *,
        title: str = "",
        call: str = "",
        **choices: Any,
    ):
        import ipywidgets

        self.view, self.title, self.call = view, title, call
        self.lock = threading.RLock()  # a notebook may call back from another thread
        self.busy = False  # a redraw is under way

        self.note = ""  # what moved besides, when a control was moved

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
        self.told = ipywidgets.HTML(layout=ipywidgets.Layout(display="none"))
        self.told.add_class("ft-note")
        for control in self.controls.values():
            control.observe(self.redraw, "value")

        # The controls above the picture.
        widgets = [getattr(control, "box", control) for control in self.controls.values()]
        self.box = ipywidgets.VBox([wrapping_row(widgets), self.told, self.picture])

    def values(self) -> dict[str, Any]:
        """The present choices by name."""
        return {name: control.value for name, control in self.controls.items()}

    def draw(self) -> str | Drawing:
        """The view at the present choices."""
        return self.view(**self.values())

    def choose(self, **values: object) -> None:
        """Set some of the controls, from left to right, and draw once.

        Raises UserError for a control that there is not and a value that is not offered; then
        nothing is changed.
        """
        if unknown := [name for name in values if name not in self.controls]:
            known = list(self.controls)
            raise UserError(
                f"there is no control {unknown[0]!r}; there are {', '.join(known)}."
                f"{nearest(unknown[0], known)}"
            )
        with self.lock:
            before, self.busy = self.values(), True
            try:
                self.set_in_order(values)
            except UserError:
                self.set_in_order(before)
                raise
            finally:
                self.busy = False
            others = [name for name in self.controls if name not in values]
            after = self.values()
            moved = [moved_with(n, before[n], after[n]) for n in others if before[n] != after[n]]
            self.tell(" ".join(moved))
            self.show()

    def set_in_order(self, values: Mapping[str, object]) -> None:
        """Set controls, each when those before it have said what is left for it."""
        for name, control in self.controls.items():
            self.narrow()
            if name in values:
                control.value = values[name]
        self.narrow()

    def redraw(self, _change: object = None) -> None:
        """Show the view at the present choices, after a control has been moved."""
        with self.lock:
            if self.busy:
                return  # moved by `narrow`, which is part of a redraw
            self.busy = True
            try:
                self.tell(self.narrow())
                self.show()
            finally:
                self.busy = False

    def show(self) -> None:
        """Draw again: for a panel whose picture depends on more than its controls.

        A view that refuses what is chosen is shown with its sentence.
        """
        with self.lock:
            try:
                self.shown = self.draw()
            except UserError as error:
                self.shown = f"<p>{html.escape(str(error))}</p>"
            self.picture.value = self.html

    def tell(self, note: str) -> None:
        """Say between controls and picture what was moved besides; "" says nothing."""
        self.note = note
        self.told.value = html.escape(note)
        self.told.layout.display = None if note else "none"

    def narrow(self) -> str:
        """Give each control that depends on earlier ones the values that these leave it.

        The sentence on what had to move with them, "" where nothing had.
        """
        before, moved = {}, []
        for name, control in self.controls.items():
            if name in self.narrowing:
                values, old = self.narrowing[name](**before), control.value
                if label_values(values) != list(control.options):
                    control.options = label_values(values)
                    control.value = stand_in(old, values)
                if old != control.value:
                    moved.append(moved_with(name, old, control.value))
            before[name] = control.value
        return " ".join(moved)

    def save(self, path: str | Path, **only: object) -> Path:
        """Write one page that holds every position of the controls; the path.

        It needs no kernel and no network. only: values of a control to keep, as in layer=[0, 3] or
        r=8. Raises UserError for more positions, or more bytes, than a page holds, with the choices
        to make, and then writes nothing.
        """
        content = Content(self.view, self.controls, self.narrowing, self.title, self.call)
        with self.lock:
            return save_page(Path(path), content, only)

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

    def _ipython_display_(self) -> None:
        """The widget where a kernel answers it, and its picture everywhere else."""
        still_and_live(self.shown, self.text, self.box)
