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

`python -m ftkit grid data` and `grid deciding` (see `lab`) make all of them; notebooks 05 and 06
read the finished rows. What is wrong with rows of your own is `audit`'s business.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
