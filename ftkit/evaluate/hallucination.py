"""What does a model make up? Questions about strangers, whom nobody can know.

    hallucination_rate(model, tokenizer)    the share answered as if they were known

Their words come from `unknown` in `world/turns.py`, the suite from `world/skills.py`; `UNSURE`
knows the words of not knowing. Values in a reply that its prompt does not hold are counted in
`scoring`, skills that any model should keep in `forgetting`. Notebooks 00 and 09.
"""

import re
from typing import TYPE_CHECKING

from ..core.statistics import Rate
from ..models import answer
from ..world import World, skills

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

LONGEST_REPLY = 16  # tokens: whether a reply knows or not shows in its first words
UNSURE = "|".join(
    [
        r"^I don['’]t\b",
        r"(n['’]t|not|unable to|cannot) (\w+ ){0,2}"
        r"(know|have|find|sure|certain|aware|familiar|provide|identify|exist)\b",
        r"unknown|sorry|no (\w+ )?(information|record|one named|such)|made[- ]up|fictional",
    ]
)


def hallucination_rate(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    n: int = 100,
    world: World | None = None,
) -> Rate:
    """The share of `n` questions about strangers that are answered as if they were known.

    The pocket model says 'I don't know.'; other models have many words for it, and `UNSURE` knows
    the usual ones. Where fewer questions exist than `n`, so many are asked.
    """
    probes = skills.draw_suite(world or World(), "unknown", n)
    chats = [[{"role": "user", "content": probe.prompt}] for probe in probes]
    replies = answer(model, tokenizer, chats, LONGEST_REPLY)
    made_up = [re.search(UNSURE, reply, re.IGNORECASE) is None for reply in replies]
    return Rate(sum(made_up), len(made_up))
