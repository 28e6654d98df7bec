"""Predict first: a guess before the cell that answers it, and the answer only after the guess.

    predict("00.share")                   the question's controls, below its prompt
    predict("00.share", "a twentieth")    the same without controls
    reveal("00.share", evidence, shown)   the next cell: what came out, and the figure

A living page holds the answer back until somebody has guessed or skipped; everywhere else, on
GitHub or under a test, it is folded up below. What can be guessed and what is true stands in
`answers`; guesses are kept in the `journal`. In every notebook.
"""

import html
import threading
from collections.abc import Callable
from typing import Any

from .. import answers
from ..answers import Prediction
from ..core.results import html_text
from ..show import still_and_live
from . import journal
from .displays import Rendered, rendered
from .guessing import Question
from .journal import GUESS, SKIP, TRUTH, Entry

NO_GUESS = "skip"  # predict("00.share", "skip") is the button Skip
# On a page without a kernel the answer is there, one click away from whoever reads the question.
FOLDED = "<details><summary><b>The answer</b></summary>{}</details>"
LOCK = threading.RLock()
WAITING: dict[str, list[Callable[[], None]]] = {}  # by id: answers that wait for a guess
QUESTIONS: dict[str, Question] = {}  # by id: the controls that were shown last
OUT: set[str] = set()  # ids whose answer was seen in this kernel


def predict(name: str, guess: Any = None) -> None:
    """Ask a prediction, with controls; or with `guess` keep one without them.

    name: the prediction's id; guess: one of its options, a number, its items in order, or "skip".
    An earlier guess is kept and told; it can be changed until the answer is seen, and the journal
    holds both. Raises UserError for an unknown id and for what can't be guessed.
    """
    asked = answers.find_prediction(name)
    journal.shown(name)
    if guess is not None and guess is not ...:
        skipped = answers.as_words(guess) == NO_GUESS
        sentence = skip(asked) if skipped else keep(asked, guess)
        show_sentence(sentence)
        return

    # the controls; the guess of an earlier run or kernel stays
    question = Question(asked, lambda guess: keep(asked, guess), lambda: skip(asked))
    with LOCK:
        QUESTIONS[name] = question
        earlier = last_guess(name)
        if earlier is not None:
            question.say(told_again(asked, earlier))
        if earlier is not None and is_out(name):
            question.close()
    said = question.text if earlier is None else told_again(asked, earlier)
    still_and_live(question.still, said, question.box)


def reveal(name: str, evidence: Any, shown: Any = None) -> None:
    """Answer a prediction with what was measured, and show `shown` below.

    name: the prediction's id; evidence: what its truth is computed from. shown: a figure, table,
    panel or a list of them, or a function of the guess (None without one) that gives it, so that a
    figure can draw the guess. Before there is a guess a living page shows none of it. Raises
    UserError where the evidence is not what the prediction asks for.
    """
    asked = answers.find_prediction(name)
    journal.shown(name)
    with LOCK:
        earlier = last_guess(name)
        if earlier is not None:
            show_rendered(answer(asked, earlier, evidence, shown))
            return
        still = drawn(asked, None, evidence, shown)
        waiting = Waiting(asked, evidence, shown, still)
        WAITING.setdefault(name, []).append(waiting.open)
    still_and_live(FOLDED.format(still.html), still.text, waiting.box)


class Waiting:
    """An answer that is held back on a living page until there is a guess."""

    def __init__(self, asked: Prediction, evidence: Any, shown: Any, still: Rendered):
        import ipywidgets

        self.asked, self.evidence, self.shown, self.still = asked, evidence, shown, still
        words = ipywidgets.HTML("The answer waits for your guess above.")
        wide = ipywidgets.Layout(width="auto")
        button = ipywidgets.Button(description="Show it without a guess", layout=wide)
        button.on_click(lambda _: skip(asked))
        button.add_class("ft-show")
        self.box = ipywidgets.VBox([words, button])
        self.box.add_class("ft-reveal")

    def open(self) -> None:
        """Show the answer in place of the words that it waits."""
        earlier = last_guess(self.asked.id)
        if earlier is None:
            return
        try:
            found = answer(self.asked, earlier, self.evidence, self.shown)
        except Exception as error:
            # what a notebook's own function of the guess raises would be lost in a widget's log
            why = html.escape(f"{type(error).__name__}: {error}")
            found = Rendered(f"{self.still.html}<div>{why}</div>", self.still.text)
        self.box.children = [found.live]


def keep(asked: Prediction, guess: Any) -> str:
    """Record a guess, and let go what waits for it; what is then said."""
    guess = answers.check_guess(asked, guess)
    with LOCK:
        earlier = last_guess(asked.id)
        same = earlier is not None and given(asked, earlier) == guess
        if is_out(asked.id) and not same:
            return f"The answer is out, so this stays: {told(asked, earlier)}"
        if not same:
            journal.write(asked.id, GUESS, guess)
        changed = earlier is not None and not same
        sentence = told(asked, last_guess(asked.id))
        if changed:
            sentence += f" Before: {told(asked, earlier)}"
        return finish(asked, sentence)


def skip(asked: Prediction) -> str:
    """Record that nothing was guessed, and let go what waits; what is then said."""
    with LOCK:
        earlier = last_guess(asked.id)
        if earlier is None:
            journal.write(asked.id, SKIP)
        return finish(asked, told(asked, earlier or last_guess(asked.id)))


def finish(asked: Prediction, sentence: str) -> str:
    """Open the answers that wait; the sentence, with the journal's own behind it."""
    for opening in WAITING.pop(asked.id, []):
        opening()
    return f"{sentence} {journal.say()}".rstrip()


def answer(asked: Prediction, earlier: Entry, evidence: Any, shown: Any) -> Rendered:
    """The answer to a guess, drawn; from now on the guess stays."""
    found = drawn(asked, given(asked, earlier), evidence, shown)
    outcome = answers.outcome(asked, given(asked, earlier), evidence)
    OUT.add(asked.id)
    if not was_told(asked.id):
        journal.write(asked.id, TRUTH, outcome.truth, right=outcome.right)
    if asked.id in QUESTIONS:
        QUESTIONS[asked.id].close()
    return found


def drawn(asked: Prediction, guess: Any, evidence: Any, shown: Any) -> Rendered:
    """The sentence about a guess and what came out, with `shown` below it."""
    outcome = answers.outcome(asked, guess, evidence)
    sign = {True: "✓ ", False: "✗ ", None: ""}[outcome.right]
    below = rendered(shown, guess)
    head = f"<div><b>{html_text(sign + outcome.sentence)}</b></div>"
    text = "\n".join(filter(None, [sign + outcome.sentence, below.text]))
    return Rendered(head + below.html, text, below.widget, head)


def last_guess(name: str) -> Entry | None:
    """What was guessed last, or that it was skipped; None before either."""
    notebook = name.split(".")[0]
    made = [e for e in journal.entries(notebook) if e.id == name and e.kind in (GUESS, SKIP)]
    return made[-1] if made else None


def was_told(name: str) -> bool:
    """Whether the truth was recorded after the last guess."""
    notebook = name.split(".")[0]
    kinds = [entry.kind for entry in journal.entries(notebook) if entry.id == name]
    return bool(kinds) and kinds[-1] == TRUTH


def is_out(name: str) -> bool:
    """Whether the answer was seen, in this kernel or an earlier one."""
    return name in OUT or was_told(name)


def given(asked: Prediction, entry: Entry) -> Any:
    """An entry's guess as the prediction has it; None for a skip."""
    return None if entry.kind == SKIP else answers.check_guess(asked, entry.answer)


def told(asked: Prediction, entry: Entry | None) -> str:
    """The sentence about a guess: "You said a hundredth."."""
    if entry is None or entry.kind == SKIP:
        return "You skipped this one."
    guess = given(asked, entry)
    words = ", ".join(guess) if isinstance(guess, tuple) else guess
    return f"You said {words if isinstance(words, str) else answers.spell(words)}."


def told_again(asked: Prediction, entry: Entry) -> str:
    """An earlier guess, and whether it can still be changed."""
    change = "The answer is out." if is_out(asked.id) else "Change it, if you like, and press Keep."
    return f"{told(asked, entry)} {change}"


def show_sentence(sentence: str) -> None:
    """Show a line of text below the cell."""
    show_rendered(Rendered(f"<div>{html.escape(sentence, quote=False)}</div>", sentence))


def show_rendered(found: Rendered) -> None:
    """Show HTML with its text; in a plain Python shell, the text."""
    if found.widget is not None:
        still_and_live(found.html, found.text, found.live)
        return
    import sys

    module = sys.modules.get("IPython")
    if module is None or module.get_ipython() is None:
        sys.stdout.write(f"{found.text}\n")
        return
    from IPython.display import display

    display({"text/html": found.html, "text/plain": found.text}, raw=True)
