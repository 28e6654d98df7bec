"""The verbs: `python -m ftkit …`. One file a group of verbs, and nothing but options in them.

    app.py       the app itself: --json, exit codes, one sentence for a mistake
    runs.py      tour, train, evaluate, merge: a run and what comes of it
    sizes.py     count, memory, trace, measure: numbers before any run
    making.py    grid, pretrain, tasks: what the kit ships, made again
    upkeep.py    doctor, notebooks, bench: is everything as it should be?

What a verb does lies in the wing that it calls; here are its options and its JSON.
"""
