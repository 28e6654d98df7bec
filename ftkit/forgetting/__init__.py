"""What was forgotten? The same skill probes before and after, and the price as a point on a plane.

Taught in notebook 10, met in notebooks 00 to 03 and 09.

    skills(model, tokenizer)                  every probe of every suite             probing.py
    table(before, after)                      what was lost, by suite and in all     probing.py
    fair_rows(tokenizer, n)                   right answers that are fair to a model probing.py
    choices(model, tokenizer)                 the same, chosen from replies          likelihoods.py
    text_loss(model, tokenizer)               loss on plain text, KL from base       likelihoods.py
    general_texts(tokenizer)                  plain texts that are fair to a model  likelihoods.py
    regressions(forgotten, model, tokenizer)  the prompts that broke                 what_broke.py
    ask_run(folder, test)                     all of a run folder, once and kept       folders.py
    plane.gather_spots(rows)                  a grid's runs as spots of the plane    plane.py
    plane.frontier(spots)                     the spots that no other one beats      plane.py
    plane_view(spots, chosen)                 the plane, drawn                       explorer.py
    everyday.SKILLS                           suites for models of the real world    everyday.py
    harness.skills(model, tokenizer)          the same, asked and marked by lm-eval  harness.py

What was learned is scored by `evaluate`, which raises the red flags too; the grid of runs behind
the plane, and its sliders, are `lab`'s.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
