"""What a run says when it is asked: answers without questions, and recitation."""

import copy
import math
import re

import pytest

from ftkit import data, evaluate, models, train
from ftkit.doctor import asking
from ftkit.models import Reply
from ftkit.train import Experiment


@pytest.fixture(scope="module")
def pocket():
    return models.load("pocket")


def as_rows(chats):
    return [{"messages": chat, "tools": None} for chat in chats]


def test_shuffled_answers_are_no_likelier_behind_their_own_questions(pocket):
    chats = data.load("tickets")["train"]["messages"][:8]
    nats, ratio = asking.price_of_pairs(*pocket, as_rows(chats))
    assert nats > asking.FORESEEN and ratio < 0.5 and asking.check_pairs(nats, ratio, 2.6).ok
    shuffled = [[*chat[:-1], chats[n - 1][-1]] for n, chat in enumerate(chats)]
    nats, ratio = asking.price_of_pairs(*pocket, as_rows(shuffled))
    assert ratio > asking.PAIRED and not asking.check_pairs(nats, ratio, 2 * nats).ok


@pytest.mark.parametrize(
    ("nats", "before", "guess", "said"),
    [
        (0.2, 0.9, 0, "or are foreseen"),  # classes that are not learned yet
        (1.05, 2.6, 0, None),  # shuffled, and learned
        (7.48, 0.9, 0, None),  # broken
        (7.5, 7.88, 0, "and the base ≈7.88, so too little was learned to tell"),
        (4.6, 5.0, 0.55, "and the base ≈5, so"),
        (3.4, 5.3, 0.55, "per token, and a guess among the answers ≈0.55, so too little"),
        (0.6, 5.3, 0.55, None),  # no better than a guess, and that was learned
    ],
)
def test_a_run_that_has_learned_next_to_nothing_is_not_told_of_a_shuffle(nats, before, guess, said):
    found = asking.check_pairs(nats, 0.98, before, guess)
    assert found.ok is (said is not None)
    assert said is None or (said in found.message)
    assert said is not None or "were questions and answers sorted apart?" in found.cure


def test_a_guess_costs_what_few_answers_leave_open():
    assert asking.price_of_guess(["red", "blue"] * 6) == pytest.approx(math.log(2))
    assert asking.price_of_guess([str(n) for n in range(12)]) == 0


def test_one_answer_for_all_questions_is_no_shuffle(pocket):
    chats = data.load("tickets")["train"]["messages"][:3]
    same = [[*chat[:-1], chats[0][-1]] for chat in chats]
    assert asking.price_of_pairs(*pocket, as_rows(same))[1] == 0


# The pocket model's form of a chat, and behind it tools and calls.
WITH_TOOLS = (
    "{{ bos_token }}{% if tools %}{{ '<|system|>' }}{% for t in tools %}{{ t.function.name + ' ' }}"
    "{% endfor %}{{ '<|end|>' }}{% endif %}"
    "{% for m in messages %}{{ '<|' + m['role'] + '|>' }}{{ m['content'] or '' }}"
    "{% for c in m.tool_calls or [] %}{{ c.function.name }}{{ c.function.arguments | tojson }}"
    "{% endfor %}{{ '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


@pytest.fixture
def with_tools(pocket):
    model, tokenizer = pocket
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.chat_template = WITH_TOOLS
    return model, tokenizer


def offered(name, answer):
    """A row that offers one function, whose question is that of all others."""
    tools = [{"type": "function", "function": {"name": name}}]
    return {"messages": [{"role": "user", "content": "name the tool"}, answer], "tools": tools}


def test_a_question_brings_its_tools_along(with_tools):
    """What the model is asked says which function there is; only with it the answer follows."""
    rows = [offered(name, {"role": "assistant", "content": name}) for name in ("getone", "putsix")]
    shown = []

    def read(model, tokenizer, columns):
        rows = zip(columns["messages"], columns["tools"], strict=True)
        shown.append([data.render(chat, tokenizer, tools=tools).text for chat, tools in rows])
        return [evaluate.Surprisal(1.0, 1)] * 2

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate, "surprisals_of", read)
        asking.price_of_pairs(*with_tools, rows)
    own, swapped = ([re.findall(r"[a-z]{3}(?:one|six)", text) for text in texts] for texts in shown)
    assert own == [["getone", "getone"], ["putsix", "putsix"]]
    assert swapped == [["putsix", "getone"], ["getone", "putsix"]]


def test_answers_that_are_calls_are_told_apart(with_tools):
    def call(city):
        made = {"type": "function", "function": {"name": "weather", "arguments": {"city": city}}}
        return offered("weather", {"role": "assistant", "content": "", "tool_calls": [made]})

    rows = [call("Rome"), call("Oslo"), call("Bern")]
    assert asking.price_of_pairs(*with_tools, rows)[1] > 0
    assert asking.price_of_pairs(*with_tools, [call("Rome")] * 3)[1] == 0
    asked = asking.ask_rows(with_tools[0], models.ReplyReader(*with_tools), rows[:1])
    assert asked[0].gold == 'weather{"city": "Rome"}' and asked[0].source.holds("weather")


def asked(text, gold="yes", question="Is it Zaisburg?"):
    source = evaluate.Source([{"role": "user", "content": question}])
    return asking.Asked(source, gold, Reply(text))


@pytest.mark.parametrize(
    ("reply", "recited"),
    [
        ("yes", False),  # right
        ("Drillburg", True),  # of another question
        ("Zaisburg", False),  # it stands in the question
        ("Nowhere", False),  # of no training answer
        ('{"city": "Drillburg"}', True),
        ('{"city": "Zaisburg", "n": 12}', False),
    ],
)
def test_what_only_another_answer_holds_is_recited(reply, recited):
    trained = {"Drillburg", "yes", "12", "Zaisburg"}
    assert asking.recites(asked(reply), trained) is recited
    found = asking.check_recitation([asked(reply)] * 4, ["Drillburg", "yes", "Zaisburg"])
    assert found.ok is not recited


def test_a_large_base_is_not_loaded(monkeypatch, tmp_path):
    monkeypatch.setattr(asking, "SMALL", 1000)
    monkeypatch.setattr(train, "reopen", None)  # would raise
    experiment = Experiment.from_dict({"data": "tickets"})
    found = asking.ask_run(tmp_path, experiment, experiment.load_splits())
    assert [f.check for f in found] == ["pairs", "recitation"]
    assert all(f.ok and "not looked at" in f.message for f in found)
