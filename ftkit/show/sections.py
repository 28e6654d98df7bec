"""A page to be read and printed: sections of words, tables and pictures in one file, no script.

    document(title, lead, sections)    the whole page as HTML, dark or light as the reader has it
    Section(title, words, shown)       a part of it: sentences, then tables and pictures
    picture_html(picture)              a `Picture` or a `Drawing` as an image with its words

Nothing in it has an address outside the file. Wide tables and pictures scroll by themselves, so
that a telephone shows the page; each can be reached by the keyboard. What stands on it is the
caller's to say (`lab.report`); a page with controls is `page.py`'s.
"""

import html
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

import matplotlib as mpl

from ..core.errors import UserError
from ..core.results import Result, html_row, html_text, without_mark
from .plots import Picture
from .svg import SAFE, Drawing, as_image

Shown = Result | Picture | Drawing
# A contrast of 4.5 to 1 and more in both; pictures have a white ground in either.
STYLE = """
:root{color-scheme:light dark;--paper:#fff;--ink:#1f2933;--faint:#52606d;--line:#c3cdd6;
--accent:#a4243b;--zebra:#f4f6f8}
@media(prefers-color-scheme:dark){:root{--paper:#14181d;--ink:#e6eaee;--faint:#a3b0bc;
--line:#3c4650;--accent:#ff9aa8;--zebra:#1c2229}}
body{margin:0 auto;max-width:56rem;padding:1rem;background:var(--paper);color:var(--ink);
font:1rem/1.55 system-ui,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
h1{font-size:1.6rem;line-height:1.25;overflow-wrap:anywhere}
h2{font-size:1.2rem;margin:2.2rem 0 .5rem;padding-top:.6rem;border-top:1px solid var(--line)}
a{color:var(--accent)}p,li{max-width:44rem;overflow-wrap:anywhere}.lead{font-size:1.1rem}
nav ul{padding:0;display:flex;flex-wrap:wrap;gap:.2rem 1rem;list-style:none}
.wide{overflow-x:auto;margin:1rem 0}.wide:focus-visible{outline:2px solid var(--accent)}
table{border-collapse:collapse;font-size:.9rem}
caption{text-align:left;padding:.3rem 0;font-weight:bold}
td,th{text-align:left;vertical-align:top;padding:.25rem .9rem .25rem 0;
border-bottom:1px solid var(--line);max-width:26rem;overflow-wrap:break-word}
tbody tr:nth-child(even){background:var(--zebra)}
figure{margin:1rem 0}figure img{display:block;width:44rem;max-width:none;background:#fff}
@media(min-width:48rem){figure img{max-width:100%}}
@media print{:root{color-scheme:light;--paper:#fff;--ink:#000;--faint:#333;--line:#999;
--accent:#000;--zebra:#fff}body{max-width:none;font-size:10pt}nav{display:none}
.wide{overflow:visible}figure,tr,li{break-inside:avoid}h2{break-after:avoid}
figure img{max-width:100%}}
"""


@dataclass(frozen=True)
class Section:
    """A part of a page: what it is about, sentences, and what is shown below them."""

    title: str
    words: Sequence[str] = ()
    shown: Sequence[Shown] = ()
    listed: bool = False  # whether the sentences are points of a list

    @property
    def anchor(self) -> str:
        """What a link within the page calls it."""
        plain = "".join(sign if sign.isalnum() else "-" for sign in self.title.lower())
        return "-".join(filter(None, plain.split("-")))


def document(title: str, lead: Iterable[str], sections: Sequence[Section]) -> str:
    """The page: a title, what it is in a sentence or two, and sections with links to them.

    Raises UserError where a figure has no words for those who do not see it.
    """
    name, links = (
        html.escape(title),
        [f'<a href="#{s.anchor}">{html.escape(s.title)}</a>' for s in sections],
    )
    listed = "".join(f"<li>{link}</li>" for link in links)
    body = "".join(map(section_html, sections))
    opening = "".join(f'<p class="lead">{html_text(sentence)}</p>' for sentence in lead)
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<title>{name}</title><link rel="icon" href="data:,"><style>{STYLE}</style>'
    )
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}</head><body><header><h1>{name}</h1>'
        f'{opening}<nav aria-label="Sections"><ul>{listed}</ul></nav></header>'
        f"<main>{body}</main></body></html>\n"
    )


def section_html(section: Section) -> str:
    """A section with its heading."""
    words = "".join(f"<p>{html_text(sentence)}</p>" for sentence in section.words)
    if section.listed:
        words = f"<ul>{''.join(map(point_html, section.words))}</ul>"
    shown = "".join(map(shown_html, section.shown))
    name = section.anchor
    return (
        f'<section aria-labelledby="{name}"><h2 id="{name}">{html.escape(section.title)}</h2>'
        f"{words}{shown}</section>\n"
    )


def point_html(sentence: str) -> str:
    """A sentence as a point of a list; what it is about, before a colon, stands out."""
    about, colon, rest = sentence.partition(": ")
    if not colon:
        return f"<li>{html_text(sentence)}</li>"
    return f"<li><strong>{html_text(about)}:</strong> {html_text(rest)}</li>"


def shown_html(shown: Shown) -> str:
    """A table or a picture in a frame of its own that scrolls where the page is narrow."""
    if isinstance(shown, Result):
        title = shown.table()[0]
        inside = table_html(shown)
        name = html.escape(without_mark(title.partition("\n")[0]))
    else:
        inside, name = f"<figure>{picture_html(shown)}</figure>", "Figure"
    return f'<div class="wide" role="region" tabindex="0" aria-label="{name}">{inside}</div>'


def table_html(result: Result) -> str:
    """A result as a table whose looks are the page's."""
    title, heads, rows = result.table()
    caption = html_text(title).replace("\n", "<br>")
    head = html_row(heads, "th", 'scope="col"')
    body = "".join(html_row(row, "td", "") for row in rows)
    return f"<table><caption>{caption}</caption><thead>{head}</thead><tbody>{body}</tbody></table>"


def picture_html(picture: Picture | Drawing) -> str:
    """A picture as an image in the page itself, SVG throughout, with its words.

    Raises UserError for a figure that nobody has described (`Picture.describe`).
    """
    if isinstance(picture, Drawing):
        return as_image(picture.svg, picture.text)
    if not picture.alt:
        raise UserError(
            "a figure has no words for who cannot see it; give them by figure.describe(title)."
        )
    # words stay words, the same picture is the same text, and nothing but the drawing is kept
    stream, nothing = io.StringIO(), dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "ftkit"}):
        picture.savefig(stream, format="svg", metadata=nothing)
    svg = stream.getvalue()
    address = quote(svg[svg.index("<svg") :], safe=SAFE)
    return f'<img alt="{html.escape(picture.alt)}" src="data:image/svg+xml,{address}">'
