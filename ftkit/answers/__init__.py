"""What is right: the exercises, predictions and coding checks of every notebook, by their ids.

    find_exercise("00.1")     an exercise: its answer, its usual mistakes, its hints         book.py
    find_prediction("00.cost") a guess to be made before a cell runs, and its truth          book.py
    judge(exercise, answer)   right, rounded, or the likely mistake by name             comparing.py
    Exercise, Prediction      what they are made of                                      exercise.py
    check_lora(mine)          a LoRA layer of the reader's own, held against the paper   matrices.py

The exercises by theme: first_steps.py (ten, 00, 05, 16), mathematics.py (01, 02), sizes.py (03, 04,
14), training.py (07, 08, 10 to 12), judging.py (06, 09, 13, 15, 17). Code of a reader's own that
steps, counts or tests is checked in loops.py. How a reader meets them, is hinted at and scored is
`lessons`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
