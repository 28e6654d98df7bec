"""What the guides say, weighed: a ledger of claims whose verdicts are computed.

    settle(ids)                  claims by their ids, or all: measured now   table.py
    recorded(), write()          data/claims.json: what came out last        table.py
    claims(), find_claim(id)     the rows themselves                         table.py
    Claim, Figure, Settled       what a row is, and what it gives            claim.py
    as_written, exact, of_seeds  how figures are made                        claim.py
    each, settle_conflict        from figures to a word                      judges.py
    check_row(row)               is a row of your own decidable?             checking.py

Inside: `lora_rows.py`, `memory_rows.py`, `cost_rows.py`, `data_rows.py`, `training_rows.py` and
`evaluation_rows.py` hold the rows. What a model shows is measured elsewhere: in the grids of `lab`,
and by the wings that a row's `decides` names. Notebook 17.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
