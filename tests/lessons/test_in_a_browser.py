"""A reader in JupyterLab: the answer is held back until the guess, and a wrong answer is helped; an
interview is practised and led.
"""

import json

import pytest
import test_browser as browser
from test_browser import MINUTE

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(bool(browser.MISSING), reason="; ".join(browser.MISSING)),
]
SOURCE = """
import os
os.environ["FTKIT_JOURNAL"] = "answers.jsonl"
from ftkit.lessons import check, predict, reveal, score_card
predict("00.share")
reveal("00.share", 0.0465, "The " + "figure.")
check("00.1", 2048)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A folder, and the address of one JupyterLab on it for all of these tests."""
    folder = tmp_path_factory.mktemp("lessons")
    with browser.jupyterlab(folder) as address:
        yield folder, address


def test_a_prediction_is_answered_after_the_guess(server):
    folder, address = server
    path = browser.notebook(folder / "lesson.ipynb", SOURCE.strip())
    with browser.page(folder / "lesson.png") as lab:
        browser.open_and_run(lab, address, path.name)
        assert browser.errors(lab) == []
        keep = lab.locator(".ft-keep").first
        keep.wait_for(timeout=MINUTE)
        lab.get_by_text("The answer waits for your guess above.").wait_for(timeout=MINUTE)
        assert lab.get_by_text("a twentieth (4.65 %)").filter(visible=True).count() == 0
        assert lab.get_by_text("The figure.").filter(visible=True).count() == 0

        # nothing chosen, then a guess
        keep.click()
        lab.get_by_text("Choose first, then press Keep").wait_for(timeout=MINUTE)
        lab.get_by_label("a hundredth").check()
        keep.click()
        lab.get_by_text("You said a hundredth; the answer is a twentieth (4.65 %).").filter(
            visible=True
        ).first.wait_for(timeout=MINUTE)
        assert lab.get_by_text("The figure.").filter(visible=True).count() == 1

        # the wrong answer is named, and its hint is one fold away
        lab.get_by_text("v_proj is not square").first.wait_for()
        assert lab.locator("details[open]").count() == 0
        lab.get_by_text("A hint").first.click()
        fold = lab.locator("details[open]")
        fold.wait_for(timeout=MINUTE)
        assert "How many numbers has each?" in fold.inner_text()
        assert browser.errors(lab) == []
    kept = (folder / "answers.jsonl").read_text(encoding="utf-8")
    assert kept.count('"00.share"') == 2 and kept.count('"00.1"') == 1


INTERVIEW = """
from IPython.display import display
from ftkit.lessons import interview
interview.practise("alpha")
display(interview.lead(["lora", "alpha"], minutes=1))
"""


def test_an_interview_is_practised_and_led(server):
    folder, address = server
    path = browser.notebook(folder / "interview.ipynb", INTERVIEW.strip())
    with browser.page(folder / "interview.png") as lab:
        browser.open_and_run(lab, address, path.name)
        lab.locator(".ft-compare").first.click()
        lab.get_by_text("comes first").wait_for(timeout=MINUTE)
        assert lab.get_by_text("α alone says nothing").filter(visible=True).count() == 0

        # an answer, and the strong one beside it
        field = lab.locator(".ft-practise textarea")
        field.fill("That depends on the rate, so I would sweep it.")
        field.press("Tab")
        lab.locator(".ft-compare").first.click()
        lab.get_by_text("α alone says nothing").filter(visible=True).wait_for(timeout=MINUTE)
        lab.get_by_label("Asks for the rate at once").first.check()
        lab.get_by_text("1 of 4 points").first.wait_for(timeout=MINUTE)

        # the clock runs, a point is ticked, and all of it fits a narrow page
        lab.locator(".ft-clock").click()
        lab.get_by_text("0:01 of 0:30").wait_for(timeout=MINUTE)
        lab.get_by_label("Counts from the shapes").check()
        lab.evaluate("() => jupyterapp.commands.execute('application:toggle-left-area')")
        lab.set_viewport_size({"width": 390, "height": 900})
        wide = "() => { const d = document.querySelector('.ft-lead');"
        lab.wait_for_function(
            f"{wide} return d.scrollWidth <= d.clientWidth + 1 }}", timeout=MINUTE
        )
        lab.locator(".ft-export").click()
        lab.get_by_text("Written: interview-").wait_for(timeout=MINUTE)
        assert browser.errors(lab) == []
    told = json.loads(next(folder.glob("interview-*.json")).read_text(encoding="utf-8"))
    assert told["questions"][0]["seconds"] >= 1
    assert [one["ticked"] for one in told["questions"][0]["rubric"]].count(True) == 1
