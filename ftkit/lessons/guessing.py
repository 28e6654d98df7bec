"""A prediction as controls: its options, a slider or an order, and the buttons Keep and Skip.

    Question(asked, keep, skip)   `.box` is the widget, `.still` and `.text` what stands elsewhere
    Order(items)                  items that are pressed in the order which they are to have

What is done with a guess is told to `keep` and `skip`, which answer with a sentence; so nothing is
recorded here. `predicting` shows a question below its prompt.
"""

import html
from collections.abc import Callable, Sequence
from typing import Any

from ..answers import Prediction, spell
from ..core.errors import UserError

UNCHOSEN = "Choose first, then press Keep; or press Skip to see the answer."


class Order:
    """Buttons that are pressed in the order which their items are to have; a control.

    `.value` is the order, or None until all are pressed.
    """

    def __init__(self, items: Sequence[str]):
        import ipywidgets

        self.items = tuple(items)
        self.chosen: list[str] = []
        wide = ipywidgets.Layout(width="auto")
        self.buttons = {}
        for item in items:
            button = ipywidgets.Button(description=item, layout=wide)
            button.on_click(lambda _, item=item: self.press(item))
            self.buttons[item] = button
        self.again = ipywidgets.Button(description="Again", icon="undo", layout=wide)
        self.again.on_click(lambda _: self.clear())

        # what is pressed so far stands below the buttons
        self.line = ipywidgets.HTML("Press them in order, the first first.")
        flow = ipywidgets.Layout(flex_flow="row wrap")
        row = ipywidgets.HBox([*self.buttons.values(), self.again], layout=flow)
        self.box = ipywidgets.VBox([row, self.line])

    @property
    def value(self) -> tuple[str, ...] | None:
        """The whole order, or None."""
        return tuple(self.chosen) if len(self.chosen) == len(self.items) else None

    @value.setter
    def value(self, items: Sequence[str]) -> None:
        """Press these items, in this order, and no others."""
        self.clear()
        for item in items:
            self.press(item)

    def press(self, item: str) -> None:
        """Put an item behind those that are chosen."""
        if item not in self.chosen:
            self.chosen.append(item)
            self.buttons[item].disabled = True
            self.line.value = html.escape(" · ".join(self.numbered()))

    def clear(self) -> None:
        """Begin again."""
        self.chosen = []
        for button in self.buttons.values():
            button.disabled = False
        self.line.value = "Press them in order, the first first."

    def numbered(self) -> list[str]:
        """What is chosen, each with its place."""
        return [f"{place}. {item}" for place, item in enumerate(self.chosen, 1)]


class Question:
    """A prediction's controls; `keep(guess)` and `skip()` answer with what is then said."""

    def __init__(self, asked: Prediction, keep: Callable[[Any], str], skip: Callable[[], str]):
        import ipywidgets

        self.asked, self.keep = asked, keep
        self.control = make_control(asked)
        wide = ipywidgets.Layout(width="auto")
        self.keep_button = ipywidgets.Button(description="Keep", icon="check", layout=wide)
        self.skip_button = ipywidgets.Button(description="Skip", layout=wide)
        self.status = ipywidgets.HTML()

        # the buttons, with names for those who look for them on a page
        self.keep_button.on_click(lambda _: self.press())
        self.skip_button.on_click(lambda _: self.say(skip()))
        self.keep_button.add_class("ft-keep")
        self.skip_button.add_class("ft-skip")
        row = ipywidgets.HBox([self.keep_button, self.skip_button])
        body = getattr(self.control, "box", self.control)
        self.box = ipywidgets.VBox([body, row, self.status])
        self.box.add_class("ft-predict")

    def press(self) -> None:
        """Keep what is chosen; nothing chosen is said."""
        guess = self.control.value
        if guess is None:
            self.say(UNCHOSEN)
            return
        try:
            self.say(self.keep(guess))
        except UserError as error:
            self.say(str(error))

    def say(self, sentence: str) -> None:
        """Write a sentence below the buttons."""
        self.status.value = html.escape(sentence, quote=False)

    def close(self) -> None:
        """Take no further guess: the answer is out."""
        for widget in (self.keep_button, self.skip_button, *switches(self.control)):
            widget.disabled = True

    @property
    def text(self) -> str:
        """What can be guessed, in a line; and how, where there are no controls."""
        example = "your guess" if not self.asked.options else self.asked.options[0]
        return f"Your guess? {what_to_guess(self.asked)}  [predict({self.asked.id!r}, {example!r})]"

    @property
    def still(self) -> str:
        """What can be guessed, for a page without a kernel."""
        return f"<div><b>Your guess?</b> {html.escape(what_to_guess(self.asked))}</div>"


def what_to_guess(asked: Prediction) -> str:
    """The options, the range or the items to be put in order."""
    if asked.options:
        return " · ".join(asked.options)
    if asked.order:
        return f"in order: {' · '.join(asked.order)}"
    low, high = asked.between or (0.0, 1.0)
    return f"{spell(low)} to {spell(high)} {asked.unit}".rstrip()


def make_control(asked: Prediction) -> Any:
    """What takes the guess: round buttons, a slider, or an order."""
    import ipywidgets

    if asked.order:
        return Order(asked.order)
    layout = ipywidgets.Layout(width="max-content", max_width="100%")
    if asked.options:
        return ipywidgets.RadioButtons(options=list(asked.options), value=None, layout=layout)
    return make_slider(asked)


def make_slider(asked: Prediction) -> Any:
    """A slider over the prediction's range, on a logarithmic scale where it asks for one."""
    import math

    import ipywidgets

    low, high = asked.between or (0.0, 1.0)
    layout = ipywidgets.Layout(width="420px", max_width="100%", min_width="240px")
    # things that are counted are right within a whole number of them, and are guessed whole
    whole = all(isinstance(number, int) for number in (low, high, asked.near))
    # as many decimals as a step of the slider is worth
    digits = 0 if whole or high - low >= 50 else 1 if high - low >= 5 else 2
    shown = {"description": asked.unit, "layout": layout, "readout_format": f".{digits}f"}
    if not asked.log:
        step = 1 if whole else (high - low) / 100
        return ipywidgets.FloatSlider(value=low, min=low, max=high, step=step, **shown)
    bounds = {"min": math.log10(low), "max": math.log10(high), "step": 0.02}
    return ipywidgets.FloatLogSlider(value=low, base=10, **bounds, **shown)


def switches(control: Any) -> Sequence[Any]:
    """The widgets of a control that can be switched off."""
    if isinstance(control, Order):
        return [*control.buttons.values(), control.again]
    return [control]
