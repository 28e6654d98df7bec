"""What a run says when it is asked: answers without questions, and recitation."""

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
    nats, ratio = asking.price_of_pairs(*pocket, chats)
    assert nats > asking.FORESEEN and ratio < 0.5 and asking.check_pairs(nats, ratio).ok
    shuffled = [[*chat[:-1], chats[n - 1][-1]] for n, chat in enumerate(chats)]
    nats, ratio = asking.price_of_pairs(*pocket, shuffled)
    assert ratio > asking.PAIRED and not asking.check_pairs(nats, ratio).ok


def test_classes_that_are_not_learned_yet_are_no_shuffle():
    assert asking.check_pairs(0.2, 0.98).ok and not asking.check_pairs(1.05, 0.98).ok


def test_one_answer_for_all_questions_is_no_shuffle(pocket):
    chats = data.load("tickets")["train"]["messages"][:3]
    same = [[*chat[:-1], chats[0][-1]] for chat in chats]
    assert asking.price_of_pairs(*pocket, same)[1] == 0


def asked(text, gold="yes", question="Is it Zaisburg?"):
    chat = [{"role": "user", "content": question}, {"role": "assistant", "content": gold}]
    return asking.Asked(chat, Reply(text))


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
