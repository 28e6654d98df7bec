"""Did it help? Base and tuned on the same questions, every measure with its n and interval.

Taught in notebook 09, met in notebook 00.

    compare(base, tuned, tokenizer, test)       task, format, made up, time: both   comparison.py
    compare_again(known, base, tuned, …)        where the base has answered before  comparison.py
    flags(compared, forgotten)                  five rules for a red flag           red_flags.py
    score(model, tokenizer, test)               exact answers, format, fields       scoring.py
    score_replies(reader, test, replies)        the same of replies already there   scoring.py
    fuzzy(scored)                               how near are those not exact?       scoring.py
    rows_to_rate(test, scores)                  to be judged blind, by `audit`      scoring.py
    parse(reply, gold)                          a reply that is strictly in format  formats.py
    find_errors(reply, gold)                    not JSON, missing, extra, type …    formats.py
    Schema(…), read_schema(path)                a JSON Schema for replies           formats.py
    likeness(replies, golds)                    alike letter by letter, 0 to 1      formats.py
    Source(messages).holds(value)               was a value said before?            values.py
    keep_unseen(rows, run_folder)               without what a run was trained on   unseen.py
    hallucination_rate(model, tokenizer)        made up about strangers             hallucination.py
    latency(models, tokenizer, messages)        milliseconds per token              speed.py
    kl(log_p, log_q)                            KL(p ‖ q) at each position, nats    likelihood.py
    kl_from_base(base, tuned, tokenizer, rows)  KL between two models on answers    likelihood.py
    answer_log_probs(model, tokenizer, rows)    log p at every answer token         likelihood.py
    cost(before, after)                         loss, KL, agreement of two such     likelihood.py
    perplexity(model, tokenizer, rows)          exp of the mean −log p per token    likelihood.py
    surprisals(model, tokenizer, chats)         −log p of each last message         likelihood.py
    option_nats(model, tok, prompts, options)   −log p of each reply to choose from likelihood.py
    judge.examine(judge, pairs)                 a model as judge, and its biases    judge.py

What a tuning cost in other skills is measured in `forgetting`; tests of differences are `core`'s.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
