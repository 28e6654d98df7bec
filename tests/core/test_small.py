"""Records, exercises, figures and setup: what a cell shows."""

import os

import pytest
import torch

from ftkit import UserError, setup, show
from ftkit.core import Table, about, files, percent
from ftkit.core.results import Result
from ftkit.lessons import check


class Two(Result):
    def table(self):
        return "A title", ("name", "value"), [("a", 1), ("longer <b>", about(0.12345))]


def test_a_record_reads_in_a_terminal_and_in_a_cell():
    assert str(Two()).splitlines() == [
        "A title",
        "name        value",
        "a           1",
        "longer <b>  ≈0.123",
    ]
    assert "longer &lt;b&gt;" in Two()._repr_html_()
    assert percent(0.5) == "≈50.0 %"


def test_setup_seeds_and_says_so(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    first = setup(seed=5)
    a = torch.rand(3)
    setup(seed=5)
    assert torch.equal(a, torch.rand(3))
    assert (first.seed, first.threads, first.device) == (5, 1, "cpu")
    assert "torch" in first.versions
    assert torch.get_num_threads() == 1


def test_setup_turns_the_dial(monkeypatch):
    monkeypatch.setenv("FTKIT_MODEL", "pocket")
    assert setup(model="owner/name").model == "owner/name"
    assert os.environ["FTKIT_MODEL"] == "owner/name"


def test_a_bad_seed():
    with pytest.raises(UserError, match="seed is -1"):
        setup(seed=-1)


def test_staging_moves_all_or_nothing(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(RuntimeError), files.whole_or_nothing(out) as new:
        (new / "half").write_text("x")
        raise RuntimeError
    assert not list(tmp_path.iterdir())
    for text in ("one", "two"):
        with files.whole_or_nothing(out) as new:
            (new / "folder").mkdir()
            (new / "folder" / text).write_text(text)
    assert [p.name for p in (out / "folder").iterdir()] == ["two"]
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="is a file"), files.whole_or_nothing(tmp_path / "file"):
        pass


def test_a_check_names_the_mistake():
    mistakes = {65536: "k_proj is not square"}
    assert check(..., 49152, mistakes).right is None
    assert check(49152, 49152, mistakes, because="because").right is True
    wrong = check(65536, 49152, mistakes)
    assert (wrong.right, wrong.text) == (False, "k_proj is not square")
    assert "7" in check(7, 49152, mistakes).text
    assert check(0.1 + 0.2, 0.3, {}).right is True


def test_figures_show_their_numbers():
    figure = show.curves([(1, 2.0), (2, 1.0)], [(2, 1.5)], best=2)
    assert figure.axes[0].lines[0].get_ydata().tolist() == [2.0, 1.0]
    assert figure._repr_png_().startswith(b"\x89PNG")
    figure = show.skills({"copy": 1.0, "sort": 0.5}, {"tuned": {"copy": 0.9, "sort": 0.1}})
    assert figure.axes[0].collections[0].get_offsets()[:, 0].tolist() == [50.0, 100.0]
    figure = show.bars({"task": {"base": (0.0, 0.0, 0.1), "tuned": (0.9, 0.8, 0.95)}})
    assert [round(p.get_height()) for p in figure.axes[0].patches] == [0, 90]


def test_a_table_is_shown_as_given():
    table = Table("Cards", ("card", "GiB"), [("T4 16", 13.5)])
    assert str(table).splitlines() == ["Cards", "card   GiB", "T4 16  13.5"]
