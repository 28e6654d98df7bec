"""The micro-world that the pocket model knows, with its answer key (notebook 00 and on).

    World(seed)                        people, countries, things and their facts   entities.py
    Split                              "train" or "test": who is held out          entities.py
    skills.draw_suite(world, name, n)  probes with one right answer each           skills.py
    draw_different(draw, n, key)       n different draws of anything               skills.py
    draw_stories(world, n)             held-out stories                            skills.py
    SKILLS, LIMITS                     suites with a bar to meet, and without      skills.py
    turns.ticket(rng, split)           a support ticket and its fields             turns.py
    turns.unknown(world, rng, …)       a question about a stranger                 turns.py
    turns.BY_NAME[skill](world, …)     one question of a skill and its answer      turns.py
    corpus.documents(world, i, mix)    the training text of batch i                corpus.py
    corpus.digest(world)               the fingerprint of world and corpus         corpus.py
    BOS, END, PAD, SPECIALS            the marks in that text                      corpus.py
    conventions.tray(rng, split) …     what only a company knows: four more tasks conventions.py
    tasks.write(folder, world)         the data sets of data/tasks                 tasks.py
    lexicon                            its words and sentence forms                lexicon.py

It asks no model and trains none: `forgetting` asks, `pocket` trains.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
