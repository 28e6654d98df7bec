"""Each loss by hand is TRL's own, to a millionth, after the policy has left its reference."""

import types
import warnings

import pytest
import torch

from ftkit import lora, models, prefer, train
from ftkit.prefer import by_hand, by_trl, losses
from ftkit.prefer.tuning import Asking

ROWS = prefer.honesty_pairs(prefer.honesty(3, seed=5))


@pytest.fixture(scope="module")
def moved():
    """(a model that is no longer its reference, its tokenizer)."""
    base, tokenizer = models.load("pocket")
    model = lora.attach(base, r=4, seed=0)
    move(model)
    return model, tokenizer


def move(model):
    """Give the adapter's B some numbers."""
    drawn = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_B.default" in name:
            parameter.data = 0.05 * torch.randn(parameter.shape, generator=drawn)
    model.eval()


def trainer_of(name, tmp_path, rows=ROWS, reward=None, **dials):
    """(TRL's trainer on pairs, the model after its reference was noted, pairs as tokens)."""
    objective = train.Objective(name, **dials)
    recipe = train.Recipe(lr=1e-3, batch_size=len(rows), evaluations=0)
    base, tokenizer = models.load("pocket")
    if name == "reward":
        model = prefer.make_reward_model(base, r=4)
    else:
        model = lora.attach(base, r=4, seed=0)
    tokens, more = None, {"callbacks": [], "lasting": False}
    if objective.drawn:
        data = by_trl.as_prompts(rows, tokenizer, base)
        reader = models.ReplyReader(base, tokenizer)
        more["reward_funcs"] = Asking(reward, rows, reader)
    else:
        tokens = prefer.tokenize_pairs(rows, tokenizer, base)
        data = by_trl.as_trl(objective, tokens, recipe)
    trainer = by_trl.make_trainer(
        objective, model, tokenizer, {"train": data}, recipe, tmp_path, **more
    )
    move(model)
    return trainer, model, tokenizer, tokens


def batch_of(trainer):
    """The rows of a trainer as the batch that its loss sees."""
    columns = [trainer.train_dataset[n] for n in range(len(trainer.train_dataset))]
    return trainer.data_collator(columns)


@pytest.mark.parametrize(
    ("dials", "by_us"),
    [
        ({"beta": 0.3}, lambda logs: losses.dpo(logs, 0.3)),
        ({"loss": "ipo", "beta": 0.5}, lambda logs: losses.ipo(logs, 0.5)),
        ({"loss": "sigmoid_norm", "beta": 2.0}, lambda logs: losses.dpo_by_length(logs, 2.0)),
        ({"sft": 0.5}, lambda logs: losses.dpo(logs) + 0.5 * losses.sft(logs)),
    ],
    ids=["dpo", "ipo", "dpo by length", "dpo and sft"],
)
def test_losses_of_pairs_are_trls(tmp_path, dials, by_us):
    trainer, model, tokenizer, tokens = trainer_of("dpo", tmp_path, **dials)
    theirs = trainer.compute_loss(model, batch_of(trainer))
    with torch.no_grad(), by_hand.adapter_off(model):
        reference = by_hand.read_pairs(model, tokens, tokenizer)
    ours = by_us(prefer.pair_logs(model, tokens, tokenizer, reference))
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-6, abs=1e-6)
    still = by_us(losses.PairLogs(*2 * reference, *2 * [torch.ones(6)])).item()
    assert abs(ours.item() - still) > 0.01  # the policy has moved


def test_ktos_loss_is_trls(tmp_path):
    trainer, model, _, _ = trainer_of("kto", tmp_path, beta=0.2)
    batch = batch_of(trainer)
    theirs = trainer.compute_loss(model, batch)

    # by hand: each answer, and the answers of other prompts for the distance
    rows = trainer.train_dataset
    columns = (rows[name] for name in ("prompt_ids", "completion_ids", "KL_completion_ids"))
    own = [prefer.TokenPair(*ids) for ids in zip(*columns, strict=True)]
    answers, others = by_hand.pair_log_probs(model, own, 0)
    with torch.no_grad(), by_hand.adapter_off(model):
        ref_answers, ref_others = by_hand.pair_log_probs(model, own, 0)
    kl = (others - ref_others).mean().clamp(min=0).detach()
    ours = losses.kto(answers - ref_answers, torch.tensor(rows["label"]), kl, 0.2)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-6, abs=1e-6)


def test_a_reward_models_loss_is_trls(tmp_path):
    trainer, model, _, tokens = trainer_of("reward", tmp_path)
    theirs = trainer.compute_loss(model, batch_of(trainer))
    chats = [[*p.prompt, *p.chosen] for p in tokens] + [[*p.prompt, *p.rejected] for p in tokens]
    ours = losses.reward_model(*prefer.rewards.read_scores(model, chats, 0).chunk(2))
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-6, abs=1e-6)


LOGS = losses.PairLogs(
    *(torch.tensor(v) for v in ([-3.0, -9.0], [-7.0, -8.5], [-4.0, -8.0], [-6.5, -9.0])),
    torch.tensor([4.0, 6.0]), torch.tensor([5.0, 6.0]),
)  # fmt: skip
CHOSEN, REJECTED = LOGS.chosen / LOGS.chosen_tokens, LOGS.rejected / LOGS.rejected_tokens


def test_losses_without_a_reference_are_trls():
    with warnings.catch_warnings(action="ignore"):
        from trl.experimental.cpo import CPOTrainer
        from trl.experimental.orpo import ORPOTrainer
    here = types.SimpleNamespace(device="cpu")
    itself = types.SimpleNamespace(beta=0.25, accelerator=here)
    theirs = ORPOTrainer.odds_ratio_loss(itself, CHOSEN, REJECTED)[0]
    assert losses.orpo(LOGS, 0.25) == pytest.approx(
        (losses.sft(LOGS) - theirs.mean()).item(), rel=1e-6
    )
    itself = types.SimpleNamespace(
        beta=2.0, accelerator=here, alpha=0.0, loss_type="simpo", simpo_gamma=0.5,
        label_smoothing=0.0,
    )  # fmt: skip
    theirs = CPOTrainer.cpo_loss(itself, CHOSEN, REJECTED)[0]
    assert losses.simpo(LOGS, 2.0, 0.5) == pytest.approx(theirs.mean().item(), rel=1e-6)


@pytest.mark.parametrize("name", ["rloo", "grpo"])
def test_advantages_and_the_clipped_loss_are_trls(tmp_path, name):
    given = []

    def lengths(rows, replies):
        given.append([float(len(reply)) for reply in replies])
        return given[-1]

    rows = prefer.sorting(2, seed=1)
    dials = {"group": 4, "tokens": 12, "beta": 0.0}
    trainer, model, _, _ = trainer_of(name, tmp_path, rows, lengths, **dials)
    asked = [row for n in range(2) for row in [trainer.train_dataset[n]] * 4]
    model.train()
    made = trainer._generate_and_score_completions(asked)
    rewards = torch.tensor(given[0]).view(2, 4)
    by_us = {"rloo": losses.rloo_advantages, "grpo": losses.grpo_advantages}[name](rewards)
    assert made["advantages"].tolist() == pytest.approx(by_us.flatten().tolist(), rel=1e-6)

    # the loss, the policy having moved since the replies were drawn
    drawn = by_hand.Samples(
        torch.cat([made["prompt_ids"], made["completion_ids"]], 1),
        torch.cat([made["prompt_mask"], made["completion_mask"]], 1),
        made["completion_mask"], [], 4,
    )  # fmt: skip
    model.eval()
    log_p = by_hand.answer_logs(model, drawn)
    noise = torch.randn(log_p.shape, generator=torch.Generator().manual_seed(3))
    old = (log_p - 0.3 * noise).detach() * drawn.replied
    made["old_per_token_logps"] = old
    made["old_logps"] = old.sum(1)
    made["num_items_in_batch"] = drawn.replied.sum()
    theirs = trainer._compute_loss(model, made)
    worth = made["advantages"]
    if name == "rloo":
        ours = losses.ppo_clip(log_p.sum(1), old.sum(1), worth).mean()
    else:
        taken = losses.ppo_clip(log_p, old, worth[:, None])
        ours = (taken * drawn.replied).sum() / drawn.replied.sum()
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5, abs=1e-6)


def test_a_group_of_equal_rewards_teaches_nothing():
    equal = torch.full((1, 4), 0.5)
    assert losses.rloo_advantages(equal).tolist() == [[0.0] * 4]
    assert losses.grpo_advantages(equal).tolist() == [[0.0] * 4]


def test_beyond_the_clip_nothing_is_won():
    moved = torch.tensor([0.5, 0.1], requires_grad=True)
    losses.ppo_clip(moved, torch.zeros(2), torch.ones(2)).sum().backward()
    assert moved.grad[0] == 0 and moved.grad[1] < 0


def test_dpo_asks_for_the_difference_alone():
    both_fell = LOGS._replace(chosen=LOGS.chosen - 40, rejected=LOGS.rejected - 80)
    assert losses.dpo(both_fell) < losses.dpo(LOGS)
    assert losses.sft(both_fell) > losses.sft(LOGS)
