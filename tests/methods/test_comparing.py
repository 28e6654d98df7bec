"""The comparison takes each method at its own rate, at equal score, with seeds paired."""

import pytest
from method_rows import ROWS, Row

from ftkit import UserError, methods
from ftkit.core.statistics import holm, p_over_seeds
from ftkit.methods import comparing


def test_each_method_stands_at_its_own_rate():
    chosen = methods.choose_rates(ROWS)
    # what keeps most of those that learned; where none did, the best score
    assert {label: one.lr for label, one in chosen.items()} == {
        "lora": 4e-3, "ia3": 1e-1, "prompt, text": 3e-1, "full": 1e-3,
    }  # fmt: skip
    assert methods.choose_rates(ROWS, bar=0.97)["lora"].lr == 1e-2
    assert chosen["lora"].skills == pytest.approx((0.92, 0.90, 0.94))
    assert chosen["lora"].interval("skills").value == pytest.approx(0.92)
    assert chosen["prompt, text"].title == "prompt tuning, text"


def test_the_table_says_who_learned_and_where_the_bar_is():
    title, heads, rows = methods.compare_methods(ROWS).table()
    assert title == "tickets: 3 of 4 methods reach 90%, each at its own rate"
    assert [row[0] for row in rows] == [
        "full fine-tuning", "LoRA", "IA³", "— below 90%: —", "prompt tuning, text",
    ]  # fmt: skip
    assert {len(row) for row in rows} == {len(heads)}
    stored = methods.compare_methods(ROWS).json()
    assert stored["ia3"]["merges"] and not stored["prompt, text"]["merges"]
    facts = methods.compare_methods(ROWS, "facts").table()
    assert facts[0].startswith("facts: 0 of 1 methods") and len(facts[2]) == 1, "no line needed"


def test_differences_are_paired_by_seed_and_corrected():
    found = {one.label: one for one in methods.differences(ROWS)}
    assert found.keys() == {"ia3", "full"}  # the prompt has not learned the task
    changes = [(0.50 - 0.90, 0.53 - 0.92, 0.52 - 0.94), (0.03, 0.03, 0.03)]
    assert found["ia3"].change.value == pytest.approx(sum(changes[0]) / 3)
    assert found["ia3"].p == pytest.approx(holm([p_over_seeds(changes[0]), 0.0])[0])
    assert found["ia3"].title == "IA³"


def test_what_is_not_in_the_rows_is_named():
    with pytest.raises(UserError, match=r"no run of the task 'ticket'; .*facts, tickets.*mean"):
        methods.outcomes(ROWS, "ticket")
    with pytest.raises(UserError, match="against is 'prompt, text', which reaches 90% at no rate"):
        methods.differences(ROWS, against="prompt, text")
    one = comparing.gather("lora", [Row("lora", 1e-3, 0.9, 0.9)])
    assert one.interval("exact") is None and comparing.shown(one, "exact") == "≈90.0 %"
