"""A slider over test rows: each position shows its row, right replies green and wrong ones red."""

from pictures import every_position

from ftkit import show
from ftkit.show import answers

TEST = {
    "messages": [
        [{"role": "user", "content": f"<ticket {i}>"}, {"role": "assistant", "content": str(i)}]
        for i in range(5)
    ]
}
REPLIES = {"base": ["?"] * 5, "tuned": ["0", "1", "2", "3", "wrong"]}


def test_every_position_shows_its_row():
    panel = show.explore_answers(TEST, REPLIES)
    seen = [chosen["row"] for chosen in every_position(panel) if shows(panel, chosen["row"])]
    assert seen == [0, 1, 2, 3, 4]


def shows(panel, row):
    """Whether the panel, its picture and its bundle are all of this row."""
    bundle = panel._repr_mimebundle_()
    return (
        f"&lt;ticket {row}&gt;" in panel.html
        and panel.picture.value == panel.view(row=row) == panel.html == bundle["text/html"]
        and bundle["text/plain"] == f"Panel(row_view: row={row})"
    )


def test_right_is_green_and_wrong_is_red():
    shown = show.answers_view("2 + 2?", "4", {"base": "five", "tuned": "4"})
    assert f"{answers.WRONG}'>five" in shown and f"{answers.RIGHT}'>4" in shown


def test_some_rows_alone_can_be_offered():
    panel = show.explore_answers(TEST, REPLIES, rows=[4, 1])
    assert [chosen["row"] for chosen in every_position(panel)] == [4, 1]
    assert "tuned" in panel.html
