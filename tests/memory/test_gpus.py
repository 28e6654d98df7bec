"""What cards hold: less than their nameplate, and the longest row by the formula."""

import pytest

from ftkit import UserError, memory
from ftkit.core.results import GIB

LLAMA = "llama-3.1-8b"


def test_every_card_has_less_than_its_nameplate():
    cards = memory.cards()
    assert list(cards) == [
        "T4 16", "L4 24", "RTX 4090 24", "A100 40", "A100 80", "H100 80", "H200 141",
    ]  # fmt: skip
    assert {card["nameplate_gb"] for card in cards.values()} == {16, 24, 40, 80, 141}
    for name, card in cards.items():
        nameplate, usable = card["nameplate_gb"], memory.usable_bytes(name) / GIB
        assert 0.85 * nameplate < usable < nameplate


def test_fits_finds_the_longest_row_that_fits():
    fit = memory.fits("llama-2-7b", "T4 16", method="qlora", dtype="float16", batches=(1, 4))
    limit = 0.95 * memory.usable_bytes("T4 16")
    for batch, seq in fit.longest.items():
        options = {"method": "qlora", "dtype": "float16", "batch": batch}
        assert memory.predict("llama-2-7b", seq=seq, **options).peak == fit.peaks[batch] <= limit
        assert seq == 4096 or memory.predict("llama-2-7b", seq=seq + 1, **options).peak > limit
    assert fit.longest[1] > fit.longest[4] > 0
    assert "longest row" in str(fit)


def test_70b_in_four_bits_is_too_much_for_24_gb_and_13b_is_not():
    large = memory.fits("llama-3.1-70b", "RTX 4090 24", method="qlora")
    assert set(large.longest.values()) == {0}
    assert "does not fit" in str(large)
    assert memory.fits("llama-2-13b", "RTX 4090 24", method="qlora").longest[1] >= 2048


@pytest.mark.parametrize(
    ("card", "options", "sentence"),
    [
        ("A100-80", {}, "there is no card 'A100-80' in data/gpus.json.*Did you mean 'A100 80'"),
        ("T4 16", {"reserve": 1}, "reserve is 1; give a share"),
        ("T4 16", {"reserve": True}, "reserve is True; give a share"),
        ("T4 16", {"batches": (0,)}, "batch is 0"),
    ],
)
def test_a_card_or_a_share_that_is_none(card, options, sentence):
    with pytest.raises(UserError, match=sentence):
        memory.fits(LLAMA, card, **options)
