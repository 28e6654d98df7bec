"""Merging is a claim to check: one adapter folded into W, or several combined; notebook 13.

    merge(model)                                the merged model, and its proof    merging.py
    merge_if_exact(tuned)                       the same where nothing rounds      merging.py
    compare(tuned, merged)                      the proof of any other merge       merging.py
    write(tuned, tokenizer, out)                merged on disk, proven there       writing.py
    run_of(folder)                              the run that was merged into it    writing.py
    independent_copy(model)                     a copy to try a merge on           merging.py
    compare_dtypes(model)                       run and merged in 32 and 16 bits   rounding.py
    round_update(W, delta, format)              what a format leaves of an update  rounding.py
    rounding_view(rounded, name)                that, weight by weight             explorer.py
    explore_rounding(starts, updates, formats)  the same with sliders              explorer.py
    fold(model)                                 the adapter inside W, for a while  combining.py
    combine(model, weights, way)                a new adapter out of several       combining.py
    combination_error(model, name, weights)     how far it is from their sum       combining.py
    interference(model, tokenizer, tests)       every adapter asked every task     combining.py

`probe_tokens` and `logits` are what models are compared on. One adapter of several is chosen with
`lora.using`; that an unmerged one is slower is measured by `evaluate.latency`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
