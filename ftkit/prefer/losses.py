"""The losses of preferences and rewards, written out: log-probabilities in, a number out.

    dpo, ipo, orpo, simpo(logs, …)       losses of pairs; `PairLogs` is what they are made of
    kto(log_ratios, good, kl, …)         of answers that are each good or bad
    sft(logs)                            the chosen answers' own loss, which DPO may be given on top
    reward_model(chosen, rejected)       what a model of rewards is trained on
    rloo_advantages, grpo_advantages     how much better than the others of its group
    ppo_clip(log_p, old, advantages)     PPO's clipped objective; `k3(…)` is its distance to a base

Each is held equal to TRL's (tests/prefer). Who computes log-probabilities and takes steps is
`by_hand.py`; TRL's trainers are behind `by_trl.py`. Notebook 12.
"""

from typing import NamedTuple

import torch
from torch.nn import functional as F

Numbers = torch.Tensor  # one per pair, per answer or per token


class PairLogs(NamedTuple):
    """log p of both answers of each pair, summed over their tokens, end mark included."""

    chosen: Numbers
    rejected: Numbers
    ref_chosen: Numbers  # the same by the reference, which is not trained
    ref_rejected: Numbers
    chosen_tokens: Numbers  # how many they are
    rejected_tokens: Numbers

    @property
    def margins(self) -> Numbers:
        """How much more the chosen gained on the reference than the rejected, in nats."""
        return (self.chosen - self.ref_chosen) - (self.rejected - self.ref_rejected)


def dpo(logs: PairLogs, beta: float = 0.1) -> Numbers:
    """Direct preference optimization (Rafailov et al. 2023, eq. 7).

    −log σ(β [log π(c)/ref(c) − log π(r)/ref(r)]), mean over the pairs. It asks for the difference
    alone: both may fall, as long as the rejected falls faster.
    """
    return -F.logsigmoid(beta * logs.margins).mean()


def dpo_by_length(logs: PairLogs, beta: float = 2.0) -> Numbers:
    """DPO on means over tokens in place of sums, so that length counts less (Meng et al. 2024)."""
    chosen = (logs.chosen - logs.ref_chosen) / logs.chosen_tokens
    rejected = (logs.rejected - logs.ref_rejected) / logs.rejected_tokens
    return -F.logsigmoid(beta * (chosen - rejected)).mean()


def ipo(logs: PairLogs, beta: float = 0.1) -> Numbers:
    """Identity preference optimization (Azar et al. 2023, eq. 17): a goal, in place of ever more.

    (margin − 1 / 2β)², of means over tokens as TRL takes them and not of the paper's sums.
    """
    chosen = (logs.chosen - logs.ref_chosen) / logs.chosen_tokens
    rejected = (logs.rejected - logs.ref_rejected) / logs.rejected_tokens
    return ((chosen - rejected - 1 / (2 * beta)) ** 2).mean()


def sft(logs: PairLogs) -> Numbers:
    """The usual loss of the chosen answers: the mean −log p over all their tokens, in nats."""
    return -logs.chosen.sum() / logs.chosen_tokens.sum()


def orpo(logs: PairLogs, beta: float = 0.1) -> Numbers:
    """SFT and the odds of chosen against rejected (Hong et al. 2024, eq. 6): no reference.

    odds(y) = p / (1 − p), p the geometric mean over the tokens. The SFT part is `sft`, as in TRL.
    """
    chosen, rejected = logs.chosen / logs.chosen_tokens, logs.rejected / logs.rejected_tokens
    log_odds = (chosen - rejected) - (log_one_minus(chosen) - log_one_minus(rejected))
    return sft(logs) - beta * F.logsigmoid(log_odds).mean()


def log_one_minus(log_p: Numbers) -> Numbers:
    """log(1 − p) of log p."""
    return torch.log(-torch.expm1(log_p))


def simpo(logs: PairLogs, beta: float = 2.0, gamma: float = 0.5) -> Numbers:
    """Simple preference optimization (Meng et al. 2024, eq. 6): means over tokens, no reference.

    −log σ(β [mean log p(c) − mean log p(r)] − γ).
    """
    chosen, rejected = logs.chosen / logs.chosen_tokens, logs.rejected / logs.rejected_tokens
    return -F.logsigmoid(beta * (chosen - rejected) - gamma).mean()


def kto(log_ratios: Numbers, good: Numbers, kl: Numbers | float, beta: float = 0.1) -> Numbers:
    """Kahneman-Tversky optimization (Ethayarajh et al. 2024, eq. 8) of answers without partners.

    log_ratios: log π/ref of each answer; good: whether it is one to give. kl: the distance that
    the policy has gone already, not below 0, which no gradient reaches.
    """
    gain = torch.where(good.bool(), log_ratios - kl, kl - log_ratios)
    return (1 - torch.sigmoid(beta * gain)).mean()


def reward_model(chosen: Numbers, rejected: Numbers) -> Numbers:
    """−log σ(r(c) − r(r)) (Bradley & Terry 1952; Ouyang et al. 2022, eq. 1).

    Only differences count: to all rewards of a prompt any number may be added.
    """
    return -F.logsigmoid(chosen - rejected).mean()


def rloo_advantages(rewards: Numbers) -> Numbers:
    """Each reward less the mean of the others of its group (Ahmadian et al. 2024).

    rewards: (prompts, group), and so is what comes back. A group of equal rewards gives zeros:
    nothing is learned from it.
    """
    others = rewards.shape[1] - 1
    return rewards - (rewards.sum(1, keepdim=True) - rewards) / others


def grpo_advantages(rewards: Numbers) -> Numbers:
    """Each reward less its group's mean, over its standard deviation (Shao et al. 2024, §4.1.2)."""
    mean, spread = rewards.mean(1, keepdim=True), rewards.std(1, keepdim=True)
    return (rewards - mean) / (spread + 1e-4)


def ppo_clip(log_p: Numbers, old: Numbers, advantages: Numbers, epsilon: float = 0.2) -> Numbers:
    """PPO's clipped objective of each, to be made small (Schulman et al. 2017, eq. 7).

    −min(ρ A, clip(ρ, 1 − ε, 1 + ε) A), ρ = π/old: beyond the clip nothing is won any more. Where
    the policy has not moved yet ρ is 1, and the gradient that of −A · log π.
    """
    ratio = torch.exp(log_p - old)
    clipped = ratio.clamp(1 - epsilon, 1 + epsilon)
    return -torch.minimum(ratio * advantages, clipped * advantages)


def k3(log_p: Numbers, ref: Numbers) -> Numbers:
    """An estimate of KL(π ‖ ref) from a token that π drew: ref/π − log ref/π − 1, never below 0."""
    return torch.exp(ref - log_p) - (ref - log_p) - 1
