"""Predict first: the answer waits for the guess, a guess can be changed until the answer is out,
and where there is no front end the answer is simply there.
"""

import json

import nbclient
import nbformat
import pytest

from ftkit import UserError, answers, show
from ftkit.lessons import displays, guessing, journal, predict, predicting, reveal, score_card


@pytest.fixture(autouse=True)
def in_a_new_kernel():
    def clear():
        journal.MEMORY.clear()
        for known in (predicting.WAITING, predicting.QUESTIONS, predicting.OUT):
            known.clear()

    clear()
    yield
    clear()


@pytest.fixture
def shown(monkeypatch):
    """What is shown, as (HTML, text, widget)."""
    seen = []
    monkeypatch.setattr(predicting, "still_and_live", lambda *given: seen.append(given))
    monkeypatch.setattr(
        predicting, "show_rendered", lambda found: seen.append((found.html, found.text, None))
    )
    return seen


def kinds():
    return [(entry.kind, entry.answer, entry.right) for entry in journal.MEMORY.entries]


def test_the_answer_waits_for_the_guess(shown):
    predict("00.share")
    reveal("00.share", 0.0465, lambda guess: f"a line at {guess}")
    waiting = shown[-1][2]
    assert "waits for your guess" in waiting.children[0].value
    assert shown[-1][1] == "The answer: a twentieth (4.65 %).\na line at None"

    # choose and keep
    question = predicting.QUESTIONS["00.share"]
    question.keep_button.click()
    assert "Choose first" in question.status.value and kinds() == []
    question.control.value = "a hundredth"
    question.keep_button.click()
    answer = waiting.children[0].value
    assert "✗ You said a hundredth; the answer is a twentieth (4.65 %)." in answer
    assert "a line at a hundredth" in answer
    assert question.keep_button.disabled and question.control.disabled
    assert kinds() == [("guess", "a hundredth", None), ("truth", "a twentieth", False)]


def test_a_skip_shows_the_answer_too(shown):
    predict("00.share")
    reveal("00.share", 0.0465)
    waiting = shown[-1][2]
    waiting.children[1].click()
    assert "a twentieth (4.65 %)" in waiting.children[0].value
    assert [kind for kind, *_ in kinds()] == ["skip", "truth"]
    assert predicting.QUESTIONS["00.share"].skip_button.disabled


def test_two_answers_wait_for_one_guess(shown):
    for figure in ("one", "two"):
        reveal("00.share", 0.0465, figure)
    boxes = [widget for *_, widget in shown]
    predict("00.share", "a twentieth")
    assert [("one" in b.children[0].value, "two" in b.children[0].value) for b in boxes] == [
        (True, False),
        (False, True),
    ]


def test_a_guess_can_be_changed_until_the_answer_is_out(shown):
    predict("00.share", "a hundredth")
    predict("00.share")
    assert shown[-1][1].startswith("You said a hundredth. Change it")
    predict("00.share", "a half")
    assert shown[-1][1] == "You said a half. Before: You said a hundredth."
    reveal("00.share", 0.0465)
    assert shown[-1][1] == "✗ You said a half; the answer is a twentieth (4.65 %)."
    predict("00.share", "a twentieth")
    assert shown[-1][1] == "The answer is out, so this stays: You said a half."
    assert [answer for kind, answer, _ in kinds() if kind == "guess"] == ["a hundredth", "a half"]
    predict("00.share")
    assert predicting.QUESTIONS["00.share"].keep_button.disabled


def test_the_answer_is_recorded_once_however_often_it_is_shown(shown):
    predict("00.share", "a twentieth")
    for _ in range(3):
        reveal("00.share", 0.0465)
    assert shown[-1][1] == "✓ You said a twentieth, and so it is: 4.65 %."
    assert kinds() == [("guess", "a twentieth", None), ("truth", "a twentieth", True)]
    assert score_card("00").predictions_right == 1


def test_a_number_and_an_order_are_guessed_too(shown):
    predict("00.cost")
    slider = predicting.QUESTIONS["00.cost"]
    slider.control.value = 40
    slider.keep_button.click()
    reveal("00.cost", 0.379)
    assert "✓ You said 40 points, and so it is" in shown[-1][1]
    assert "≈" not in shown[-1][0] and "≈37.9 points" in shown[-1][1]

    predict("07b.mends")
    order = predicting.QUESTIONS["07b.mends"]
    order.control.buttons["warm-up"].click()
    order.keep_button.click()
    assert "Choose first" in order.status.value
    order.control.again.click()
    for name in reversed(order.control.items):
        order.control.buttons[name].click()
    order.keep_button.click()
    assert "You said a tenth of the rate, four times the batch" in order.status.value
    reveal("07b.mends", {name: place for place, name in enumerate(order.control.items)})
    assert shown[-1][1].startswith("✗ You said a tenth of the rate")


def test_what_can_not_be_is_refused(shown):
    with pytest.raises(UserError, match="none of 'a thousandth'"):
        predict("00.share", "a third")
    with pytest.raises(UserError, match="there is no prediction"):
        predict("00.shar")
    with pytest.raises(UserError, match="answered by trainable / total"):
        reveal("00.share", "everything")
    assert kinds() == []


def test_a_function_of_the_guess_that_fails_is_told_on_the_page(shown):
    def draw(guess):
        if guess is not None:
            raise RuntimeError("no figure")
        return "all"

    reveal("00.share", 0.0465, draw)
    predict("00.share", "a half")
    *_, widget = shown[0]
    assert "RuntimeError: no figure" in widget.children[0].value


@pytest.mark.parametrize("shown_as", [show.Drawing("<svg/>", "a drawing"), ["a", None, "b"], 7])
def test_anything_can_be_shown_late(shown_as):
    found = displays.rendered(shown_as)
    assert found.html and found.text


def test_a_panel_shown_late_stays_alive(shown):
    panel = show.Panel(lambda n: f"<b>{n}</b>", n=[1, 2])
    reveal("00.share", 0.0465, panel)
    predict("00.share", "a half")
    box = shown[0][2]
    panel.controls["n"].value = 2
    head, live = box.children[0].children
    assert live is panel.box and "<b>2</b>" in panel.picture.value
    assert "You said a half" in head.value and "<b>1</b>" not in head.value, "no twin above it"


def test_a_panel_among_other_things_stays_alive():
    panel = show.Panel(lambda n: f"<b>{n}</b>", n=[1, 2])
    found = displays.rendered(["above", panel])
    above, live = found.live.children[1].children
    assert above.value == "above" and live.children[1] is panel.box
    assert "<b>1</b>" in found.html


def test_a_picture_shown_late_keeps_its_alt_text():
    tag = displays.as_image(b"\x89PNG", "image/png", 'a "line"')
    assert tag.startswith('<img src="data:image/png;base64,iVBORw==" alt="a &quot;line&quot;"')


CELLS = (
    "from ftkit.lessons import predict, reveal, check, score_card\npredict('00.share')",
    "reveal('00.share', 0.0465, [1, 2])",
    "check('00.1', ...)",
    "predict('00.share', 'a hundredth')",
    "reveal('00.share', 0.0465)",
    "check('00.1', 2048)",
    "score_card('00')",
)


def test_a_kernel_without_a_front_end_shows_it_all(tmp_path):
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    nbclient.NotebookClient(book, resources={"metadata": {"path": str(tmp_path)}}).execute()
    said = []
    for cell in book.cells:
        texts = [out["data"].get("text/plain", "") for out in cell.outputs if "data" in out]
        said.append("\n".join(texts))
    assert "Your guess? a thousandth · a hundredth" in said[0]
    assert said[1].startswith("The answer: a twentieth (4.65 %).")
    assert said[2].startswith("Your turn") and "You said a hundredth" in said[3]
    assert said[4] == "✗ You said a hundredth; the answer is a twentieth (4.65 %)."
    assert said[5].startswith("Not yet: v_proj") and "0 of 6 exercises right" in said[6]
    assert "ft-still" in json.dumps(book.cells[1].outputs[0]["data"])


def test_what_is_counted_is_guessed_in_whole_numbers():
    counted = guessing.make_slider(answers.find_prediction("08.common"))
    assert (counted.step, counted.readout_format) == (1, ".0f")
    units = {"levels", "tickets", "rows", "figures", "ways", "runs", "adapters"}
    things = [p for p in answers.all_predictions().values() if p.unit in units and not p.log]
    assert len(things) == 10 and {guessing.make_slider(one).step for one in things} == {1}
    # a ratio that is right within three tenths is guessed in hundredths
    ratio = answers.find_prediction("13.latency")
    assert guessing.make_slider(ratio).step < 0.1
