"""The ward: runs that are ill on purpose, their cures, and how well the doctor knows them apart.

    ILLNESSES               {name: the sick run, the cured one, sign, cure}    illnesses.py
    ROOMS                   {room: {patient: the name of the illness}}         illnesses.py
    WardRun, WardRow        what decides such a run, and what its owner saw    illnesses.py
    ward_points()           every run of the ward                              illnesses.py
    make_run(run, out)      train it, and leave its folder                     sick_runs.py
    measure_ward(run)       the same, with what the doctor says: a `WardRow`   sick_runs.py
    measure_healthy(run)    a run in which nothing is wrong, and the doctor    healthy_runs.py
    show_patients(rows)     curves, folders and replies, as an owner sees them charts.py
    tally(rows, healthy)    the doctor's hits, misses and false alarms         charts.py

`python -m ftkit grid ward` and `grid healthy` (see `lab`) make data/grids/ward.json and
healthy.json. What is wrong with a run of your own `doctor` says. Notebook 11.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
