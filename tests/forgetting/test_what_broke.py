"""What broke is listed: the prompts that went from right to wrong, and what is said now."""

from ftkit import forgetting, models
from ftkit.forgetting import probing, what_broke
from ftkit.world import World
from ftkit.world import skills as suites


def test_broken_probes_are_listed_with_what_is_said_now(monkeypatch):
    before = probing.Skills({"copy": [True, True, False], "count": [True, True, True]})
    after = probing.Skills({"copy": [True, False, False], "count": [False, True, False]})
    monkeypatch.setattr(
        what_broke,
        "answer",
        lambda model, tokenizer, chats, n: [f"said {chat[0]['content']}" for chat in chats],
    )
    tokenizer = models.load("pocket")[1]
    result = forgetting.regressions(forgetting.table(before, after), None, tokenizer)
    copy, count = (suites.draw_suite(World(), name, 3) for name in ("copy", "count"))
    expected = [("copy", copy[1]), ("count", count[0]), ("count", count[2])]
    assert result.broken == [
        (skill, probe.prompt, probe.answer, f"said {probe.prompt}") for skill, probe in expected
    ]
    assert result.counts == {"count": 2, "copy": 1}
    assert list(result.counts) == ["count", "copy"], "most first"
    assert result.passed == 5
    assert copy[1].prompt in str(result)
