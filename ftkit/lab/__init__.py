"""Whole experiments: grids of finished runs, the playground over one, and the tour.

Notebooks 01, 02, 07, 09 and 10 read the grids; 10 has the playground; 00 is the tour in steps; 18
ends in a report.

    run_tour(out)                 tune, compare, forget, merge in a minute: `Tour`   tour.py
    report(run, against=…)        a run folder as a page: what may be said of it     reporting.py
    open_playground(rows)         sliders over a grid of runs, and a Train button    playground.py
    grids.read(name)              the rows of a grid that ships                      grids.py
    grids.curve(rows, value, x)   mean and range over seeds, along a column          grids.py
    grids.difference(rows, …)     between runs of the same seeds, with its interval  grids.py
    Point, LoraRow, SEEDS, …      a grid's columns: what decides a run, what it gave points.py
    epochs.tune(point)            a long run on few rows, kept after every epoch     epochs.py
    make_grid(name)               make a grid's runs, or go on where one stopped     runner.py
    carry_over(notebook)          what of the pocket model holds for SmolLM2, too    verdicts.py

Inside, `measuring.py` trains one point and measures it, and `saying.py` makes a report's sentences
of intervals. One run alone is `train.Experiment`; how it is scored is `evaluate` and `forgetting`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
