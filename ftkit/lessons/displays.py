"""Anything that a cell can end in, as HTML and as a line of text: for what is shown only later.

    rendered(shown, guess)   (HTML, text) of a figure, a table, a panel, or a function of the guess

A live page can hide and show HTML, and nothing else; so pictures become images within it, with
their alt text. What is shown at once needs none of this. Used by `predicting`.
"""

import base64
import html
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from ..core.results import html_text
from ..show import Drawing, Panel


class Rendered(NamedTuple):
    """Something shown, as HTML and as text.

    widget: what stands for it on a living page, where it has controls; head: the HTML above that.
    """

    html: str
    text: str
    widget: Any = None
    head: str = ""

    @property
    def live(self) -> Any:
        """All of it as one widget."""
        import ipywidgets

        page = ipywidgets.HTML(self.html if self.widget is None else self.head)
        page.layout.width = "100%"
        return page if self.widget is None else ipywidgets.VBox([page, self.widget])


def rendered(shown: Any, guess: Any = None) -> Rendered:
    """What is shown, drawn: a function is called with the guess first, None is nothing.

    A list or tuple is shown one thing below the other.
    """
    if is_drawer(shown):
        shown = shown(guess)
    if shown is None:
        return Rendered("", "")
    if isinstance(shown, list | tuple):
        return one_below_the_other([rendered(part, guess) for part in shown])
    if isinstance(shown, Panel):
        return Rendered(shown.html, shown.text, shown.box)
    if isinstance(shown, Drawing):
        return Rendered(shown.svg, shown.text)
    if isinstance(shown, str):
        return Rendered(html_text(shown), shown)
    return from_formatter(shown)


def one_below_the_other(parts: Sequence[Rendered]) -> Rendered:
    """Several things as one; those without controls are plain HTML among the others' widgets."""
    import ipywidgets

    markup = "".join(f"<div>{part.html}</div>" for part in parts)
    text = "\n".join(part.text for part in parts)
    if all(part.widget is None for part in parts):
        return Rendered(markup, text)
    return Rendered(markup, text, ipywidgets.VBox([part.live for part in parts]))


def is_drawer(shown: Any) -> bool:
    """Whether something is a function of the guess, and not itself to be shown."""
    shows = ("_repr_html_", "_repr_png_", "_repr_mimebundle_", "_repr_svg_")
    return callable(shown) and not any(hasattr(shown, name) for name in shows)


def from_formatter(shown: Any) -> Rendered:
    """What IPython would show of an object: HTML, else a picture, else its text."""
    data, metadata = formats(shown)
    text = data.get("text/plain", repr(shown))
    if "text/html" in data:
        return Rendered(data["text/html"], text)
    if "image/svg+xml" in data:
        return Rendered(data["image/svg+xml"], text)
    for kind in ("image/png", "image/jpeg"):
        if kind in data:
            alt = metadata.get(kind, {}).get("alt", text)
            return Rendered(as_image(data[kind], kind, alt), text)
    return Rendered(f"<pre>{html_text(text)}</pre>", text)


def formats(shown: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """An object by kind of content, with the metadata, as the running IPython gives it."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None else None
    if shell is not None and shell.display_formatter is not None:
        return shell.display_formatter.format(shown)
    return {"text/plain": repr(shown)}, {}


def as_image(data: Any, kind: str, alt: str) -> str:
    """A picture inside HTML; data: bytes, or base64 as notebooks keep them."""
    code = base64.b64encode(data).decode() if isinstance(data, bytes) else "".join(data.split())
    style = "max-width:100%"
    return f'<img src="data:{kind};base64,{code}" alt="{html.escape(alt)}" style="{style}">'
