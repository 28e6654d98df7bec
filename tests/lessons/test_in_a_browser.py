"""A reader in JupyterLab: the answer is held back until the guess, and a wrong answer is helped."""

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


def test_a_prediction_is_answered_after_the_guess(tmp_path):
    path = browser.notebook(tmp_path / "lesson.ipynb", SOURCE.strip())
    with browser.jupyterlab(tmp_path) as address, browser.page(tmp_path / "lesson.png") as lab:
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
    kept = (tmp_path / "answers.jsonl").read_text(encoding="utf-8")
    assert kept.count('"00.share"') == 2 and kept.count('"00.1"') == 1
