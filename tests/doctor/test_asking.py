"""What a run says when it is asked: answers without questions, replies without end, recitation."""

import pytest

from ftkit import data, models, train
from ftkit.doctor import asking
from ftkit.models import Reply
from ftkit.train import Experiment


@pytest.fixture(scope="module")
def pocket():
    return models.load("pocket")


def test_shuffled_answers_are_no_likelier_behind_their_own_questions(pocket):
    chats = data.load("tickets")["train"]["messages"][:8]
    own = asking.ratio_of_pairs(*pocket, chats)
    assert own < 0.5 and asking.check_pairs(own).ok
    shuffled = [[*chat[:-1], chats[n - 1][-1]] for n, chat in enumerate(chats)]
    ratio = asking.ratio_of_pairs(*pocket, shuffled)
    assert ratio > asking.PAIRED and not asking.check_pairs(ratio).ok


def test_one_answer_for_all_questions_is_no_shuffle(pocket):
    chats = data.load("tickets")["train"]["messages"][:3]
    same = [[*chat[:-1], chats[0][-1]] for chat in chats]
    assert asking.ratio_of_pairs(*pocket, same) == 0


def asked(text, gold="yes", *, ended=True, question="Is it Zaisburg?"):
    chat = [{"role": "user", "content": question}, {"role": "assistant", "content": gold}]
    return asking.Asked(chat, Reply(text, ended=ended))


@pytest.mark.parametrize(("going", "fine"), [(0, True), (3, True), (4, False), (12, False)])
def test_replies_that_go_on_are_counted(going, fine):
    some = [asked("yes", ended=n >= going) for n in range(12)]
    assert asking.check_endings(some).ok is fine


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
    assert [f.check for f in found] == ["pairs", "endings", "recitation"]
    assert all(f.ok and "not looked at" in f.message for f in found)
