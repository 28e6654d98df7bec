"""Low-rank adapters: what the rank of a matrix is, LoRA and DoRA, and adapters on a whole model.

Notebooks 01 (the mathematics), 02 (LoRA by hand and by peft), 02b (counted) and 13 (several).

    attach(model, r, alpha, targets)  a peft model with a fresh adapter         by_peft.py
    load(model, folder, name)         the base with a saved adapter             by_peft.py
    check_saved(model, folder)        refuses one that is not whole             by_peft.py
    carry_over(model, base)           the adapter that is on, on another base   by_peft.py
    using(model, name)                in a `with`: one adapter, None: the base  by_peft.py
    trainable(model)                  (trained, all) parameters                 by_peft.py
    is_attached(model)                whether it carries an adapter             by_peft.py
    adapter_bytes(model)              {adapter: bytes, …, "base": the rest}     by_peft.py
    PeftModel                         peft's own class, for annotations         by_peft.py
    LoRALinear(base, r, alpha)        W x + (alpha/r) · B A x, in plain torch   by_hand.py
    DoRALinear(base, r, alpha)        DoRA: a length per row, and a direction    by_hand.py
    delta_w(A, B, alpha)              ΔW = (alpha/r) · B A                      by_hand.py
    weight(source, name)              one matrix W, the model never built             updates.py
    find_layer(source, part, layer)   a layer's full name                       updates.py
    deltas(tuned, base)               {layer: ΔW} of a tuned model              updates.py
    add_updates(model, changes)       in a `with`: W + ΔW in place of W         updates.py
    count(source, r, targets)         what a LoRA trains, by formula            counting.py
    count_and_check(source, …)        the same, held to peft's own count        counting.py
    count_all(r, targets)             every architecture of the kit             counting.py
    choose_layers(names, targets)     what `targets` means                      targets.py
    check_rank(r, width)              refuses a rank that can't be              targets.py
    spectrum.svd(W)                   singular values, overlap, intruders       spectrum.py
    rank_view, explore_ranks          what a cut to rank r keeps                rank_explorer.py
    alpha_view, explore_alphas        alpha and the learning rate, over runs    alpha_explorer.py
    alpha_grid(rows)                  a grid's runs by alpha and rate              alpha_explorer.py
    target_view, explore_targets      where a LoRA sits, and what it trains     target_explorer.py

What a saved adapter has to hold, and on which base, is checked in `saved.py`. Here nothing is
trained (`train.sft`), no adapter is folded into W (`merge`) and no W is rounded (`quant`).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
