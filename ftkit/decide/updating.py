"""New facts as passages and as questions, what changes of them, and who still says the old ones.

    new_facts()                          240 facts that no base model can know
    update_facts(facts, n)               the same list with n of them changed
    sentences(facts)                     each as a sentence: passages to be searched
    questions(facts, "test")             each as a chat row that asks for it
    staleness(replies, before, after)    of what changed: right, stale, other

A tuned model knows the facts of its training rows, and an index those that it was last given. How
long a fact stays true, no data set says. Notebook 06.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .. import data
from ..core.errors import UserError, is_whole
from ..core.results import Result, TableParts
from ..core.statistics import Rate
from ..world import Split, World, entities, tasks, turns

if TYPE_CHECKING:
    from datasets import Dataset

CHANGED = 48  # of 240 facts: a fifth


def new_facts(world: World | None = None) -> list[tasks.NewFact]:
    """The facts of the data set "facts", in its order: four about each of sixty new people."""
    return tasks.draw_facts(world or World())


def update_facts(
    facts: Sequence[tasks.NewFact], n: int = CHANGED, seed: int = 0
) -> list[tasks.NewFact]:
    """The facts with `n` of them changed: the same person and attribute, another value.

    Which ones, and to what, is drawn by `seed`. Raises UserError unless 1 ≤ n ≤ the facts there
    are.
    """
    if not is_whole(n) or not 1 <= n <= len(facts):
        raise UserError(
            f"n is {n!r}; give a whole number from 1 to {len(facts)}, the facts there are."
        )
    rng = random.Random(f"update {seed}")
    changed = list(facts)
    for place in sorted(rng.sample(range(len(facts)), n)):
        old = facts[place].fact
        while (value := entities.draw_value(old.attribute, rng, "train")) == old.value:
            pass
        changed[place] = facts[place]._replace(fact=replace(old, value=value))
    return changed


def sentences(facts: Sequence[tasks.NewFact | entities.Fact]) -> list[str]:
    """Each fact as a sentence, in their order: the passages of an index.

    The form is drawn for each fact, by its person and attribute alone, so an update changes nothing
    but the value. Facts of the world itself are taken, too.
    """
    stated = []
    for new in facts:
        fact = new.fact if isinstance(new, tasks.NewFact) else new
        stated.append(fact.state(random.Random(f"{fact.entity}, {fact.attribute}")))
    return stated


def questions(facts: Sequence[tasks.NewFact], split: Split = "test") -> "Dataset":
    """Each fact as a chat row that asks for it, in the words of this side ("train" or "test")."""
    rows = []
    for new in facts:
        wording = new.to_test if split == "test" else new.to_learn
        rows.append(tasks.chat_row(turns.Turn(new.fact.say(wording), new.fact.value)))
    return data.to_dataset(rows)


@dataclass(frozen=True, repr=False)
class Staleness(Result):
    """What is answered after an update, of the rows whose answer changed and of the others."""

    right: Rate  # of the changed: the new answer
    stale: Rate  # of the changed: the old one
    unchanged: Rate  # of the others: right

    @property
    def other(self) -> Rate:
        """Of the changed: neither the new answer nor the old one."""
        return Rate(self.right.n - self.right.hits - self.stale.hits, self.right.n)

    def table(self) -> TableParts:
        """One line for each way to answer."""
        rows = [
            ("changed: the new answer", self.right),
            ("changed: the old answer (stale)", self.stale),
            ("changed: another one", self.other),
            ("unchanged: right", self.unchanged),
        ]
        title = f"After an update of {self.right.n} of {self.right.n + self.unchanged.n} answers"
        return title, ("answered with", "share [95 % interval]"), rows


def staleness(replies: Sequence[str], before: "Dataset", after: "Dataset") -> Staleness:
    """Replies that were given after an update, held to the answers before and after it.

    before, after: the same questions in the same order, with the old and the new answers as last
    messages. Texts are compared without white space around them. Raises UserError where the two
    do not ask the same, or no answer changed.
    """
    old, new = (
        [chat[-1]["content"].strip() for chat in rows["messages"]] for rows in (before, after)
    )
    asked = [[chat[:-1] for chat in rows["messages"]] for rows in (before, after)]
    if asked[0] != asked[1] or len(replies) != len(new):
        raise UserError(
            f"there are {len(old)} rows before the update, {len(new)} after it and "
            f"{len(replies)} replies; give the same questions in the same order."
        )
    places = [place for place in range(len(new)) if old[place] != new[place]]
    if not places:
        raise UserError("no answer changed between the rows before and after; change one at least.")
    said = [reply.strip() for reply in replies]
    others = [place for place in range(len(new)) if old[place] == new[place]]
    return Staleness(
        right=Rate(sum(said[place] == new[place] for place in places), len(places)),
        stale=Rate(sum(said[place] == old[place] for place in places), len(places)),
        unchanged=Rate(sum(said[place] == new[place] for place in others), len(others)),
    )
