"""Scoring: exact answers, strict format, fields, and values that nobody told the model."""

import copy
import json
import re

import families
import pytest

from ftkit import UserError, data, evaluate, models
from ftkit.core.results import Result
from ftkit.evaluate import scoring
from ftkit.models import Reply

GOLD = {"name": "Vezan Tolber", "order": 4821, "urgent": True}
WRONG = {"name": "Made Up", "order": 4821, "urgent": True}
ASKED = [{"role": "user", "content": "Ticket: Vezan Tolber, order 4821."}]


@pytest.fixture(scope="module")
def pocket():
    return models.load("pocket")


@pytest.fixture
def score_of(monkeypatch, pocket):
    """A function that scores given replies as if the model had written them."""

    def score_of(replies, golds, asked=ASKED, **options):
        written = [each if isinstance(each, Reply) else Reply(each) for each in replies]
        monkeypatch.setattr(scoring, "write_replies", lambda *_, **__: written)
        chats = [[*asked, {"role": "assistant", "content": gold}] for gold in golds]
        return evaluate.score(*pocket, {"messages": chats}, **options)

    return score_of


def test_a_score_counts_fields_exact_answers_and_inventions(score_of):
    replies = [json.dumps(GOLD), json.dumps(WRONG), "no idea"]
    result = score_of(replies, [json.dumps(GOLD)] * 3)
    assert (result.exact, result.task.hits, result.format.hits) == ([True, False, False], 1, 2)
    assert {k: v.hits for k, v in result.fields.items()} == {"name": 1, "order": 2, "urgent": 2}
    assert (result.invented.hits, result.invented.n) == (1, 4)
    assert "exact answer" in result._repr_html_()


def test_plain_words_have_no_format_to_judge(score_of):
    """Wrong words were counted as replies out of format (lm-evaluation-harness 3399)."""
    result = score_of(["yes", "no"], ["yes", "yes"])
    assert (result.task.hits, result.fields) == (1, {})
    assert (result.format.n, result.order.n) == (0, 0)
    assert re.search("strict format +none to judge", str(result))


def test_golds_of_every_kind_stand_beside_each_other(score_of):
    """A field counts the rows whose gold has it; format those whose gold has one."""
    golds = [json.dumps(GOLD), json.dumps({"order": 7}), "yes", "{}", "[1, 2]", "5"]
    replies = [json.dumps(WRONG), json.dumps({"order": 7}), "no", "{}", "[1,2]", "5"]
    result = score_of(replies, golds)
    assert result.exact == [False, True, False, True, True, True]
    assert (result.format.hits, result.format.n) == (4, 4)
    fields = {key: (rate.hits, rate.n) for key, rate in result.fields.items()}
    assert fields == {"name": (0, 1), "order": (2, 2), "urgent": (1, 1)}
    assert (result.invented.hits, result.invented.n) == (4, 5), "Made Up, the 7, and 1 and 2"


def test_values_are_looked_for_in_all_that_was_said_before(score_of):
    """The name in the system message, no city, a tag in a list: nothing is made up."""
    asked = [
        {"role": "system", "content": "The customer is Ann."},
        {"role": "user", "content": "The box is new. Give the form."},
    ]
    gold = json.dumps({"name": "Ann", "city": None, "tags": ["new"]})
    result = score_of([gold], [gold], asked)
    assert (result.task.hits, result.invented.hits, result.invented.n) == (1, 0, 2)


def test_another_order_of_keys_is_said_and_no_mistake(score_of):
    turned = json.dumps({key: GOLD[key] for key in ("order", "name", "urgent")})
    golds = [json.dumps(GOLD)] * 2
    result = score_of([turned, json.dumps(GOLD)], golds)
    assert result.exact == [True, True]
    assert (result.format.hits, result.order.hits, result.order.n) == (2, 1, 2)
    assert "keys in the gold's order" in str(result)
    strict = score_of([turned, json.dumps(GOLD)], golds, strict_order=True)
    assert (strict.exact, strict.format.hits) == ([False, True], 1)
    assert "keys in the gold's order" not in str(strict)


def test_values_are_compared_with_their_kind(score_of):
    golds = ['{"n": 1}', '{"n": 1}', '{"n": [1, {"b": true}]}', '{"n": 0.5}']
    replies = ['{"n": 1.0}', '{"n": true}', '{"n": [1, {"b": 1}]}', '{"n": 0.50}']
    result = score_of(replies, golds)
    assert result.exact == [False, False, False, True]
    assert result.format.hits == 2


def test_replies_that_were_cut_off_are_counted(score_of):
    result = score_of([Reply("yes", ended=False), Reply("yes")], ["yes", "yes"])
    assert result.exact == [False, True], "who knows how it would have gone on?"
    assert (result.cut_off.hits, result.cut_off.n) == (1, 2)
    assert "replies cut off" in str(result)
    assert "replies cut off" not in str(score_of(["yes"], ["yes"]))


def test_a_reply_may_be_as_long_as_the_longest_gold(pocket, monkeypatch):
    limits = []

    def write_replies(model, tokenizer, chats, limit, **_):
        limits.append(limit)
        return [Reply("")] * len(chats)

    monkeypatch.setattr(scoring, "write_replies", write_replies)
    gold = "lamp " * 300
    chats = [[*ASKED, {"role": "assistant", "content": gold}]]
    evaluate.score(*pocket, {"messages": chats})
    tokens = len(pocket[1](gold.strip(), add_special_tokens=False)["input_ids"])
    assert limits[-1] >= tokens + 1 > 64, "and its end"
    evaluate.score(*pocket, {"messages": chats}, max_new_tokens=5)
    assert limits[-1] == 5
    with pytest.raises(UserError, match="no test rows"):
        evaluate.score(*pocket, {"messages": []})


EMPTY = "<think>\n\n</think>\n\n"


def test_an_empty_think_block_is_no_part_of_an_answer(pocket, monkeypatch):
    """Templates like Qwen 3's write one before the last answer, so a tuned model does too."""
    model, tokenizer = pocket
    own = copy.deepcopy(tokenizer)
    own.chat_template = families.template(
        "<|{{ m['role'] }}|>{% if m['role'] == 'assistant' and loop.last %}" + EMPTY + "{% endif %}"
        "{{ m['content'] }}<|end|>",
        "<|assistant|>",
    )
    reader = models.ReplyReader(model, own)
    wrote = own(EMPTY + '{"a": 1}<|end|>', add_special_tokens=False)["input_ids"]
    monkeypatch.setattr(scoring, "write_replies", lambda *_, **__: [reader.read(wrote)])
    chat = [*ASKED, {"role": "assistant", "content": '{"a": 1}'}]
    result = evaluate.score(model, own, {"messages": [chat]})
    assert (result.exact, result.replies, result.format.hits) == ([True], ['{"a": 1}'], 1)


def test_thoughts_of_a_gold_are_part_of_it(score_of):
    gold = '<think>hm</think>{"a": 1}'
    replies = [Reply('{"a": 1}', "hm"), Reply('{"a": 1}', "oh"), Reply('{"a": 1}')]
    result = score_of(replies, [gold] * 3)
    assert (result.exact, result.format.hits) == ([True, False, False], 3)


def test_a_row_that_the_template_drops_a_part_of_is_named(pocket):
    chat = [{**ASKED[0], "name": "Ann"}, {"role": "assistant", "content": "yes"}]
    with pytest.raises(UserError, match=r"name 'Ann' of test row 1's message 1 \(user\)"):
        evaluate.score(*pocket, {"messages": [chat]})


def test_a_score_is_a_result(pocket):
    rows = data.load("tickets")["test"].select(range(2))
    assert isinstance(evaluate.score(*pocket, rows, max_new_tokens=1), Result)


def test_replies_to_other_prompts_are_judged_by_what_those_said(pocket):
    """A value that stands in a passage alone is made up only where nobody put it there."""
    model, tokenizer = pocket
    gold = {"role": "assistant", "content": '{"city": "Dria"}'}
    question = {"role": "user", "content": "Where?"}
    rows = data.to_dataset([{"messages": [question, gold]}])
    reader, replies = models.ReplyReader(model, tokenizer), [Reply('{"city": "Dria"}')]
    plain = evaluate.score_replies(reader, rows, replies)
    passage = {"role": "user", "content": "It lies in Dria. Where?"}
    given = evaluate.score_replies(reader, rows, replies, asked=[[passage]])
    assert (plain.task, plain.invented.hits) == (given.task, 1)
    assert given.invented.hits == 0


def test_kinds_of_format_errors_are_counted_among_the_golds_that_have_a_format(score_of):
    replies = [json.dumps(GOLD), "no idea", json.dumps({"name": 5, "x": 1}), "no"]
    result = score_of(replies, [json.dumps(GOLD)] * 3 + ["yes"])
    counted = {kind: (rate.hits, rate.n) for kind, rate in result.errors.items()}
    assert counted == {
        "not JSON": (1, 3), "missing key": (1, 3), "extra key": (1, 3), "wrong type": (1, 3)
    }  # fmt: skip
    assert re.search(r"· not JSON +≈33.3 %", str(result))
    clean = score_of([json.dumps(GOLD)], [json.dumps(GOLD)])
    assert "·" not in str(clean)


def test_a_schema_says_what_format_is(score_of):
    """A key that the gold has may be missing; a value against a rule is out of format."""
    schema = {"properties": {"order": {"minimum": 1000}}, "required": ["name"]}
    replies = ['{"name": "Vezan Tolber"}', '{"name": "Vezan Tolber", "order": 5}']
    result = score_of(replies, [json.dumps(GOLD)] * 2, schema=schema)
    assert (result.format.hits, result.task.hits) == (1, 0)
    assert result.errors["against a rule of the schema"].hits == 1
    assert {key: rate.hits for key, rate in result.fields.items()}["name"] == 1
    with pytest.raises(UserError, match=r"test row 1 breaks the schema itself \(against a rule"):
        score_of(replies, ['{"name": "a", "order": 5}'] * 2, schema=schema)
    with pytest.raises(UserError, match="nothing for the schema to judge"):
        score_of(["yes"], ["yes"], schema=schema)


def test_a_reply_that_just_missed_is_near(score_of):
    gold, near = json.dumps(GOLD), json.dumps({**GOLD, "name": "Vezan Tolbr"})
    result = evaluate.fuzzy(score_of([gold, near, "no"], [gold] * 3))
    assert (result.exact.hits, result.near.hits, result.near.n) == (1, 1, 3)
    assert result.alike[0] == 1 > result.alike[1] > 0.95 > 0.2 > result.alike[2]
    assert result.json()["likeness"] == pytest.approx(sum(result.alike) / 3)
    assert "90% alike or more" in str(result)
    with pytest.raises(UserError, match="least is 2"):
        evaluate.fuzzy(result, 2)


def test_people_judge_two_models_blind_and_it_comes_back_by_model(score_of):
    from ftkit import audit

    golds = [str(n) for n in range(8)]
    scores = [score_of(golds, golds, name="tuned"), score_of(["no"] * 8, golds, name="base")]
    chats = [[{"role": "user", "content": f"Say {gold}"}, {"role": "assistant", "content": gold}]
             for gold in golds]  # fmt: skip
    rows = evaluate.rows_to_rate(data.to_dataset([{"messages": c} for c in chats]), scores, 5)
    assert [row["model"] for row in rows] == ["tuned"] * 5 + ["base"] * 5
    asked = [row["messages"][0]["content"] for row in rows]
    assert asked[:5] == asked[5:], "both on the same questions"
    sheet = audit.make_sheet(rows, 10)
    assert "tuned" not in sheet.csv() + sheet.html()
    said = {each.id: "wrong" if each.answer == "no" else "right" for each in sheet.rows}
    found = audit.review(rows, said, by="model")
    assert {name: (one.hits, one.n) for name, (one,) in found.by.items()} == {
        "tuned": (5, 5), "base": (0, 5)
    }  # fmt: skip
    with pytest.raises(UserError, match="from 1 to 8"):
        evaluate.rows_to_rate(data.to_dataset([{"messages": c} for c in chats]), scores, 9)
