"""The explorer of batches: it counts what the rows hold, at every position, inside its picture."""

import pytest
from pictures import TorchCalls, elements, every_position, numbers, options, texts

from ftkit import UserError, train
from ftkit.show import ACCENT
from ftkit.train import explorer

ROWS = [[(10 + i % 7, 3 + i % 5)] for i in range(21)]
ORDERS = {
    "as drawn": ROWS,
    "by length": sorted(ROWS, key=lambda row: sum(row[0])),
    "packed": [[example for row in ROWS[i : i + 3] for example in row] for i in range(0, 21, 3)],
}
SIZES = (1, 4, 8)


def test_padding_is_what_fills_up_to_the_longest():
    three = [[(3, 2)], [(1, 1)], [(4, 4)]]
    assert train.count_padding(three, packed=False) == 3 + 6
    assert train.count_padding(three, packed=True) == 0
    assert train.count_padding([[(3, 2), (4, 1)]], packed=False) == 0


def test_every_position_draws_every_answer_without_a_call_of_torch():
    panel = train.explore_batches(ORDERS, SIZES)
    assert panel.controls["size"].value == 8
    seen = set()
    with TorchCalls() as calls:
        for values in every_position(panel):
            order, size, step = values["order"], values["size"], values["step"]
            batches = [ORDERS[order][i : i + size] for i in range(0, len(ORDERS[order]), size)]
            assert options(panel.controls["step"]) == list(range(len(batches)))
            answers = [b for b in elements(panel.html, "rect") if b.get("fill") == ACCENT]
            assert len(answers) == sum(map(len, batches[step]))
            seen.add((order, size, panel.text))
    assert not calls
    assert len(seen) == sum(-(-len(rows) // size) for rows in ORDERS.values() for size in SIZES)


def test_the_shares_are_those_of_the_epoch():
    shown = explorer.batch_view([[[(6, 2)], [(2, 2)]], [[(4, 4)]]], 0)
    assert "2 steps per epoch, padding ≈16.7 %, carrying loss ≈33.3 %" in shown.text
    assert "batch 0 has 2 rows" in shown.text


@pytest.mark.parametrize("count", [1, 3, 16])
def test_a_batch_stays_inside_its_picture(count):
    shown = explorer.batch_view([ROWS[:count]], 0)
    assert texts(shown)
    for bar in elements(shown.svg, "rect")[1:]:
        x, y, width, height = numbers(bar, "x", "y", "width", "height")
        assert x + width <= 560
        assert y + height <= 290


def test_tokens_are_drawn_one_box_each_and_wrap():
    tokens, learned = ["<|user|>", " hello", "\n", "<b>"] * 30, [False, False, True, True] * 30
    shown = train.tokens_view(tokens, learned, [token.startswith("<|") for token in tokens])
    assert shown.text == "120 tokens, 60 of them carry loss, 30 are marks of the template"
    assert texts(shown)[1:5] == ["<|user|>", "·hello", "⏎", "<b>"]
    places = [numbers(box, "x", "y", "width", "height") for box in elements(shown.svg, "rect")[1:]]
    assert len(places) == 120
    assert len({y for _, y, _, _ in places}) > 3
    assert max(x + width for x, _, width, _ in places) <= 744
    bottom = numbers(elements(shown.svg, "rect")[0], "height")[0]
    assert max(y + height for _, y, _, height in places) < bottom


@pytest.mark.parametrize("restarts", [True, False])
def test_a_packed_row_shows_who_sees_whom(restarts):
    lengths = [3, 2, 4]
    owner = [i for i, n in enumerate(lengths) for _ in range(n)]
    pairs = [(a, b) for a in range(9) for b in range(a + 1)]
    inside = sum(owner[a] == owner[b] for a, b in pairs)
    across = 0 if restarts else len(pairs) - inside
    shown = train.mask_view(lengths, restarts=restarts)
    assert f"{inside:,} pairs inside an example, {across:,} across" in shown.text
    assert {"9", str(inside), str(across)} <= set(texts(shown))
    assert len(elements(shown.svg, "polygon")) == len(lengths)


def test_every_position_of_the_masks():
    panel = train.explore_masks([[3, 2, 4], [5], [2, 2]])
    assert len({panel.text for _ in every_position(panel)}) == 6


TOKENS, LEARNED = ["a", " ", "{", "x", "\n"], [False, False, True, True, True]


def test_what_a_token_costs_is_its_colour_and_a_number():
    shown = train.token_losses_view(TOKENS, [0.0, 1.0, 0.0, 2.5, 9.0], LEARNED, 5)
    said = texts(shown)
    assert {"0.00", "2.50", "9.00", "{", "⏎", "·"} <= set(said) and "1.00" not in said
    assert shown.text == (
        "step 5: ≈3.83 nats per answer token over 3 tokens; the dearest is '\\n' with ≈9"
    )
    fills = [box.get("fill") for box in elements(shown.svg, "rect")][1:]
    assert fills[0] == fills[2] == "#ffffff" and len(set(fills)) == 4


def test_losses_that_fit_no_tokens_are_refused():
    with pytest.raises(UserError, match="there are 5 tokens, 1 losses and 5 marks of what is"):
        train.token_losses_view(TOKENS, [0.0], LEARNED)


def test_a_slider_goes_over_the_steps():
    losses = {0: [0.0, 1, 2, 3, 4], 10: [0.0, 1, 1, 1, 1], 5: [0.0, 1, 2, 2, 2]}
    panel = train.explore_losses(TOKENS, losses, LEARNED)
    seen = {chosen["step"]: panel.text.split(" nats")[0] for chosen in every_position(panel)}
    assert seen == {0: "step 0: ≈3", 5: "step 5: ≈2", 10: "step 10: ≈1"}
