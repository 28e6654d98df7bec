"""A panel as one file: the same pictures as in a kernel, nothing from elsewhere, all or nothing."""

import base64
import gzip
import itertools
import json
import re

import ipywidgets
import pytest
from pictures import every_position

from ftkit import UserError
from ftkit.show import Panel, page, svg
from ftkit.show.controls import Ticks

WIDE, THIN = [1, 2, 4, 8], [1, 2, 4]


def ranks(side):
    """The ranks that a matrix of this shape has."""
    return WIDE if side == "wide" else THIN


def rank_view(side, r):
    """A picture of a rank; one of them is refused."""
    if (side, r) == ("thin", 4):
        raise UserError("a thin matrix has no rank of 4 & more.")
    return svg.drawing(side, [svg.words(20, 60, f"{r} < 9")], f"{side}, r = {r}")


@pytest.fixture
def panel():
    return Panel(rank_view, {"r": 4}, title="Ranks & <sides>", side=["wide", "thin"], r=ranks)


def stored(path):
    """What a page holds, unpacked."""
    packed = re.search('<script type="text/plain" id="data">([^<]*)</script>', path.read_text())[1]
    return json.loads(gzip.decompress(base64.b64decode(packed)))


def picture(data, *chosen):
    """The picture behind these values, and what each control offered on the way."""
    knot, offered = data["tree"], []
    for value in chosen:
        values = [one for _, one in data["options"][knot[0]]]
        offered.append(values)
        knot = knot[1][values.index(value)]
    return "".join(data["parts"][number] for number in data["views"][knot]), offered


def test_every_position_is_the_kernels_picture(panel, tmp_path):
    data = stored(panel.save(tmp_path / "ranks.html"))
    seen = 0
    for chosen in every_position(panel):
        shown, (sides, offered) = picture(data, *chosen.values())
        assert shown == panel.html
        assert (sides, offered) == (["wide", "thin"], ranks(chosen["side"]))
        seen += 1
    assert seen == 7


def test_a_page_stands_for_itself(panel, tmp_path):
    path = panel.save(tmp_path / "ranks.html")
    text = path.read_text(encoding="utf-8")
    addresses = set(re.findall(r"https?://[^\"' )]*", text))
    assert addresses == {"http://www.w3.org/2000/svg"}, "a name, not an address"
    assert not re.search(r"\b(src|href|import|@import|url)\b *[=(]", text)
    assert "<title>Ranks &amp; &lt;sides&gt;</title>" in text
    assert re.search(r"ftkit \S+ · panel\.save\(&#x27;ranks\.html&#x27;\)", text)
    assert panel.html in text, "the first picture needs no script"
    assert path.stat().st_size < 20_000
    assert [one.name for one in tmp_path.iterdir()] == ["ranks.html"]
    again = panel.save(tmp_path / "again.html").read_text(encoding="utf-8")
    assert again.replace("again.html", "ranks.html") == text


def test_it_starts_where_the_panel_stands(panel, tmp_path):
    assert stored(panel.save(tmp_path / "a.html"))["start"] == ["wide", 4]
    panel.choose(side="thin", r=2)
    assert stored(panel.save(tmp_path / "a.html"))["start"] == ["thin", 2]
    data = stored(panel.save(tmp_path / "a.html", side="wide", r=[4, 8]))
    assert data["start"] == ["wide", 4]
    assert [one["kind"] for one in data["controls"]] == ["", "slider"]
    assert "Held: side = wide." in (tmp_path / "a.html").read_text()


def test_a_branch_without_any_value_left_is_gone(panel, tmp_path):
    data = stored(panel.save(tmp_path / "a.html", r=8))
    assert data["options"] == [[["8", 8]], [["wide", "wide"]]]


def test_boxes_hold_every_choice_of_them(tmp_path):
    boxes = Ticks({"q": True, "k": False, "v": True}, {"all": ["q", "k", "v"]})
    panel = Panel(lambda targets, r: f"{targets} {r}", targets=boxes, r=[1, 2])
    data = stored(panel.save(tmp_path / "a.html"))
    (_, knots), choices = data["tree"], list(itertools.product((False, True), repeat=3))
    assert data["controls"][0] == {
        "name": "targets", "kind": "ticks", "boxes": ["q", "k", "v"],
        "presets": [["all", ["q", "k", "v"]]],
    }  # fmt: skip
    for ticked, knot in zip(choices, knots, strict=True):
        boxes.value = [name for name, on in zip("qkv", ticked, strict=True) if on]
        shown = "".join(data["parts"][n] for n in data["views"][knot[1][0]])
        assert shown == panel.html, "the first box is the slowest"
    some = stored(panel.save(tmp_path / "b.html", targets=[["v", "q"], []]))
    assert some["controls"][0]["kind"] == "menu"
    assert some["options"][some["tree"][0]] == [["q, v", "q\nv"], ["none", ""]]
    one = stored(panel.save(tmp_path / "b.html", targets=["k"]))
    assert one["options"][one["tree"][0]] == [["k", "k"]]


def test_equal_parts_are_stored_once(tmp_path):
    many = "".join(f"<b>{i}</b>" for i in range(500))
    panel = Panel(lambda r: f"{many}<i>{r}</i>", r=list(range(200)))
    path = panel.save(tmp_path / "a.html")
    assert len(stored(path)["parts"]) == 500 + 1 + 200 + 1
    assert path.stat().st_size < 40_000 < 200 * len(many)


def test_a_yes_or_no_is_a_box(tmp_path):
    corner = ipywidgets.Checkbox(False, description="zoom")
    data = stored(Panel(lambda zoom: f"{zoom}", zoom=corner).save(tmp_path / "a.html"))
    assert data["controls"] == [{"name": "zoom", "kind": "box"}]
    assert [picture(data, on)[0] for on in (False, True)] == ["False", "True"]


@pytest.mark.parametrize(
    ("only", "said"),
    [
        ({"rs": 1}, r"no control 'rs' to choose for; there are side, r\. Did you mean 'r"),
        ({"r": 3}, r"^r=3 is not offered; there is 1, 2, 4, 8\.$"),
        ({"r": [1, 9]}, r"^r=9 is not offered"),
        (
            {"side": "thin", "r": 8},
            r"^side=.thin. is not offered with the other values that are kept",
        ),
        ({"side": []}, r"side has no value to keep"),
    ],
)
def test_what_cannot_be_kept_is_said(panel, tmp_path, only, said):
    with pytest.raises(UserError, match=said):
        panel.save(tmp_path / "a.html", **only)
    assert list(tmp_path.iterdir()) == []


def test_too_many_positions_are_said_before_one_is_drawn(tmp_path):
    drawn = []
    panel = Panel(lambda **chosen: drawn.append(1) or "x", a=range(50), b=["x", "y"], c=range(300))
    drawn.clear()
    said = (
        r"^the panel has 30,000 positions, and a page holds 20,000; keep some values of a control, "
        r"as in panel\.save\('a\.html', b=\['x'\]\)\.$"
    )
    with pytest.raises(UserError, match=said):
        panel.save(tmp_path / "a.html")
    assert not drawn and not list(tmp_path.iterdir())
    panel.save(tmp_path / "a.html", b=["x"])
    assert len(drawn) == 15_000


def test_many_boxes_are_counted_and_not_listed(tmp_path):
    names = [f"m{i}" for i in range(20)]
    panel = Panel(lambda targets: "x", targets=Ticks(dict.fromkeys(names, True)))
    with pytest.raises(UserError, match=r"20 check boxes have 1,048,576 choices; name those"):
        panel.save(tmp_path / "a.html")
    panel.save(tmp_path / "a.html", targets=[["m1"], ["m2", "m3"]])


def test_too_many_bytes_leave_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "MOST_BYTES", 12_000)
    panel = Panel(lambda a, b: f"{hash((a, b, 7)) ** 9}", a=range(40), b=range(20))
    with pytest.raises(
        UserError, match=r"800 pictures would take .*as in panel\.save\('a\.html', "
    ):
        panel.save(tmp_path / "a.html")
    assert list(tmp_path.iterdir()) == []


def test_a_field_for_text_has_no_list_of_positions(tmp_path):
    panel = Panel(lambda name: f"<b>{name}</b>", name=ipywidgets.Text("a", description="name"))
    with pytest.raises(UserError, match=r"Text has no list of values.*save\(path, name=\['a'\]\)"):
        panel.save(tmp_path / "a.html")
    data = stored(panel.save(tmp_path / "a.html", name=["a", "b"]))
    assert picture(data, "b")[0] == "<b>b</b>"


def test_a_folder_that_is_not_there_is_said(panel, tmp_path):
    with pytest.raises(UserError, match=r"there is no folder .*none.* to write a\.html into"):
        panel.save(tmp_path / "none" / "a.html")
