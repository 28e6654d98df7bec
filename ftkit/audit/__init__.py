"""What is wrong with rows that are each right: copies, leaks, balance, lengths, secrets.

    audit(file, against=…)     all of it in one `Audit`: table, JSON and page       auditing.py
    minhash_pairs(rows)        near copies by MinHash; groups(rows) as a graph      likeness.py
    plant(rows)                six kinds of copies put in; what finds them          planting.py
    leaks(rows, others)        the same rows, questions or names in both sets       leaking.py
    contamination(rows)        what of them the pretraining text has                leaking.py
    balance(rows, label)       rows by class; by_class(…) recall of replies         classes.py
    oversample(rows, …)        a rare class repeated up to a share                  classes.py
    split(rows, by=…)          random, by entity, wording, time, or hard            splitting.py
    lengths(rows, tokenizer)   what max_length cuts, which tokens carry loss        tokens.py
    find_private(rows)         e-mail, phones, cards, keys; redact(rows)            privacy.py
    make_sheet(rows)           a blind sample to be reviewed, and read back         reviewing.py
    sift(rows, tests)          synthetic rows: kept, and dropped by reason          synthetic.py

That every row by itself is right, `data.check` says. It trains nothing and asks no model; rows go
in as `data.read` gives them. Notebook 05.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
