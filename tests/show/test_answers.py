"""A slider over test rows: each position shows its row, and each reply is judged in words."""

import html

import pytest
from pictures import every_position

from ftkit import UserError, show
from ftkit.show import answers

TEST = {
    "messages": [
        [{"role": "user", "content": f"<ticket {i}>"}, {"role": "assistant", "content": str(i)}]
        for i in range(5)
    ]
}
VERDICTS = (answers.RIGHT, answers.WRONG, answers.NO_JSON)
REPLIES = {"base": ["?"] * 5, "tuned": ["0", "1", "2", "3", "wrong"]}


def test_every_position_shows_its_row():
    panel = show.explore_answers(TEST, REPLIES)
    seen = [chosen["row"] for chosen in every_position(panel) if shows(panel, chosen["row"])]
    assert seen == [0, 1, 2, 3, 4]


def shows(panel, row):
    """Whether the panel, its picture and its line are all of this row."""
    return (
        f"&lt;ticket {row}&gt;" in panel.html
        and panel.picture.value == panel.view(row=row) == panel.html
        and panel.text == f"Panel(row_view: row={row})"
    )


@pytest.mark.parametrize(
    ("gold", "reply", "said"),
    [
        ("4", "4", "right"),
        ("4", "five", "wrong"),
        ('{"a": 1}', '{"a": 2}', "wrong"),
        ('{"a": 1}', '{"a": 1', "not JSON"),
        ("[1]", "one", "not JSON"),
        ('{"a": 1}', '{"a": 1}', "right"),
    ],
)
def test_every_reply_is_judged_in_words(gold, reply, said):
    shown = show.answers_view("2 + 2?", gold, {"tuned": reply})
    judged = {words: shown.count(f">{words}</span>") for words, _ in VERDICTS}
    assert judged == {**dict.fromkeys(judged, 0), said: 1}
    assert f">{html.escape(reply)}</td>" in shown


@pytest.mark.parametrize("verdict", VERDICTS)
def test_a_verdict_can_be_read_in_a_light_and_in_a_dark_notebook(verdict):
    """White letters on a ground of their own: WCAG's contrast, whatever the page's colour is."""
    _, ground = verdict
    assert 1.05 / (luminance(ground) + 0.05) >= 4.5


def luminance(colour):
    """The relative luminance of "#rrggbb"."""
    shares = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_replies_that_are_too_few_are_refused():
    with pytest.raises(UserError, match="'tuned' has 2 replies to 5 rows; give one per row"):
        show.explore_answers(TEST, {"tuned": ["0", "1"]})


def test_some_rows_alone_can_be_offered():
    panel = show.explore_answers(TEST, REPLIES, rows=[4, 1])
    assert [chosen["row"] for chosen in every_position(panel)] == [4, 1]
    assert "tuned" in panel.html
