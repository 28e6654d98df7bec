"""Replies to choose from: each has the log p that it has alone, however alike they begin."""

import math

import families
import pytest
import torch

from ftkit import evaluate, models
from ftkit.evaluate import choosing

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
    assert choosing.count_shared([[1, 2, 3], [1, 2, 4, 5]]) == 2
    assert choosing.count_shared([[1, 2], [1, 2, 3]]) == 2
    assert choosing.count_shared([[7, 8]]) == 2
    assert choosing.count_shared([[1], [2]]) == 0
