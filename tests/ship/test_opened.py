"""A run's parts, each loaded when it is asked for."""

import pytest
from shipping import write_run

from ftkit import UserError, models, ship


def test_nothing_is_loaded_before_it_is_asked_for(run):
    one = ship.Opened(run)
    assert "parts" not in vars(one) and one.name == "tickets"
    assert one.need_lora("never said")["r"] == 8
    assert one.base_folder == one.base_name and "parts" not in vars(one)
    assert one.base.config.model_type == "llama" and "parts" in vars(one)


def test_the_base_of_a_packed_run_is_its_dequantized_one(packed):
    one = ship.Opened(packed)
    assert models.is_packed(one.parts[1]) and not models.is_packed(one.base)


def test_prompts_come_from_the_test_rows_and_then_from_the_world(run, tmp_path):
    asked = ship.Opened(run).prompts(210)
    assert len(asked) == 210 and all(chat[-1]["role"] == "user" for chat in asked)
    assert asked[0][0]["content"].startswith("Ticket") and "Ticket" not in asked[200][0]["content"]
    lost = write_run(tmp_path / "run", data=str(tmp_path / "gone.jsonl"))
    assert len(ship.Opened(lost).prompts(40)) == 40


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"holds no run\.json; give the folder"):
        ship.Opened(tmp_path)
