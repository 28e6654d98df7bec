"""What a reader works with: predictions, exercises that answer back, and proofs one fold away.

    predict("00.share")       a guess before the cell that answers it                  predicting.py
    reveal("00.share", found) the answer, on a living page only after the guess        predicting.py
    check("00.1", answer)     right, or the likely mistake by name, and a ladder         checking.py
    score_card("00")          what a reader made of a notebook                             scores.py
    claims({sentence: truth}) the proof of a sentence, one fold away                        proof.py
    SAME, OTHER, UNASKED      how a claim comes out on another model                        proof.py
    check_scripts()           which of the guides' arguments are still taken               guides.py
    interview.cards()         questions of interviews, answers, proofs               interview.py
    interview.practise("lora") your answer first, then the strong one beside it      interview.py
    interview.lead(["lora"])  a talk with clock, rubric, notes, export               interview.py

Controls of a guess lie in guessing.py, what is shown late is drawn by displays.py, what was
answered is kept by journal.py, and an interview's figures and demos are computed by evidence.py.
What is right stands in `answers`; a wrong answer raises nothing.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
