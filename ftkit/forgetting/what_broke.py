"""TODO header of forgetting.what_broke."""

from dataclasses import dataclass

from ..core.results import Result, about
from ..evaluate import Score
from ..models import answer
from ..world import World
from .probing import LONGEST_ANSWER, Forgetting, probes


@dataclass(frozen=True, repr=False)
class Regressions(Result):
    """Prompts that the base answered right and the tuned model does not: (where, prompt, the base's
    right reply, the tuned one's).
    """

    broken: list[tuple[str, str, str, str]]
    passed: int  # prompts that the base answered right

    @property
    def counts(self) -> dict[str, int]:
        """How many broke, by where, most first."""
        where = [b[0] for b in self.broken]
        return dict(
            sorted(((w, where.count(w)) for w in dict.fromkeys(where)), key=lambda kv: -kv[1])
        )

    def table(self):
        """One line a prompt."""
        title = f"{about(len(self.broken))} of {about(self.passed)} prompts that the base answered right"
        return title, ("where", "prompt", "base", "tuned"), self.broken


def regressions(
    forgotten: Forgetting, model, tokenizer, seed: int = 0, world: World | None = None
) -> Regressions:
    """The skill probes that went from right to wrong, and what the tuned `model` says now; `seed`
    and `world` as in `forgetting.skills`.
    """
    broken = []
    for name, before in forgotten.before.right.items():
        (group,) = probes(tokenizer, len(before), seed, [name], world).values()
        answered = zip(group, before, forgotten.after.right[name], strict=True)
        broken += [(name, probe) for probe, was, now in answered if was and not now]
    replies = answer(
        model,
        tokenizer,
        [[{"role": "user", "content": probe.prompt}] for _, probe in broken],
        LONGEST_ANSWER,
    )
    found = [
        (name, probe.prompt, probe.answer, reply)
        for (name, probe), reply in zip(broken, replies, strict=True)
    ]
    return Regressions(found, sum(map(sum, forgotten.before.right.values())))


def row_regressions(test, base: Score, tuned: Score) -> Regressions:
    """The test rows that went from right to wrong."""
    broken = [
        (f"row {i}", m[-2]["content"], b, t)
        for i, (m, b, t, was, now) in enumerate(
            zip(test["messages"], base.replies, tuned.replies, base.exact, tuned.exact, strict=True)
        )
        if was and not now
    ]
    return Regressions(broken, sum(base.exact))
