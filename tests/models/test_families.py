"""The same calls on models of other architectures with their own chat templates: nothing depends on
the pocket model's.
"""

import pytest
import torch
from families import FAMILIES, write

from ftkit import data, evaluate, forgetting, lora, merge, models, train
from ftkit.forgetting import everyday, probing
from ftkit.world import skills as suites


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request, tmp_path_factory):
    return write(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def run(folder):
    """Two steps of LoRA on tickets, hot enough to move something."""
    model, tokenizer = models.load(folder)
    torch.manual_seed(0)
    rows = {name: data.first(split, 16) for name, split in data.load("tickets", tokenizer).items()}
    return (
        train.sft(
            lora.attach(model, r=4), tokenizer, rows, train.Recipe(lr=1e-2, epochs=1, batch_size=8)
        ),
        tokenizer,
        rows,
    )


def test_the_answer_alone_carries_loss(run):
    """The labelled tokens decode to the answer and the mark that ends a turn, in every row."""
    trained, tokenizer, rows = run
    for prepared, messages in zip(
        trained.trainer.train_dataset, rows["train"]["messages"], strict=True
    ):
        learned = tokenizer.decode([label for label in prepared["labels"] if label != -100])
        assert learned.rstrip() == messages[-1]["content"] + tokenizer.eos_token


def test_it_trains_and_scores(run):
    trained, tokenizer, rows = run
    assert len(trained.validation) >= 1
    assert evaluate.score(trained.model, tokenizer, rows["test"], max_new_tokens=8).task.n == 16
    base, _ = models.load(trained.model.config._name_or_path)
    assert evaluate.perplexity(trained.model, tokenizer, rows["train"]) < evaluate.perplexity(
        base, tokenizer, rows["train"]
    )
    assert evaluate.kl_from_base(base, trained.model, tokenizer, rows["validation"]) > 0


def test_it_is_asked_for_skills_of_the_real_world(run):
    """A model with random weights has no skill to lose, so its replies are put in its mouth."""
    trained, tokenizer, _ = run
    assert not probing.knows_world(tokenizer)
    asked = probing.draw_probes(tokenizer, n=4)
    assert set(asked) == set(everyday.SKILLS)
    found = forgetting.skills(trained.model, tokenizer, n=4)
    assert {name: len(right) for name, right in found.right.items()} == dict.fromkeys(
        everyday.SKILLS, 4
    )
    assert found.mean < 0.5
    before = probing.Skills({name: [True] * 4 for name in asked})
    lost = forgetting.table(before, found)
    assert lost.lost[0] > 0.5
    broken = forgetting.regressions(lost, trained.model, tokenizer)
    assert len(broken.broken) == sum(not right for group in found.right.values() for right in group)
    assert "general knowledge" in str(found)


def test_the_merged_model_is_the_adapter_model_and_loads(run, tmp_path):
    trained, tokenizer, rows = run
    merged, proof = merge.merge(trained.model)
    assert proof.max_logit_gap < 1e-3 * proof.adapter_gap
    merged.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    again, same = models.load(tmp_path)
    chats = [messages[:-1] for messages in rows["test"]["messages"][:3]]
    assert models.answer(again, same, chats, 8) == models.answer(trained.model, tokenizer, chats, 8)


def test_it_trains_on_four_bits(folder):
    model, tokenizer = models.load(folder, "nf4")
    rows = {"train": data.first(data.load("tickets", tokenizer)["train"], 8)}
    trained = train.sft(
        lora.attach(model, r=4),
        tokenizer,
        rows,
        train.Recipe(lr=1e-2, epochs=2, batch_size=8, warmup=0),
    )
    assert trained.steps == 2
    assert any(p.any() for name, p in trained.model.named_parameters() if "lora_B" in name)


def test_the_pocket_model_and_what_is_tuned_from_it_know_their_world():
    _, tokenizer = models.load("pocket")
    assert probing.knows_world(tokenizer)
    assert set(probing.draw_probes(tokenizer, n=1)) == set(suites.SKILLS)


def test_a_template_without_a_system_role_reads_it_in_front_of_the_question(tmp_path):
    tokenizer = models.load(write("gemma", tmp_path))[1]
    chat = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Who?"},
        {"role": "assistant", "content": "I."},
    ]
    text = tokenizer.apply_chat_template(chat, tokenize=False)
    assert text.count("<start_of_turn>user\nBe brief.\n\nWho?<end_of_turn>") == 1
    assert text.endswith("<start_of_turn>model\nI.<end_of_turn>\n")
    plain = tokenizer.apply_chat_template(chat[1:], tokenize=False)
    assert plain == text.replace("Be brief.\n\n", "")


def test_a_template_with_a_system_role_stays_as_it_is(tmp_path):
    write("llama", tmp_path)
    assert models.load(tmp_path)[1].chat_template == FAMILIES["llama"][2]


def test_a_model_without_a_chat_template_gets_a_plain_one(tmp_path):
    write("qwen", tmp_path)
    (tmp_path / "chat_template.jinja").unlink()
    model, tokenizer = models.load(tmp_path)
    chat = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "I."}]
    assert (
        tokenizer.apply_chat_template(chat, tokenize=False)
        == "user:\nWho?\nassistant:\nI.<|im_end|>\n"
    )
    assert (
        tokenizer.apply_chat_template(chat[:1], tokenize=False, add_generation_prompt=True)
        == "user:\nWho?\nassistant:\n"
    )
    rows = data.first(data.load("general", tokenizer)["train"], 16)
    run = train.sft(lora.attach(model, r=4), tokenizer, rows, train.Recipe(epochs=1, batch_size=8))
    learned = run.trainer.train_dataset[0]["labels"]
    assert (
        tokenizer.decode([t for t in learned if t != -100])
        == rows["messages"][0][-1]["content"] + "<|im_end|>"
    )
    assert len(models.answer(run.model, tokenizer, [chat[:1]], max_new_tokens=4)) == 1
