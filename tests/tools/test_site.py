"""The site's pages before Sphinx has them: what they say, where they lead, what stands for widgets.

`tests/test_site.py` opens the built site in a browser.
"""

import dataclasses
import functools
import re

import nbformat
import pytest
import typer
from verbs import invoke

import ftkit
import ftkit.__main__ as every_verb
from ftkit import UserError, show
from ftkit.show import page, svg
from ftkit.tools import site, site_pages
from ftkit.tools.site_pages import Live, answered, linked

FIRST = svg.drawing("A rank", [svg.words(20, 60, "1")], "r = 1")
LIVE = Live(
    "ranks", "Ranks & cuts", "What is lost.", "lora.explore_ranks(…)", "", frozenset([FIRST.svg])
)
STILL = '<style>.x{display:none}</style><div class="ft-still">a picture</div>'


def cell(source, shown=STILL, drawn=""):
    return answered(shown, drawn, source, {"ranks": LIVE})


def test_an_explorer_whose_page_holds_the_picture_is_shown_alive():
    shown = cell("panel", drawn=FIRST.svg)
    assert 'src="../live/ranks.html" title="Ranks &amp; cuts" loading="lazy"' in shown
    assert "a picture" not in shown


@pytest.mark.parametrize(
    "source", ["lora.explore_ranks(mine)", "reveal('01.a', 1, explore_ranks(x))"]
)
def test_one_on_other_numbers_keeps_its_picture_and_names_the_one_that_moves(source):
    shown = cell(source, drawn="<svg>other</svg>")
    assert shown.startswith('<div class="ft-still">a picture</div>')
    assert '<a href="../explorers/ranks.html">Ranks &amp; cuts</a>' in shown


def test_a_panel_without_a_page_says_that_it_is_a_picture():
    drawn = '<div class="ft-still"><img alt="r = 1" src="data:x"></div>'
    assert cell("show.Panel(view, r=[1])", f"<style>x</style>{drawn}") == drawn + site_pages.MOVE
    asked = '<div class="ft-still">Your answer?</div>'
    assert cell('practise("lora")', f"<style>x</style>{asked}") == asked + site_pages.USE


def test_an_explorer_is_written_with_its_pictures_and_asks_no_host_for_an_icon(tmp_path):
    live = site_pages.write_live("levels", tmp_path / "levels.html")
    assert live.function == "explore_levels" and len(live.pictures) > 100
    assert '<link rel="icon" href="../_static/' in (tmp_path / "levels.html").read_text()
    assert live.first.startswith('<img alt="') and 'href="levels.html"' in site_pages.card(live)


def test_a_question_is_answered_in_the_notebook():
    assert cell('predict("01.rank")').endswith(f"</div>{site_pages.GUESS}")
    asked = "<b>Your turn:</b> put your answer in place of the three dots and run the cell again."
    assert cell('mine = ...\ncheck("01.1", mine)', asked) == site_pages.ANSWER
    assert cell('check("01.1", 4)', "<b>Right.</b>") == "<b>Right.</b>"


def test_a_figure_and_an_answer_stay_as_they_are():
    assert cell("figure", "<img alt='x'>") == "<img alt='x'>"
    assert cell('reveal("01.rank", 3, table)') == STILL.partition("</style>")[2]


def test_links_lead_to_the_sites_own_pages():
    said = (
        "[a](TEACHING.md#map) [b](../README.md) [c](01_low_rank.ipynb) [d](https://x.org/y) [e](#z)"
    )
    page_of = functools.partial(linked, file="notebooks/00.ipynb", page="notebooks/00.ipynb")
    assert page_of(said) == (
        "[a](../teaching.md#map) [b](../handbook.md) [c](01_low_rank.ipynb) "
        "[d](https://x.org/y) [e](#z)"
    )
    assert linked("[a](ftkit) [b](LICENSE)", "README.md", "handbook.md") == (
        "[a](https://github.com/ftkit/ftkit/tree/main/ftkit) "
        "[b](https://github.com/ftkit/ftkit/blob/main/LICENSE)"
    )


@pytest.mark.parametrize("target", ["notebooks/99_none.ipynb", "../elsewhere.md"])
def test_a_link_that_leads_nowhere_is_said(target):
    with pytest.raises(UserError, match=r"README.md links to .*, which is not in the repository"):
        linked(f"[a]({target})", "README.md", "handbook.md")


def test_the_front_page_and_the_map_are_readmes_own():
    readme = (site_pages.CHECKOUT / "README.md").read_text(encoding="utf-8")
    front, where = site_pages.front_page(readme), site_pages.map_page(readme)
    assert front.startswith("# ftkit\n") and readme.splitlines()[2] in front
    assert front.count("```bash") == 2 and "| you | begin with |" not in front
    assert re.search(r"^!\[.{40,}\]\(pictures/", front, re.MULTILINE)
    for path in site_pages.notebook_files():
        assert f" <notebooks/{path.stem}>\n" in front
    for name in re.findall(r"\]\(notebooks/(\w+\.ipynb)\)", readme):  # all: test_project_files
        assert f"](notebooks/{name})" in where
    for reader in ("student", "interviewer", "teacher", "practitioner"):
        assert reader in front
    # the numbers in README's table of readers are links, other words are not
    assert "[02](notebooks/02_lora_in_twenty_lines.ipynb)" in where
    assert "| have ten minutes" in where and "[ten](notebooks/ten" in where


def test_a_section_that_is_not_there_is_said():
    with pytest.raises(UserError, match="no section 'Nothing', of which a page"):
        site_pages.section("# A\n\n## B\n", "Nothing")


def test_every_name_of_a_face_stands_on_its_page():
    for wing in ("core", "show", "data"):  # the built site's index is held to all of them
        face = getattr(ftkit, wing)
        lines = site_pages.describe_wing(face).splitlines()
        named = {line.split(":: ")[1] for line in lines if ":: ftkit." in line}
        assert {f"ftkit.{wing}.{name}" for name in face.__all__} <= named


def test_constants_and_other_libraries_names_are_described_by_what_they_are():
    assert site_pages.describe("ftkit.core.GIB", 2**30)[:2] == [
        ".. py:data:: ftkit.core.GIB",
        "   :value: 1073741824",
    ]
    assert "   A table of 2: a, b." in site_pages.describe("x", {"a": 1, "b": "\n" * 80})
    assert "   nbformat's own." in site_pages.describe("x", nbformat.NotebookNode)
    assert site_pages.describe("x", UserError)[0] == ".. autoexception:: x"


def test_docstrings_are_plain_text_with_code_in_backticks():
    said = "Give `W` of *one* layer_.\n\n    y = W x + b_\n\nEach:\n    a(1)   one"
    assert site.restructured(said) == [
        *("Give \\ ``W``\\  of \\*one\\* layer\\_.", ""),
        *(".. code-block:: text", "", "       y = W x + b_", ""),
        *("Each:", "", ".. code-block:: text", "", "       a(1)   one", ""),
    ]


def test_verbs_say_what_they_take():
    text = site_pages.verbs_page(typer.main.get_command(every_verb.app).commands)
    assert "## site\n\nBuild the site" in text and "| `--out` | The folder to write into. |" in text
    assert "## registry\n" in text and "\n### publish\n" in text


def test_a_saved_pages_pictures_can_be_read_back(tmp_path):
    def view(r):
        return svg.drawing("A rank", [svg.words(20, 60, str(r))], f"r = {r}")

    path = show.Panel(view, r=[1, 2]).save(tmp_path / "ranks.html")
    assert page.read_pictures(path) == {view(1).svg, view(2).svg}


def test_ledger_and_cards_that_are_not_there_are_said(monkeypatch, tmp_path):
    monkeypatch.setattr(site_pages, "data_path", lambda name: tmp_path / name)
    assert "It has not been written yet" in site_pages.ledger_page()
    assert "not in this checkout yet" in site_pages.interview_page()


def test_html_within_markdown_has_no_empty_line():
    assert site_pages.block("<pre>a\n\n \nb</pre>").count("\n\n") == 0


def write(folder, **pages):
    for name, text in pages.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")


def test_links_are_followed(tmp_path):
    write(tmp_path, a='<a href="b.html#x">b</a> <a href="https://x.org">x</a>', b='<p id="x">')
    assert site.check_links(tmp_path) == 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('<a href="c.html">', "a.html links to c.html#, which is not there"),
        ('<a href="a.html#y">', "a.html links to a.html#y, which is not there"),
        ('<img src="/tmp/x.png">', "links to /tmp/x.png#, which is not there"),
        ('<script src="https://x.org/y.js">', "fetches https://x.org/y.js from another host"),
        ('<link href="//x.org/y.css">', "fetches //x.org/y.css from another host"),
    ],
)
def test_what_leads_nowhere_or_elsewhere_is_refused(tmp_path, text, sentence):
    write(tmp_path, a=text)
    with pytest.raises(UserError, match=sentence):
        site.check_links(tmp_path)


def test_an_installed_package_says_that_it_needs_a_checkout(tmp_path, monkeypatch):
    monkeypatch.setattr(site_pages, "CHECKOUT", tmp_path)
    with pytest.raises(UserError, match=r"of the repository's README .* run it in a checkout"):
        site_pages.write_pages(tmp_path / "pages", {})
    assert not (tmp_path / "pages").exists()


def test_without_sphinx_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(site, "NEEDED", ("no_such_module",))
    done = invoke("site", "--out", str(tmp_path / "site"))
    assert done.exit_code == 1 and "no_such_module, not installed here: pip" in done.output
    assert not (tmp_path / "site").exists()


def test_formulas_need_no_script():
    pytest.importorskip("docutils")
    drawn = site.as_mathml(r"\Big(\sigma_1 + \dots\Big)", block=True)
    assert drawn.startswith('<math xmlns="http://www.w3.org/1998/Math/MathML" display="block">')
    assert "…" in drawn and "Big" not in drawn


def test_what_was_built_is_told_in_a_line():
    built = site.Site("build/site", 70, 9000, 12_000_000, 61.2)
    assert "12 MB" in str(built) and dataclasses.asdict(built)["links"] == 9000
