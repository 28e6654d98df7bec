"""Rows to learn from: read, split, mixed; and what of them carries loss (notebook 00 and on).

    load(name, tokenizer)             train, validation and test splits      sets.py
    test_rows(name)                   the rows to judge a model on           sets.py
    read(path)                        a file's rows, every bad one named     sets.py
    read_pairs(path)                  the same of preference pairs           sets.py
    load_pairs(path)                  their splits                           sets.py
    to_dataset(rows)                  rows as a datasets.Dataset             sets.py
    check(path, tokenizer)            what is in a file, before any run      checking.py
    to_messages(row)                  any known format as chat messages      chat.py
    count_answer_tokens(chat, tok)    tokens of its last answer              chat.py
    render(chat, tokenizer)           its tokens, and which carry loss       rendering.py
    row_hash(row)                     what a row says, as a short text       duplicates.py
    copies, near_copies, near_pairs   rows that are there twice, or nearly   duplicates.py
    first(rows, n)                    the first n rows                       mixing.py
    mix(train, general, share)        with a share of general rows           mixing.py
    replace_answers(rows, replies)    the same prompts, other answers        mixing.py

`files.py` opens files of every kind, `records.py` finds the rows in them, `messages.py` checks a
message, `template.py` writes a chat as the model's template does. This wing draws no rows (`world`
does) and makes no batches (`models` and `train` do).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
