"""Pictures of numbers that were computed elsewhere, and controls in front of them.

    curves(losses, validation)        training and validation loss by step  plots.py
    skills(before, after)             a dumbbell per skill                  plots.py
    bars(groups)                      grouped bars with their intervals     plots.py
    intervals(changes, xlabel)        a value with its interval per row     plots.py
    lines(series, xlabel, ylabel)     named curves, with bands              plots.py
    heat(values, xlabel, ylabel)      a matrix as a heat map                plots.py
    histogram(values, marks, xlabel)  how values are spread                 plots.py
    histograms(series, xlabel)        the same of several, with their means plots.py
    new_figure(width, height)         an empty figure and its axes          plots.py
    Panel(view, **choices)            sliders and menus before a view       panel.py
    still_and_live(still, text, widget)  a widget, and a picture without    live.py
    Drawing(svg, text)                a picture and its line of words       svg.py
    ACCENT, PLAIN, FAINT              the chosen thing, the others, paper   svg.py
    METHOD_COLOURS                    {method: its colour in all pictures}  svg.py
    share_bars(title, shares)         named shares as bars, for a panel     shares.py
    explore_answers(test, replies)    what models answered, row by row      answers.py
    document(title, lead, sections)   a page to be read and printed         sections.py

Figures first appear in notebook 00, controls in 01. This wing knows no model and computes nothing;
the explorers that draw with it live with what they show, in `lora`, `quant`, `memory`, `train`,
`forgetting` and `merge`. They draw with `svg.py`, share tiles and ticks in `labels.py`, and are
turned by `controls.py`; `panel.save(path)` writes all positions of one as a page (`page.py`).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
