"""A widget where a kernel answers it, and a still picture everywhere else: never both, never none.

    still_and_live(still, text, widget)   shows the one and the other; the page decides

Two outputs are shown. The first is the still, plain HTML beside a line of text, which GitHub, a
saved notebook without a kernel and nbconvert show. The second is the widget, and in it a rule of
style that hides this very still wherever the widget itself is alive. Panels (`panel`) and the
questions of `lessons` are shown so; `tools.outputs` commits the still alone. In every notebook.
"""

import uuid
from typing import TYPE_CHECKING, Any

from .svg import Drawing, as_image

if TYPE_CHECKING:
    import ipywidgets

WIDGET = "application/vnd.jupyter.widget-view+json"
# A dead widget leaves a line that says so: JupyterLab does not show it below a still.
DEAD = (
    ".jp-OutputArea-child:has(.ft-still)+.jp-OutputArea-child:has(.jupyter-widgets)"
    ":not(:has(.widget-box)){display:none}"
)


def still_and_live(still: Drawing | str, text: str, widget: "ipywidgets.Widget") -> None:
    """Show a widget, and a still in its place where no kernel keeps it alive.

    still: a `Drawing`, or HTML, or SVG; text: the same in words, which a terminal shows. Outside
    IPython `text` is printed.
    """
    from IPython import get_ipython
    from IPython.display import display

    # a plain Python shell has no outputs
    if get_ipython() is None:
        display(text)
        return

    # the still, by a name of its own; then the widget with the rule that hides it
    name = f"ft-still-{uuid.uuid4().hex[:12]}"
    display(still_bundle(still, text, name), raw=True)
    view = {"version_major": 2, "version_minor": 0, "model_id": hiding(widget, name).model_id}
    display({WIDGET: view}, raw=True)


def still_bundle(still: Drawing | str, text: str, name: str) -> dict[str, str]:
    """The still by kind: HTML in a frame of this class, words, and SVG where it is one."""
    shown = still.svg if isinstance(still, Drawing) else still
    bundle = {"text/plain": text}
    if shown.lstrip().startswith("<svg"):
        bundle["image/svg+xml"] = shown
        shown = as_image(shown, text)
    bundle["text/html"] = f'<style>{DEAD}</style><div class="ft-still {name}">{shown}</div>'
    return bundle


def hiding(widget: "ipywidgets.Widget", name: str) -> Any:
    """The widget in a box with a rule of style that takes the still of this name off the page."""
    import ipywidgets

    # the whole output, where the front end's name for one is known; else what is in it
    rule = (
        f"<style>.{name}{{display:none}}.jp-OutputArea-child:has(.{name}){{display:none}}</style>"
    )
    style = ipywidgets.HTML(rule, layout=ipywidgets.Layout(display="none"))
    return ipywidgets.VBox([widget, style])
