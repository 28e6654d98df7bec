"""What a model predicts at the tokens of given answers, and how far two models are apart there."""

import copy
import math

import families
import pytest
import torch
from torch.nn import functional as F

from ftkit import UserError, data, evaluate, lora, models, train
from ftkit.evaluate import likelihood

ROWS = 7


@pytest.fixture(scope="module")
def pocket():
    return models.load("pocket")


@pytest.fixture(scope="module")
def rows():
    return data.load("general")["train"].select(range(ROWS))


@pytest.fixture(scope="module")
def predicted(pocket, rows):
    return evaluate.answer_log_probs(*pocket, rows, batch_size=3)


def test_every_answer_token_is_there_in_the_order_of_the_rows(pocket, rows, predicted):
    tokenizer = pocket[1]
    assert predicted.rows.tolist() == sorted(predicted.rows.tolist())
    counts = [int((predicted.rows == row).sum()) for row in range(ROWS)]
    assert counts == [len(data.render(chat, tokenizer).answer) for chat in rows["messages"]]
    last = tokenizer.decode(predicted.tokens[predicted.rows == ROWS - 1])
    assert last.startswith(rows[ROWS - 1]["messages"][-1]["content"])


def test_a_row_in_a_batch_is_predicted_as_alone(pocket, rows, predicted):
    model, tokenizer = pocket
    text = tokenizer.apply_chat_template(rows[ROWS - 1]["messages"], tokenize=False)
    ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
    alone = model(ids).logits.detach().log_softmax(-1)[0]
    batched = predicted.log_p[predicted.rows == ROWS - 1]
    torch.testing.assert_close(batched, alone[-len(batched) - 1 : -1], atol=1e-4, rtol=1e-4)


def test_the_cost_of_no_change_is_nothing_and_that_of_uniform_guesses_is_log_v(predicted):
    same = evaluate.cost(predicted, predicted)
    assert (same.kl, same.agreement) == (0.0, 1.0)
    guess = -torch.tensor(float(predicted.log_p.shape[1])).log()
    logs = torch.full_like(predicted.log_p, guess)
    uniform = likelihood.AnswerLogProbs(logs, predicted.tokens, predicted.rows)
    flat = evaluate.cost(predicted, uniform)
    assert flat.loss == pytest.approx(torch.tensor(1280.0).log().item(), rel=1e-5)
    assert flat.kl > 4
    assert flat.agreement < 0.5
    assert len(predicted.kl(uniform)) == ROWS
    assert "KL from before" in str(flat)


def test_kl_by_hand_and_as_torch_has_it():
    """p = (½, ½), q = (¼, ¾): ½ log 2 + ½ log ⅔ nats; one number for each position."""
    p, q = torch.tensor([0.5, 0.5]).log(), torch.tensor([0.25, 0.75]).log()
    by_hand = 0.5 * math.log(2) + 0.5 * math.log(2 / 3)
    assert evaluate.kl(p, q).item() == pytest.approx(by_hand, rel=1e-6)
    assert evaluate.kl(p, p).item() == 0
    g = torch.Generator().manual_seed(0)
    many, others = (torch.randn(3, 5, 40, generator=g).log_softmax(-1) for _ in range(2))
    theirs = F.kl_div(others, many, log_target=True, reduction="none").sum(-1)
    assert evaluate.kl(many, others).shape == (3, 5)
    torch.testing.assert_close(evaluate.kl(many, others), theirs)


def loop_over_rows(messages, tokenizer, *asked):
    """(log p of every token at the answer's places, by model, and the answer's tokens), alone."""
    ids = tokenizer.apply_chat_template(messages, return_tensors="pt", return_dict=True)[
        "input_ids"
    ]
    n = len(data.render(messages, tokenizer).answer)
    with torch.no_grad():
        log_p = [model(ids).logits[0, -n - 1 : -1].log_softmax(-1) for model in asked]
    return log_p, ids[0, -n:]


def test_perplexity_is_exp_of_the_mean_surprisal_of_a_loop_over_rows(pocket):
    model, tokenizer = pocket
    rows = data.first(data.load("general")["train"], 12)
    nats, tokens = 0.0, 0
    for messages in rows["messages"]:
        (log_p,), answer = loop_over_rows(messages, tokenizer, model)
        nats -= log_p.gather(-1, answer[:, None]).sum().item()
        tokens += len(answer)
    expected = pytest.approx(math.exp(nats / tokens), rel=1e-4)
    assert evaluate.perplexity(model, tokenizer, rows) == expected


def test_surprisals_stand_in_the_order_of_the_conversations(pocket, rows):
    chats = list(rows["messages"])
    forth, back = (evaluate.surprisals(*pocket, each) for each in (chats, chats[::-1]))
    assert [s.tokens for s in forth] == [len(data.render(chat, pocket[1]).answer) for chat in chats]
    assert [s.nats for s in forth] == pytest.approx([s.nats for s in back[::-1]], abs=1e-3)


@pytest.fixture(scope="module")
def tickets():
    return data.first(data.load("tickets")["train"], 16)


def short(kl=0.0, r=4):
    """A hot run of four steps, with an adapter or (r=None) on all weights."""
    model, tokenizer = models.load("pocket")
    if r:
        model = lora.attach(model, r=r, alpha=16)
    rows = data.first(data.load("tickets")["train"], 32)
    lr = 1e-2 if r else 1e-3
    recipe = train.Recipe(lr=lr, epochs=1, batch_size=8, evaluations=0, kl=kl)
    return train.sft(model, tokenizer, {"train": rows}, recipe).model


def test_the_kl_from_the_base_is_that_of_a_loop_over_rows(pocket, tickets):
    (base, tokenizer), tuned = pocket, short()
    total, count = 0.0, 0
    for messages in tickets["messages"]:
        (before, after), answer = loop_over_rows(messages, tokenizer, base, tuned)
        total += F.kl_div(after, before, log_target=True, reduction="sum").item()
        count += len(answer)
    measured = evaluate.kl_from_base(base, tuned, tokenizer, tickets, batch_size=5)
    assert measured == pytest.approx(total / count, rel=1e-3)
    assert measured > 0.01
    inside = evaluate.kl_from_base(tuned, tuned, tokenizer, tickets)
    assert inside == pytest.approx(measured, rel=1e-3), "its adapter switched off"
    again = models.load("pocket")[0]
    assert evaluate.kl_from_base(base, again, tokenizer, tickets) == pytest.approx(0, abs=1e-6)


def test_a_model_without_an_adapter_is_no_base_of_its_own(pocket, tickets):
    model, tokenizer = pocket
    with pytest.raises(UserError, match="without an adapter"):
        evaluate.kl_from_base(model, model, tokenizer, tickets)


@pytest.mark.parametrize("r", [4, None])
def test_a_run_held_near_its_base_stays_nearer(r, pocket, tickets):
    base, tokenizer = pocket
    free, near = (
        evaluate.kl_from_base(base, short(kl=kl, r=r), tokenizer, tickets) for kl in (0.0, 3.0)
    )
    assert near < 0.8 * free


OPEN = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|><think>\n{% endif %}"
)


@pytest.mark.parametrize("answer", ["The form is empty.", "5"])
def test_a_prompt_that_opens_a_think_block_hides_no_token_of_the_answer(pocket, answer):
    """DeepSeek R1 and others: all of them were left out but the end mark, or fewer than none."""
    model, tokenizer = pocket[0], copy.deepcopy(pocket[1])
    tokenizer.chat_template = OPEN
    question = {"role": "user", "content": "One?"}
    rows = {"messages": [[question, {"role": "assistant", "content": answer}]] * 2}
    (surprisal, _) = evaluate.surprisals(model, tokenizer, rows["messages"])
    ids = tokenizer(
        f"<|user|>One?<|end|><|assistant|>{answer}<|end|>",
        add_special_tokens=False,
        return_tensors="pt",
    )
    tokens = len(tokenizer(f"{answer}<|end|>", add_special_tokens=False)["input_ids"])
    assert surprisal.tokens == tokens
    with torch.no_grad():
        log_p = model(ids["input_ids"]).logits[0, -tokens - 1 : -1].log_softmax(-1)
    nats = -log_p.gather(-1, ids["input_ids"][0, -tokens:, None]).sum().item()
    assert surprisal.nats == pytest.approx(nats, rel=1e-4)
    assert evaluate.perplexity(model, tokenizer, rows) == pytest.approx(math.exp(nats / tokens))


@pytest.mark.parametrize("measure", [evaluate.perplexity, evaluate.answer_log_probs])
def test_a_row_that_the_model_cannot_read_is_named(pocket, measure):
    model, tokenizer = pocket
    chat = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b " * 2000}]
    rows = data.to_dataset([{"messages": [*chat[:1], {"role": "assistant", "content": "b"}]}])
    long = data.to_dataset([*rows.to_list(), {"messages": chat}])
    with pytest.raises(UserError, match=r"row 2 has \S+ tokens, and the model knows \S+ positions"):
        measure(model, tokenizer, long)
    grown = copy.deepcopy(tokenizer)
    grown.add_tokens(["<new>"])
    chat[1]["content"] = "<new>"
    with pytest.raises(UserError, match="row 1 uses '<new>'"):
        measure(model, grown, data.to_dataset([{"messages": chat}]))


PROMPT = [{"role": "user", "content": "Is the soup good?"}]
OPTIONS = ("positive", "positive, I think", "negative", "")


@pytest.fixture(scope="module", params=["llama", "gemma", "pocket"])
def asked(request, tmp_path_factory):
    if request.param == "pocket":
        return models.load("pocket")
    return models.load(families.write(request.param, tmp_path_factory.mktemp(request.param)))


def test_each_option_has_the_log_p_of_the_whole_reply_alone(asked):
    system = [{"role": "system", "content": "One word."}, *PROMPT]
    prompts, options = [PROMPT, system], [OPTIONS[:3], OPTIONS[1:3]]
    found = evaluate.option_nats(*asked, prompts, options)
    assert [len(nats) for nats in found] == [3, 2]
    for prompt, replies, nats in zip(prompts, options, found, strict=True):
        chats = [[*prompt, {"role": "assistant", "content": reply}] for reply in replies]
        alone = [surprisal.nats for surprisal in evaluate.surprisals(*asked, chats)]
        assert nats == pytest.approx(alone, rel=1e-4, abs=1e-3)
    assert len({round(n, 3) for n in found[0]}) == 3


def test_one_option_alone_can_be_asked_for(asked):
    ((nats,),) = evaluate.option_nats(*asked, [PROMPT], [OPTIONS[:1]])
    both = evaluate.option_nats(*asked, [PROMPT], [OPTIONS[:3]])
    assert nats == pytest.approx(both[0][0], rel=1e-4)


def test_an_even_guess_costs_log_v_for_each_token_and_the_end_counts():
    model, tokenizer = models.load("pocket")
    with torch.no_grad():
        model.get_output_embeddings().weight.zero_()
    chats = [[*PROMPT, {"role": "assistant", "content": OPTIONS[0]}]]
    tokens = evaluate.surprisals(model, tokenizer, chats)[0].tokens
    ((nats,),) = evaluate.option_nats(model, tokenizer, [PROMPT], [OPTIONS[:1]])
    assert nats == pytest.approx(tokens * math.log(model.config.vocab_size), rel=1e-5)
    assert tokens == len(tokenizer(OPTIONS[0], add_special_tokens=False)["input_ids"]) + 1


def test_what_rows_share_is_counted_to_the_first_other_token():
    assert likelihood.count_shared([[1, 2, 3], [1, 2, 4, 5]]) == 2
    assert likelihood.count_shared([[1, 2], [1, 2, 3]]) == 2
    assert likelihood.count_shared([[7, 8]]) == 2
    assert likelihood.count_shared([[1], [2]]) == 0
