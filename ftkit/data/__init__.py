"""Rows to learn from: read, split, mixed; and what of them carries loss (notebook 00 and on).

    load(name, tokenizer)             train, validation and test splits      sets.py
    test_rows(name)                   the rows to judge a model on           sets.py
    read(path)                        a JSONL file's rows, bad lines named   sets.py
    to_messages(row)                  any known format as chat messages      chat.py
    count_answer_tokens(chat, tok)    how many of its tokens carry loss      chat.py
    first(rows, n)                    the first n rows                       mixing.py
    mix(train, general, share)        with a share of general rows           mixing.py
    replace_answers(rows, replies)    the same prompts, other answers        mixing.py

Which tokens carry loss in a run is decided in `train/batches.py`; `chat.py` counts them. This wing
draws no rows (`world` does) and makes no batches (`models` and `train` do).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
