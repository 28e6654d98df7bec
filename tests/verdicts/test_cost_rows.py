"""Rows T10, M4, M5, C1 to C5 and G2: utilisations that figures need, and slips looked up."""

import pytest

from ftkit import cost, verdicts
from ftkit.verdicts import cost_rows

CLAIMS = {claim.id: claim for claim in cost_rows.CLAIMS}


@pytest.mark.parametrize("name", ["T10", "M5", "C1", "C2", "C4", "C5", "G2"])
def test_what_decides_runs_in_a_cell(name):
    try:
        exec(CLAIMS[name].decides, {})
    except NotImplementedError:
        assert name == "G2", "the library packs no K-kind, which is the row's point"


def test_a_figure_needs_a_utilisation_at_both_of_its_ends():
    figure = cost.FIGURES[0]
    low, high = cost_rows.needed_shares(figure, "it")
    assert (low.what, high.what) == ("it: its lower end", "it: its upper end")
    assert low.value / high.value == pytest.approx(figure.range[1] / figure.range[0])
    at_low = cost.Case(utilisation=low.value / 100)
    assert at_low.hours == pytest.approx(figure.range[0], rel=1e-6)
    assert low.said == tuple(100 * share for share in cost.usual_utilisation())


def test_hours_are_those_of_a_thousand_rows_and_seven_or_eight_billion():
    names = {one.what for one in cost_rows.hours_of_runs() if one.said}
    assert names == {
        f"{name}: its {end} end"
        for name in ("lora, 1 to 2 h", "lora, 0.5 to 1.5 h", "full, 4 to 8 h")
        for end in ("lower", "upper")
    }


def test_a_price_that_a_short_row_does_not_meet_is_met_by_a_long_one():
    found = {one.what: one for one in cost_rows.money_of_runs()}
    for said in ("2 to 4 $: lora of llama-3.1-8b", "5 to 20 $: lora of llama-2-7b"):
        short, long = (found[f"{said}, 1,000 rows of {n} tokens"] for n in ("512", "2,048"))
        assert (short.answer, long.answer) == (False, True)
    assert CLAIMS["C1"].verdict(list(found.values())) == "depends"


def test_renting_is_cheaper_from_fewer_rows_on_where_it_is_set_up_sooner():
    *_, sooner, later = cost_rows.prices_of_apis()
    assert later.value / sooner.value == pytest.approx(4, rel=1e-3)
    assert CLAIMS["C2"].verdict([sooner, later]) == "unverified"
    assert CLAIMS["C2"].verdict([sooner._replace(n=3)]) == "fails here"
    told = {}
    exec(CLAIMS["C2"].decides.replace("cost.rows", "rows = cost.rows"), told)
    assert told["rows"] == pytest.approx(later.value)


def test_a_drop_is_of_the_larger_number():
    drop, _ = cost_rows.drop_of_latency()
    assert drop.value == pytest.approx(84.9, abs=0.05) and drop.said == verdicts.as_written("40")
    assert CLAIMS["M5"].verdict([drop._replace(value=40.0)]) == "holds"


def test_no_k_kind_is_packed_by_the_converters_library():
    assert cost_rows.packed_kinds() == 0
