"""Studies: what is done to rows before a run, or to a question before an answer, and what it costs.

    DataRun, DecidingRun         what decides one run of a study                points.py
    data_points(), …             all runs of a grid, seed by seed               points.py
    DataRow, DecidingRow         what was measured on it                        points.py
    change_rows(run, …)          the training rows, and what is asked then      changing.py
    templates.TEMPLATES          the same chats written as others write them    templates.py
    fit(model, rows, …)          a training loop in which any token may count   by_hand.py
    measure_data(run)            train on them and ask: a `DataRow`             measuring.py
    measure_deciding(run)        tuned, prompted, retrieved: a `DecidingRow`    deciding.py
    weigh(rows, rows)            what guides say, held against both grids       ledger.py
    weigh_preferences(rows)      the same of preferences and rewards            ledger.py
    MethodRun, method_points()   every method at its own rates: the grid        method_runs.py
    RankRun, rank_points()       ranks, optimizers, subspaces, rows, starts     method_runs.py
    measure_method(run)          train, merge and ask: a `MethodRow`            method_measuring.py
    measure_rank(run)            the same by the loop by hand: a `RankRow`      rank_measuring.py

`python -m ftkit grid data`, `deciding`, `methods` and `ranks` (see `lab`) make all of them;
notebooks 03, 05, 06, 08 and 12 read finished rows. What is wrong with rows of your own is `audit`'s
business.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
