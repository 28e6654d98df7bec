"""The kit's explorers as files: each can be made, and what its page keeps is offered and small."""

import pytest
from verbs import invoke

from ftkit import UserError
from ftkit.show import page
from ftkit.tools import explorers


@pytest.mark.parametrize("name", explorers.EXPLORERS)
def test_what_a_page_keeps_is_offered_and_has_room(name):
    explorer = explorers.EXPLORERS[name]
    panel = explorer.make()
    content = page.Content(panel.view, panel.controls, panel.narrowing, panel.title, panel.call)
    only = page.check_only(content, explorer.only)
    assert 5 < page.count_positions(content, only) < 5_000
    for control, values in only.items():
        assert [v for v in values if v not in page.offered_everywhere(content, control)] == []
    wings = "lora quant memory train cost decide lab merge methods prefer operate".split()
    assert panel.title and panel.call.split(".")[0] in wings


def test_the_verb_writes_pages(tmp_path):
    done = invoke("explorers", str(tmp_path / "pages"), "alphas", "batches", "--json")
    assert done.exit_code == 0, done.output
    written = {path.name: path.stat().st_size for path in (tmp_path / "pages").iterdir()}
    assert set(written) == {"alphas.html", "batches.html"}
    assert max(written.values()) < 100_000


def test_a_name_that_there_is_not_writes_nothing(tmp_path):
    with pytest.raises(UserError, match=r"no explorer .ranges.; there are ranks.*'ranks'"):
        explorers.save_explorers(tmp_path / "pages", ["alphas", "ranges"])
    assert not (tmp_path / "pages").exists()


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "none" / "pages"):
        with pytest.raises(UserError, match="cannot be made a folder; give one whose parent"):
            explorers.save_explorers(folder, ["alphas"])
