"""Which prompts broke? Those that the base answered right and the tuned model does not.

    regressions(forgotten, model, tokenizer)    each with both replies, to be read

It is the regression suite of the guides, and need not be invented: it is whatever the base already
did right. How much was lost in all is `probing.Forgetting`'s. Notebooks 09 and 10.
"""

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ..core.results import Result, TableParts, about
from ..models import answer
from ..world import World
from .probing import LONGEST_ANSWER, Forgetting, draw_probes

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class BrokenPrompt(NamedTuple):
    """A prompt that went from right to wrong."""

    skill: str
    prompt: str
    base: str  # the right reply, which the base gave
    tuned: str  # what the tuned model replies


@dataclass(frozen=True, repr=False)
class Regressions(Result):
    """The prompts that the base answered right and the tuned model does not."""

    broken: list[BrokenPrompt]
    passed: int  # prompts that the base answered right

    @property
    def counts(self) -> dict[str, int]:
        """How many broke by skill, most first."""
        return dict(Counter(prompt.skill for prompt in self.broken).most_common())

    def table(self) -> TableParts:
        """One line per prompt."""
        broken, passed = about(len(self.broken)), about(self.passed)
        title = f"{broken} of {passed} prompts that the base answered right"
        return title, ("where", "prompt", "base", "tuned"), list(self.broken)


def regressions(
    forgotten: Forgetting,
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    seed: int = 0,
    world: World | None = None,
) -> Regressions:
    """The skill probes that went from right to wrong, and what the tuned `model` says now.

    seed, world: those that `forgetting.skills` was given, so that the same probes are drawn again.
    """
    broken = []
    for skill, before in forgotten.before.right.items():
        (probes,) = draw_probes(tokenizer, len(before), seed, [skill], world).values()
        after = forgotten.after.right[skill]
        for probe, was_right, is_right in zip(probes, before, after, strict=True):
            if was_right and not is_right:
                broken.append((skill, probe))

    chats = [[{"role": "user", "content": probe.prompt}] for _, probe in broken]
    replies = answer(model, tokenizer, chats, LONGEST_ANSWER)
    prompts = [
        BrokenPrompt(skill, probe.prompt, probe.answer, reply)
        for (skill, probe), reply in zip(broken, replies, strict=True)
    ]
    return Regressions(prompts, passed=sum(map(sum, forgotten.before.right.values())))
