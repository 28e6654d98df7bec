"""Every arm answers the same rows, is read as it says, and counted as a model alone would be."""

import json

import pytest

from ftkit import UserError, data, decide, evaluate, lora, models
from ftkit.decide import Arm, compare_arms

FIELDS = ("name", "city", "item", "issue", "order", "urgent")
LINE = "Give the ticket as JSON."


@pytest.fixture(scope="module")
def pocket():
    return models.load("pocket")


@pytest.fixture(scope="module")
def test():
    return data.load("tickets")["test"].select(range(24))


def schema(chats):
    return decide.ask_for(chats, decide.schema_instruction(FIELDS), LINE)


def listed(chats):
    return decide.ask_for(chats, decide.list_instruction(FIELDS), LINE)


@pytest.fixture(scope="module")
def compared(pocket, test):
    model, tokenizer = pocket
    arms = [
        Arm("zero-shot", model),
        Arm("schema", model, schema),
        Arm("list", model, listed, decide.list_to_json),
    ]
    prices = {"zero-shot": (1, 2), "list": (1, 2)}
    return compare_arms(arms, tokenizer, test, strangers=10, prices=prices)


def test_an_arm_scores_as_the_model_alone_does(compared, pocket, test):
    assert compared["zero-shot"].score == evaluate.score(*pocket, test, "zero-shot")
    asked = decide.as_asked(test, schema)
    assert compared["schema"].score == evaluate.score(*pocket, asked, "schema")


def test_a_reply_is_judged_as_its_arm_reads_it(compared):
    assert compared["list"].score.format.hits >= 23
    assert json.loads(compared["list"].score.replies[0]).keys() == set(FIELDS)
    assert compared["list"].score.task.hits > compared["schema"].score.task.hits > 0
    assert compared.best.name == "list"


def test_tokens_are_the_models_own_and_money_is_only_what_was_priced(compared, pocket, test):
    counts = decide.count_prompt_tokens(pocket[1], decide.zero_shot(test))
    zero = compared["zero-shot"]
    assert zero.prompt_tokens == sum(counts) / 24
    assert zero.cost == pytest.approx((zero.prompt_tokens + 2 * zero.reply_tokens) / 1000)
    assert compared["schema"].cost is None


def test_differences_to_the_best_are_corrected_for_their_number(compared):
    differences = compared.differences
    assert set(differences) == {"zero-shot", "schema"}
    difference, p = differences["zero-shot"]
    assert p == pytest.approx(min(1, 2 * difference.p))
    assert compared.against_best("list") == "best"
    assert compared.against_best("zero-shot").startswith("worse by ≈")


def test_the_table_leaves_out_what_nobody_was_asked(compared):
    _, heads, rows = compared.table()
    assert "made up" in heads and "changed: stale" not in heads
    assert [row[0] for row in rows] == ["zero-shot", "schema", "list"]
    stated = json.loads(json.dumps(compared.json()))
    assert stated["best"] == "list" and stated["arms"]["list"]["exact"]["n"] == 24
    with pytest.raises(UserError, match=r"there is no arm 'lists'.*Did you mean 'list'"):
        compared["lists"]


def test_an_update_is_asked_with_the_prompt_after_it(pocket):
    model, tokenizer = pocket
    facts = decide.new_facts()[:40]
    changed = decide.update_facts(facts, 20)
    old, new = (decide.Index(decide.sentences(some)) for some in (facts, changed))
    arms = [
        Arm(
            "retrieval",
            model,
            lambda chats: decide.retrieve(chats, old, 4),
            after=lambda chats: decide.retrieve(chats, new, 4),
        ),
        Arm("old index", model, lambda chats: decide.retrieve(chats, old, 4)),
    ]
    asked, updated = decide.questions(facts), decide.questions(changed)
    compared = compare_arms(arms, tokenizer, asked, updated=updated)
    fresh, stale = (compared[name].stale for name in ("retrieval", "old index"))
    assert fresh.right.value >= 0.9 and fresh.stale.hits == 0
    assert stale.right.hits == 0 and stale.stale.value >= 0.9
    assert compared.json()["arms"]["old index"]["stale"]["n"] == 20
    # what a reply takes from a passage is not made up
    assert compared["retrieval"].score.task.value >= 0.9


def test_an_adapter_is_on_for_its_arm_alone(test):
    model, tokenizer = models.load("pocket")
    adapted = lora.attach(model, seed=0)
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            weight.data += 0.5
    arms = [
        Arm("tuned", adapted),
        Arm("base", adapted, adapter=None),
        Arm("named", adapted, adapter="default"),
    ]
    compared = compare_arms(arms, tokenizer, test.select(range(4)), max_new_tokens=8)
    replies = {arm.name: arm.score.replies for arm in compared.arms}
    assert replies["tuned"] == replies["named"] != replies["base"]
    assert replies["base"] == models.answer(*models.load("pocket"), decide.zero_shot(test)[:4], 8)


def test_rows_are_asked_as_the_arm_asks_and_keep_their_answers(test):
    rows = decide.as_asked(test, schema)
    assert rows["messages"][0][-1] == test["messages"][0][-1]
    assert rows["messages"][0][0]["content"].endswith("issue, order, urgent.")


def test_a_reply_that_is_no_list_stays_as_it_is():
    assert decide.list_to_json("I don't know.") == "I don't know."
    assert decide.list_to_json("a: 1") == '{"a": 1}'


@pytest.mark.parametrize(
    ("make", "options", "said"),
    [
        (lambda m: [], {}, "there are no arms; give one at least"),
        (lambda m: [Arm("a", m), Arm("a", m)], {}, "two arms are named 'a'"),
        (lambda m: [Arm("a", m, lambda chats: chats[1:])], {}, "'a' makes 23 chats of 24 rows"),
        (lambda m: [Arm("a", m, lambda chats: None)], {}, "'a' makes None of 24 rows"),
        (lambda m: [Arm("a", m)], {"prices": (1,)}, "the prices of 'a' are (1,)"),
        (lambda m: [Arm("a", m)], {"prices": {"a": (1, -2)}}, "the prices of 'a' are (1, -2)"),
        (lambda m: [Arm("a", m, adapter="mine")], {}, "without an adapter"),
        (lambda m: [Arm("a", m, schema)], {"rows": "facts"}, "does not end in 'Give the ticket"),
    ],
)  # fmt: skip
def test_an_arm_without_what_it_needs_is_refused_in_a_sentence(pocket, test, make, options, said):
    model, tokenizer = pocket
    rows = data.load("facts")["test"] if options.pop("rows", None) else test
    with pytest.raises(UserError) as error:
        compare_arms(make(model), tokenizer, rows, **options)
    assert said in str(error.value)


def test_no_rows_are_refused(pocket, test):
    with pytest.raises(UserError, match="there are no test rows"):
        compare_arms([Arm("a", pocket[0])], pocket[1], test.select([]))
