"""Where the bytes of one training step go: predicted, traced, measured (notebook 04).

    predict(source, **options)   by formula, at once, without torch           formula.py
    trace(source, **options)     a real step on fake tensors                  fake_step.py
    trace_course(source, …)      the same, moment by moment                   fake_step.py
    measure(source, **options)   a real step                                  real_step.py
    make_step(source, …)         the options, checked: a Step                 step.py
    CHOICES, METHODS, PARTS      what options may be; the parts of a result   step.py
    sharded_peak(step, cards)    what each of several cards holds at least    formula.py
    bytes_kept(step)             what a layer keeps for its backward pass     formula.py
    build_model(step)            a step's model with numbers in it            real_step.py
    make_optimizer(step, …)      a step's optimizer                           fake_step.py
    compare_with_trace()         the formula beside the trace, as a table     fake_step.py
    compare_with_gpu()           writes formula and trace beside this GPU     real_step.py
    measured(card)               what that gave on a card                     gpus.py
    cards(), usable_bytes(card)  published GPUs, and what torch gets of one   gpus.py
    fits(source, card)           the longest row that a card holds            gpus.py
    room_for(model)              what a step may take of this GPU             gpus.py
    step_in_training(model, …)   the Step of a model that is being trained    gpus.py
    rows_that_fit(step, room)    how many rows would fit together             gpus.py
    explain_full_gpu(model, …)   what to shrink when it did not fit           gpus.py
    memory_view(ledger, …)       one step against one card, drawn             explorer.py
    steps_view(ledgers, title)   several steps on one axis                    explorer.py
    course_view(moments, …)      one step from its first allocation on        explorer.py
    explore_fits(models, cards)  does it fit? with sliders                    explorer.py

A `Ledger` is the result: bytes by part, at the peak. Inside, `sizes.py` reads an architecture;
`decoder.py` is the step that the formula adds up, on the sizes of `autograd.py`; `storages.py` sees
every real tensor live. It trains nothing (`train` does) and counts no speed; four bits themselves
are `quant`'s.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
