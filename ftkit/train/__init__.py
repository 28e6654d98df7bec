"""Supervised fine-tuning: chats and a recipe in, a tuned model, its curves and a record out.

Notebook 07 writes the loop by hand and turns the dials; notebook 00 uses it.

    sft(model, tokenizer, rows, recipe)    a Run: the tuned model, the curves     supervised.py
    Recipe(lr=…, epochs=…)                 the hyperparameters, checked           recipe.py
    warn_of_rate(lr, method)               what an absurd rate will do            recipe.py

    Experiment.read(path)                  a whole run as a file states it        experiment.py
    train_into(experiment, out)            that run in a folder, safe to kill     run_folder.py
    claim_next(out)                        a new run-N there, for one caller      run_folder.py
    save_run(experiment, run, …, out)      run.json beside the adapter            run_folder.py
    read_record(out)                       the run.json of a folder               experiment.py
    trained_rows(out)                      what it was trained on, hashed         run_folder.py
    reopen(out)                            (tuned, base, tokenizer)               run_folder.py

    sft_config(recipe, folder, …)          TRL's SFTConfig for a recipe           trainer.py
    as_trl(rows, tokenizer)                rows for TRL: which tokens carry loss  batches.py
    rows_at_once(model, …, recipe)         how many rows go through at once       batches.py
    train_or_resume(trainer, watcher)      goes on from the last checkpoint       resuming.py

    whole_checkpoints(folder)              {step: path}, none that is half there  checkpoint.py
    write_checkpoint(folder, step)         a folder that becomes a checkpoint     checkpoint.py
    lock_folder(folder)                    one process at a time                  checkpoint.py
    moments(optimizer)                     its state as tensors with names        checkpoint.py
    differences(was, now)                  what changed between two records       checkpoint.py

    tokens_view, token_losses_view         one row, token by token                explorer.py
    explore_batches, explore_masks         padding; who sees whom in a pack       explorer.py

    under_way(), TokenLosses(…)            the training of this session, watched  watcher.py

Inside, `watcher.py` draws the curves and the bar. It does not load models (`models`), make adapters
(`lora`), mix rows (`data`) or judge what came of it (`evaluate`, `forgetting`).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
