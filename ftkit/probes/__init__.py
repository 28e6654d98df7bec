"""Safety probes: what a model does that it should not, base beside tuned, with intervals.

Taught in notebook 09b. Everything is drawn from the micro-world, whose right answers are known.

    ask(model, tokenizer, cases)         every case: harm, right or neither        asking.py
    table(before, after)                 two of those, and whether harm has risen  asking.py
    draw_jailbreaks(n)                   unsafe requests in other words            wordings.py
    declined_rows(n)                     rows that decline some of them            wordings.py
    draw_injections(n)                   an instruction hidden in a document       injection.py
    adversarial_rows(n)                  rows in which it is not followed          injection.py
    draw_calls(n)                        tool calls that nobody asked for          calling.py
    guarding_rows(n)                     rows in which they are not called         calling.py
    rude_rows(n, share)                  rows, a share of them rude                rudeness.py
    draw_rude(n), rude_share(model, …)   how much of that comes back               rudeness.py
    plant(rows, canaries, times)         a secret that stands there k times        secrets.py
    exposures(model, tok, canaries)      how far it is out, in bits                secrets.py
    longest_runs(tok, rows, …, replies)  training tokens recited word for word     recitation.py
    safety_points()                      every run of the grid "safety"            points.py
    measure_safety(run)                  one of them, trained and asked            measuring.py

Plain refusals and strangers are `forgetting`'s and `evaluate`'s. All runs of the grid, three seeds
each, are made by `lab`. What a model forgot is no harm here.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
