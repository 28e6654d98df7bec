"""The loops of preference and reward by hand: pairs or rewards in, a step at a time out.

    sample(model, tokenizer, chats, n, …)      `Samples`: n replies to each chat, drawn
    pair_logs(model, pairs, tokenizer)         `losses.PairLogs` of pairs, by model and reference
    read_pairs(model, pairs, tokenizer)        log p of both answers of pairs, without gradients
    tune_on_pairs(model, tokenizer, pairs, …)  any loss of `losses` on pairs, step by step
    reinforce(model, tokenizer, rows, …)       RLOO or GRPO on a reward, step by step
    tune_reward_model(model, …)                a model of rewards on pairs, step by step
    answer_logs(model, samples)                log p of each token of each reply

The reference is the model with its adapter off, or what `reference` says. The same runs by TRL are
`tuning`'s; these loops show every step, and the grid "preferences" is made with them. Notebook 12.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from transformers import GenerationConfig

from .. import lora, models
from ..core.errors import UserError, is_number, is_whole
from ..core.session import plain_torch
from . import losses
from .losses import PairLogs
from .pairs import TokenPair
from .rewards import Reward, ask_reward, read_scores

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ..lora import PeftModel

LARGEST_STEP = 1.0  # norm of the gradient, by which it is cut down
AT_ONCE = 16  # pairs that are only read


@dataclass(frozen=True)
class Pace:
    """How fast and how long a loop goes: AdamW, its rate falling to 0 in a line, or level."""

    lr: float = 2e-3
    steps: int = 24
    batch_size: int = 8  # pairs of a step
    seed: int = 0  # of the order of the rows
    falls: bool = True


@dataclass(frozen=True)
class Rollouts:
    """What a step of reinforcement draws, and how rewards become steps."""

    prompts: int = 8  # of a step
    group: int = 8  # replies to each
    max_new_tokens: int = 24
    temperature: float = 1.0
    # What a nat of distance to the base costs: taken off the reward, or by GRPO put into the loss.
    beta: float = 0.0
    advantages: Callable[[torch.Tensor], torch.Tensor] = losses.rloo_advantages


class Samples(NamedTuple):
    """Replies drawn from a model: rows of one prompt follow each other."""

    ids: torch.Tensor  # (rows, tokens): prompts padded on the left, replies on the right
    mask: torch.Tensor  # 1 where there is a token
    replied: torch.Tensor  # (rows, reply tokens): 1 up to the end mark, which counts
    texts: list[str]
    group: int  # replies to each prompt

    @property
    def lengths(self) -> torch.Tensor:
        """Tokens of each reply, its end mark included."""
        return self.replied.sum(1)


@plain_torch()
def sample(
    model: "PreTrainedModel | PeftModel",
    tokenizer: "PreTrainedTokenizerBase",
    chats: Sequence[list[dict]],
    n: int = 8,
    *,
    max_new_tokens: int = 24,
    temperature: float = 1.0,
) -> Samples:
    """`n` replies to each chat, drawn by torch's generator from the model's own distribution."""
    if not is_whole(n) or n < 1:
        raise UserError(f"n is {n!r}; give a whole number of replies from 1 on.")
    if not is_number(temperature) or temperature <= 0:
        raise UserError(f"temperature is {temperature!r}; give a number above 0, such as 1.0.")
    # all prompts in one batch, each so many times, in the order given
    repeated = [chat for chat in chats for _ in range(n)]
    ((places, batch),) = models.prompt_batches(tokenizer, repeated, batch_size=len(repeated))
    order = torch.tensor(places).argsort()
    inputs = {name: values[order].to(model.device) for name, values in batch.items()}
    asked = cast("PreTrainedModel", model)  # a peft model has the same calls
    reader = models.ReplyReader(asked, tokenizer)
    config = drawing_config(reader, tokenizer, max_new_tokens, temperature)
    with models.asking(asked):
        written = models.write(asked, dict(inputs), generation_config=config)

    # a reply counts up to the first token that ends it
    ends = torch.isin(written, torch.tensor(sorted(reader.ends), device=written.device))
    replied = (ends.cumsum(1) - ends.long() == 0).long()
    return Samples(
        ids=torch.cat([inputs["input_ids"], written], 1),
        mask=torch.cat([inputs["attention_mask"], replied], 1),
        replied=replied,
        texts=[reader.read(row).text for row in written.tolist()],
        group=n,
    )


def drawing_config(
    reader: models.ReplyReader,
    tokenizer: "PreTrainedTokenizerBase",
    max_new_tokens: int,
    temperature: float,
) -> GenerationConfig:
    """How `generate` draws from all tokens by their probability, until one ends the reply."""
    return GenerationConfig(
        do_sample=True,
        temperature=float(temperature),
        top_k=0,
        max_new_tokens=max_new_tokens,
        eos_token_id=sorted(reader.ends),
        pad_token_id=tokenizer.pad_token_id,
    )


def answer_logs(model: torch.nn.Module, samples: Samples) -> torch.Tensor:
    """log p of each token of the replies, (rows, reply tokens); 0 behind the end of one."""
    length = samples.replied.shape[1]
    positions = (samples.mask.cumsum(-1) - 1).clamp(min=0)
    output = models.read(
        model, input_ids=samples.ids, attention_mask=samples.mask, position_ids=positions
    )
    logits = output.logits[:, -length - 1 : -1].float().log_softmax(-1)
    said = samples.ids[:, -length:, None]
    return logits.gather(-1, said)[..., 0] * samples.replied


def pair_log_probs(
    model: torch.nn.Module, pairs: Sequence[TokenPair], pad: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """(log p of the chosen, of the rejected answers): sums over tokens, end mark included."""
    answers = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]
    rows = [[*pair.prompt, *answer] for pair, answer in zip([*pairs, *pairs], answers, strict=True)]
    longest = max(map(len, rows))
    ids = torch.tensor([[*row, *[pad] * (longest - len(row))] for row in rows])
    # by token: is it one of the answer's?
    own = torch.zeros_like(ids)
    for row, (whole, answer) in enumerate(zip(rows, answers, strict=True)):
        own[row, len(whole) - len(answer) : len(whole)] = 1
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    device = next(model.parameters()).device
    ids, own, mask = ids.to(device), own.to(device), mask.to(device)
    logits = models.read(model, input_ids=ids, attention_mask=mask).logits[:, :-1].float()
    log_p = logits.log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0]
    chosen, rejected = (log_p * own[:, 1:]).sum(1).chunk(2)
    return chosen, rejected


def token_log_probs(model: torch.nn.Module, pair: TokenPair) -> list[torch.Tensor]:
    """log p of each token of the chosen answer, and of the rejected one."""
    found = []
    device = next(model.parameters()).device
    for answer in (pair.chosen, pair.rejected):
        ids = torch.tensor([[*pair.prompt, *answer]], device=device)
        logits = models.read(model, input_ids=ids).logits[0, -len(answer) - 1 : -1].float()
        found.append(logits.log_softmax(-1).gather(-1, ids[0, -len(answer) :, None])[:, 0])
    return found


def pair_logs(
    model: torch.nn.Module,
    pairs: Sequence[TokenPair],
    tokenizer: "PreTrainedTokenizerBase",
    reference: "tuple[torch.Tensor, torch.Tensor] | None" = None,
) -> PairLogs:
    """What a loss needs of pairs; reference: its log p, by default the adapter switched off."""
    pad = pad_of(tokenizer)
    if reference is None:
        with torch.no_grad(), adapter_off(model):
            reference = pair_log_probs(model, pairs, pad)
    chosen, rejected = pair_log_probs(model, pairs, pad)
    sizes = [[len(pair.chosen), len(pair.rejected)] for pair in pairs]
    tokens = torch.tensor(sizes, dtype=chosen.dtype, device=chosen.device)
    return PairLogs(chosen, rejected, *reference, tokens[:, 0], tokens[:, 1])


def pad_of(tokenizer: "PreTrainedTokenizerBase") -> int:
    """The token that fills rows up; any one does, for it is masked."""
    return tokenizer.pad_token_id if isinstance(tokenizer.pad_token_id, int) else 0


@contextlib.contextmanager
def adapter_off(model: torch.nn.Module) -> Iterator[None]:
    """The base inside the block, which is the usual reference; UserError without an adapter."""
    if not lora.is_attached(model):
        raise UserError(
            "the model has no adapter, so it can't be its own reference; attach one by "
            "lora.attach(model), or give the reference's log-probabilities."
        )
    with model.disable_adapter():
        yield


@dataclass(frozen=True)
class PairStep:
    """What one step on pairs gave, before its weights moved."""

    step: int
    loss: float
    right: float  # share of the pairs whose chosen gained more than the rejected
    chosen: float  # mean log p of the chosen answers, in nats
    rejected: float
    fell: float  # share of the pairs whose chosen is less likely than by the reference


def tune_on_pairs(
    model: "PeftModel",
    tokenizer: "PreTrainedTokenizerBase",
    pairs: Sequence[TokenPair],
    loss: Callable[[PairLogs], torch.Tensor] = losses.dpo,
    pace: Pace | None = None,
) -> Iterator[PairStep]:
    """A step on pairs after the other, by AdamW.

    loss: of `losses`, or any of `PairLogs`; `lambda logs: losses.dpo(logs, 0.5)` sets its dials.
    The reference is what the model is when the first step is asked for, as in TRL. In the end the
    model is in evaluation mode. FloatingPointError at a loss that is not finite.
    """
    pace = pace or Pace()
    model.eval()  # dropout off, as TRL has it: it would blur the ratio
    start_chosen, start_rejected = read_pairs(model, pairs, tokenizer)
    optimizer, schedule = make_optimizer(model, pace)
    batches = endless(len(pairs), pace.batch_size, pace.seed)
    for step, places in zip(range(pace.steps), batches, strict=False):
        with plain_torch():
            reference = start_chosen[places], start_rejected[places]
            logs = pair_logs(model, [pairs[place] for place in places], tokenizer, reference)
            value = loss(logs)
            take_step(model, optimizer, value)
        schedule.step()
        yield PairStep(
            step=step + 1,
            loss=value.item(),
            right=(logs.margins > 0).float().mean().item(),
            chosen=logs.chosen.mean().item(),
            rejected=logs.rejected.mean().item(),
            fell=(logs.chosen < logs.ref_chosen).float().mean().item(),
        )


def read_pairs(
    model: torch.nn.Module, pairs: Sequence[TokenPair], tokenizer: "PreTrainedTokenizerBase"
) -> tuple[torch.Tensor, torch.Tensor]:
    """(log p of the chosen, of the rejected answers) of all pairs, without gradients."""
    with torch.no_grad():
        parts = [
            pair_log_probs(model, pairs[begin : begin + AT_ONCE], pad_of(tokenizer))
            for begin in range(0, len(pairs), AT_ONCE)
        ]
    chosen, rejected = zip(*parts, strict=True)
    return torch.cat(chosen), torch.cat(rejected)


def make_optimizer(
    model: torch.nn.Module, pace: Pace
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """(AdamW without weight decay on the trained parameters, its schedule)."""

    def share(step: int) -> float:
        return 1 - step / pace.steps if pace.falls else 1.0

    parameters = models.trained_parameters(model)
    optimizer = torch.optim.AdamW(parameters, lr=pace.lr, weight_decay=0.0)
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, share)


def take_step(model: torch.nn.Module, optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    """One step down the loss; FloatingPointError, and no step, where it is not finite."""
    if not loss.isfinite():
        raise FloatingPointError(f"the loss is {loss.item()}")
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(models.trained_parameters(model), LARGEST_STEP)
    optimizer.step()


def endless(n: int, batch_size: int, seed: int) -> Iterator[list[int]]:
    """The places of n things in batches, in another order every time through."""
    drawn = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(n, generator=drawn).tolist()
        yield from (order[start : start + batch_size] for start in range(0, n, batch_size))


@dataclass(frozen=True)
class RewardStep:
    """What one step of reinforcement gave: of the replies drawn before its weights moved."""

    step: int
    reward: float  # mean, before the distance is taken off
    kl: float  # nats per reply to the reference, on average
    tokens: float  # of a reply
    dead: float  # share of the groups whose rewards are all the same: they teach nothing
    rows: list[Mapping]  # those asked, each as often as there are replies to it
    texts: list[str]


def reinforce(
    model: "PeftModel",
    tokenizer: "PreTrainedTokenizerBase",
    rows: Sequence[Mapping],
    reward: Reward,
    pace: Pace | None = None,
    rollouts: Rollouts | None = None,
) -> Iterator[RewardStep]:
    """Draw replies, reward them, make the better ones likelier: one step after the other.

    rows: chats whose last message is the right answer, which the reward may look at. pace: 15 level
    steps by default; batch_size is not used. rollouts: what is drawn. The distance that `beta`
    counts is to the base, the adapter off; GRPO puts it into the loss by `losses.k3`. One gradient
    step for a batch of replies, so PPO's ratio is 1.
    """
    pace, drawing = pace or Pace(steps=15, falls=False), rollouts or Rollouts()
    optimizer, schedule = make_optimizer(model, pace)
    batches = endless(len(rows), drawing.prompts, pace.seed)
    for step, places in zip(range(pace.steps), batches, strict=False):
        asked = [rows[place] for place in places]
        chats = [row["messages"][:-1] for row in asked]
        longest, heat = drawing.max_new_tokens, drawing.temperature
        drawn = sample(
            model, tokenizer, chats, drawing.group, max_new_tokens=longest, temperature=heat
        )
        rewards = torch.tensor(ask_reward(reward, asked, drawn.texts)).view(-1, drawing.group)
        with plain_torch():
            loss, kl = reward_loss(model, drawn, rewards, drawing)
            take_step(model, optimizer, loss)
        schedule.step()
        yield RewardStep(
            step=step + 1,
            reward=rewards.mean().item(),
            kl=kl,
            tokens=drawn.lengths.float().mean().item(),
            dead=(rewards == rewards[:, :1]).all(1).float().mean().item(),
            rows=[row for row in asked for _ in range(drawing.group)],
            texts=drawn.texts,
        )


def reward_loss(
    model: "PeftModel", drawn: Samples, rewards: torch.Tensor, drawing: Rollouts
) -> tuple[torch.Tensor, float]:
    """(the loss of replies with their rewards (prompts, group), their distance in nats a reply)."""
    with torch.no_grad(), adapter_off(model):
        base = answer_logs(model, drawn)
    model.eval()
    log_p = answer_logs(model, drawn)
    distance = (log_p.detach() - base).sum(1)
    # what each reply is worth beside the others of its group
    grouped = drawing.advantages is losses.grpo_advantages
    paid = rewards
    if not grouped:
        paid = rewards - drawing.beta * distance.cpu().view(rewards.shape)
    worth = drawing.advantages(paid).flatten().to(log_p)
    loss_of = token_loss if grouped else reply_loss
    return loss_of(log_p, base, worth, drawn, drawing.beta), distance.mean().item()


def reply_loss(
    log_p: torch.Tensor, base: torch.Tensor, worth: torch.Tensor, drawn: Samples, beta: float
) -> torch.Tensor:
    """RLOO's: whole replies, each as likely as its worth says; distance is in the worth already."""
    whole = log_p.sum(1)
    return losses.ppo_clip(whole, whole.detach(), worth).mean()


def token_loss(
    log_p: torch.Tensor, base: torch.Tensor, worth: torch.Tensor, drawn: Samples, beta: float
) -> torch.Tensor:
    """GRPO's: token by token, each with its reply's worth, and `beta` times the distance."""
    taken = losses.ppo_clip(log_p, log_p.detach(), worth[:, None])
    taken = taken + beta * losses.k3(log_p, base) if beta else taken
    return (taken * drawn.replied).sum() / drawn.replied.sum()


def tune_reward_model(
    model: "PeftModel",
    tokenizer: "PreTrainedTokenizerBase",
    pairs: Sequence[TokenPair],
    pace: Pace | None = None,
) -> Iterator[float]:
    """The loss of each step of a reward model on pairs."""
    pace, pad = pace or Pace(steps=40), pad_of(tokenizer)
    model.eval()
    optimizer, schedule = make_optimizer(model, pace)
    batches = endless(len(pairs), pace.batch_size, pace.seed)
    for _, places in zip(range(pace.steps), batches, strict=False):
        batch = [pairs[place] for place in places]
        rows = [[*p.prompt, *p.chosen] for p in batch] + [[*p.prompt, *p.rejected] for p in batch]
        with plain_torch():
            chosen, rejected = read_scores(model, rows, pad).chunk(2)
            loss = losses.reward_model(chosen, rejected)
            take_step(model, optimizer, loss)
        schedule.step()
        yield loss.item()
