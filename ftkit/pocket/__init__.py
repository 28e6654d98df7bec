"""The pocket model, trained from nothing on the micro-world: what data/pocket is made by.

    pretrain_and_ship(plan, out)      train, score, write: the verb `pretrain`     pretraining.py
    pretrain(plan, out)               the training alone, resumable                pretraining.py
    Plan(seed, …)                     everything that decides the bytes            plan.py
    plan.train_tokenizer(plan)        the tokenizer, from other seeds' words       plan.py
    batches.make_batch(plan, …)       the corpus as one step's rows                batches.py
    card.as_markdown(card)            data/pocket/README.md out of card.json       card.py

No notebook trains it, all of them use it. It fine-tunes nothing (`train` does), and what it reads
stands in `world`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
