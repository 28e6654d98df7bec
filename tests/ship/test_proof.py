"""What is proved is measured on the files, and what fails is not called proved."""

import families
import pytest

from ftkit import UserError, models, ship
from ftkit.ship import opened, proof

CHATS = [[{"role": "user", "content": "Say one."}]]


def test_kinds_are_compared_in_a_table(tmp_path):
    model, tokenizer = models.load(families.write("qwen", tmp_path / "base", ending=20))
    kinds = ship.compare_kinds(model, tokenizer, ("f32", "q8_0"), CHATS)
    assert kinds.sizes["q8_0"] < kinds.sizes["f32"] / 2 and kinds.refused == ""
    _, heads, rows = kinds.table()
    assert len(heads) == 4 and [row[0] for row in rows] == ["f32", "q8_0"]
    assert rows[0][3] == "≈1 of 1"


def test_a_family_that_is_not_written_is_a_line_of_the_table(tmp_path):
    model, tokenizer = models.load(families.write("phi", tmp_path / "base"))
    kinds = ship.compare_kinds(model, tokenizer, ("f32",), CHATS)
    assert kinds.proofs == {} and "the architecture is 'phi3'" in str(kinds)


def test_a_proof_that_fails_is_refused_where_the_format_could_hold_it():
    assert opened.Proof("replies", 1, 2, "a reader", exact=False).check().equal == 1
    with pytest.raises(UserError, match="of replies 1 of 2 are equal, read back by a reader; no"):
        opened.Proof("replies", 1, 2, "a reader").check()


def test_tokenizers_are_compared_on_the_corpus(tmp_path):
    pocket = models.load("pocket")[1]
    other = models.load_tokenizer(families.write("llama", tmp_path / "base"))
    same, unlike = (proof.compare_tokenizers(pocket, each) for each in (pocket, other))
    assert same.equal == same.of == 100 and unlike.equal < 100
