"""What every wing stands on: setup, results that show themselves, intervals, errors that teach.

    setup(seed, model)              seed, device, threads, versions    session.py
    chosen_model(name)              the argument, else FTKIT_MODEL     session.py
    device_and_dtype()              what models compute on, and in     session.py
    Result, Table(title, …)         what shows itself as a table       results.py
    about(x), percent(x)            numbers marked as one machine's    results.py
    decimal_bytes(n), gibibytes(n)  bytes as text                      results.py
    Rate(hits, n)                   a share and its interval           statistics.py
    compare_answers(first, second)  two models on the same questions   statistics.py
    paired_difference(one, other)   the same for any numbers           statistics.py
    rate_difference(one, other)     two rates on different questions   statistics.py
    median_ratio(above, below)      two lists of times                 statistics.py
    rows_needed(change, changed)    how many rows would show a change  statistics.py
    mean_and_range(values)          a few seeds                        statistics.py
    UserError, nearest(word, known) errors that name the cure          errors.py
    is_whole(x), is_number(x)       checks of an argument              errors.py
    data_path(…)                    the kit's own files                files.py
    whole_or_nothing(out)           a folder that is whole or absent   files.py
    write_whole, write_rows         files, and files of measurements   files.py

Used from notebook 00 on; the intervals are taught in 09. It knows no model and no data (`models`,
`data`) and draws nothing (`show`). Called by the others: `parsing.py` reads YAML and JSON to the
letter, `hub.py` asks the Hugging Face hub, `versions.py` the installed libraries, `trackers.py`
knows where a run may be reported to, and `colab.py` adds what Colab lacks.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
