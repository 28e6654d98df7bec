"""The verbs: `python -m ftkit …`. One file per group of verbs, and nothing but options in them.

    tour, train, runs, evaluate, …   a run and what comes of it            runs.py
    check, audit                     a file of rows, before any run        checking.py
    decide, claims                   tune at all? what the guides say      deciding.py
    fetch                            a real model, real rows               fetching.py
    count, memory, cost, trace, …    numbers before any run                sizes.py
    export, serve                    out of the notebook                   shipping.py
    registry, verify                 versions; does a record still hold?    operating.py
    grid, pretrain, tasks            what the kit ships, made again        making.py
    doctor, notebooks, explorers, …  is everything as it should be?        upkeep.py
    app                              --json, exit codes, errors             app.py

Exit codes: 0 fine, 1 what was asked about is bad, 2 bad usage. What a verb does lies in the wing
that it calls; here are its options and its JSON. Nothing heavy is imported before a verb needs it.
"""
