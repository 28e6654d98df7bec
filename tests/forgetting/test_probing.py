"""The same probes before and after: what is asked, and how what was lost is told."""

import pytest

from ftkit import UserError, data, forgetting, models
from ftkit.forgetting import everyday, probing
from ftkit.world import World
from ftkit.world import skills as suites


@pytest.fixture(scope="module")
def pocket():
    return models.load("pocket")


def test_skills_ask_what_they_say_and_forgetting_pairs_them(pocket):
    before = forgetting.skills(*pocket, n=10, names=["copy", "count"])
    assert before.rates["copy"].n == 10
    assert before.mean > 0.5
    ruined = probing.Skills({name: [False] * 10 for name in before.right})
    lost, low, high = forgetting.table(before, ruined).lost
    assert lost == pytest.approx(before.mean)
    assert low <= lost <= high
    assert forgetting.table(before, before).lost == (0.0, 0.0, 0.0)
    assert "copy" in forgetting.table(before, ruined)._repr_html_()


def test_replies_that_are_judged_unfinished_are_counted(pocket, monkeypatch):
    """A model that thinks for longer fails before and after, and has lost nothing."""
    model, tokenizer = pocket

    def write_replies(model, tokenizer, chats, limit):
        return [models.Reply("", "hm", ended=n > 2) for n in range(len(chats))]

    monkeypatch.setattr(probing, "write_replies", write_replies)
    monkeypatch.setattr(probing, "knows_world", lambda tokenizer: False)
    asked = forgetting.skills(model, tokenizer, n=4, names=["json"])
    assert asked.cut_off == 3
    assert "replies cut off" in str(asked)
    assert "replies cut off" in str(forgetting.table(asked, asked))


def test_skills_do_not_depend_on_how_they_are_batched(pocket):
    names = ["known", "copy", "write_json"]
    whole = forgetting.skills(*pocket, n=12, names=names)
    assert list(whole.right) == names
    probes = [probe for name in names for probe in suites.draw_suite(World(), name, 12)]
    chats = [[{"role": "user", "content": probe.prompt}] for probe in probes]
    replies = models.answer(*pocket, chats, 48, batch_size=36)
    right = [reply == probe.answer for reply, probe in zip(replies, probes, strict=True)]
    assert [x for group in whole.right.values() for x in group] == right


def test_the_json_holds_every_suite_and_the_mean_lost():
    before = probing.Skills({"copy": [True] * 4, "count": [True, False]})
    after = probing.Skills({"copy": [True, True, False, False], "count": [True, True]})
    result = forgetting.table(before, after)
    assert result.json() == {
        "skills": {
            "copy": {"before": 1.0, "after": 0.5, "n": 4},
            "count": {"before": 0.5, "after": 1.0, "n": 2},
        },
        "skill_lost": result.lost,
    }


class Vocabulary:
    """A tokenizer that has these tokens."""

    def __init__(self, tokens):
        self.tokens = dict.fromkeys(tokens)

    def get_vocab(self):
        return self.tokens

    def __len__(self):
        return len(self.tokens)


def test_the_micro_world_is_asked_of_the_pocket_model_and_its_tunings_alone(pocket):
    own = probing.pocket_vocabulary()
    assert probing.knows_world(pocket[1])
    assert probing.knows_world(Vocabulary([*own, "one more"]))
    assert not probing.knows_world(Vocabulary(list(own)[1:]))
    strangers = [f"stranger {i}" for i in range(len(own))]
    assert not probing.knows_world(Vocabulary([*own, *strangers])), "a large model may hold them"
    drawn = probing.draw_probes(Vocabulary(["a"]), n=2, names=["facts"])
    assert [probe.right(probe.answer) for probe in drawn["facts"]] == [True, True]


def test_fair_rows_are_the_kits_general_rows_or_everyday_ones_answered_right(pocket):
    general = data.load("general")["train"]
    assert forgetting.fair_rows(pocket[1], 5)["messages"] == general[:5]["messages"]
    rows = forgetting.fair_rows(Vocabulary(["a"]), 16)["messages"]
    drawn = {name: everyday.draw_suite(name, 16) for name in everyday.SKILLS}
    # the suites in turn, each with a reply that passes its rule
    for i, (name, probes) in enumerate([*drawn.items(), *drawn.items()]):
        question, answer = rows[i]
        assert question["content"] == probes[i // len(drawn)].prompt, name
        assert probes[i // len(drawn)].right(answer["content"]), name
    with pytest.raises(UserError, match="rows is 0"):
        forgetting.fair_rows(Vocabulary(["a"]), 0)


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ({"copy": [True] * 3}, r"before asked copy \(2\), count \(2\), and after copy \(3\)"),
        ({"copy": [True] * 2, "sort": [True] * 2}, r"after copy \(2\), sort \(2\); ask both"),
        ({"copy": [True] * 2}, "ask both the same suites"),
    ],
    ids=["n", "suites", "fewer suites"],
)
def test_only_what_was_asked_the_same_is_compared(after, said):
    before = probing.Skills({"copy": [True, False], "count": [True, True]})
    with pytest.raises(UserError, match=said):
        probing.table(before, probing.Skills(after))


def test_other_probes_and_another_way_of_asking_are_refused():
    """The same suites and n, so that nothing else would tell."""
    right = {"copy": [True, False]}
    before = probing.Skills(right, asked=probing.sign("written", ["Copy a.", "Copy b."]))
    for way, prompts in (("written", ["Copy c.", "Copy d."]), ("chosen", ["Copy a.", "Copy b."])):
        after = probing.Skills(right, asked=probing.sign(way, prompts))
        with pytest.raises(UserError, match="were asked other probes, or in another way"):
            probing.table(before, after)
    assert probing.table(before, probing.Skills(right, asked=before.asked)).lost[0] == 0
