"""Every method of fine-tuning on one model: what it trains, its own rates, what can be merged.

Notebook 08; the measurements are the grids "methods" and "ranks" (`studies`, `lab`).

    attach(model, "ia3", …)        a peft model with that method; "full": the model      by_peft.py
    load(model, folder)            the base with a saved adapter of any kind             by_peft.py
    name_of(model)                 the method that is on a model                         by_peft.py
    begin_pruning, prune, penalty  AdaLoRA inside a run                                  by_peft.py
    training_state, restore_state  what a run keeps to go on, where peft's is too little by_peft.py
    METHODS, find_method(name)     trains, usual rates, merges and why, paper          catalogue.py
    method_of(kind)                a method's name by peft's type                      catalogue.py
    count(source, name)            what it trains on an architecture, by formula        counting.py
    Bottleneck, IA3Linear          written out in plain torch                            by_hand.py
    prompt_logits, prefix_logits   prompt and prefix tuning, written out                 by_hand.py
    Subspace(model, d)             all weights moved by d numbers: intrinsic dimension  subspace.py
    smallest_enough(points, full)  d90                                                  subspace.py
    moved(tuned, base)             rows of W: their lengths and directions, ΔM and ΔD directions.py
    outcomes(rows, task)           a grid's methods at every rate                      comparing.py
    compare_methods(rows, task)    the table at a bar, each at its own rate            comparing.py
    differences(rows, task)        skills kept beside LoRA's, corrected                comparing.py
    rates_figure(outcomes)         the rates of each method, and its own                explorer.py
    methods_view, explore_methods  the plane with all methods, and with menus           explorer.py
    differences_figure(…)          those differences, drawn                             explorer.py

LoRA itself and switching between several adapters are `lora`'s; it trains nothing (`train`) and
merges nothing (`merge`). How a model with virtual tokens answers is `models.write`'s business.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
