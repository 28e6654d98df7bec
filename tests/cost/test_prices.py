"""Prices are dated ranges with a source; yours go before the kit's, and what is none is refused."""

import json

import pytest

from ftkit import UserError, cost

ROW = {"kind": "card hour", "name": "A100 80", "low": 2, "high": 2.5, "source": "my invoice"}


@pytest.fixture
def table(tmp_path):
    """Writes a price table and gives its path: the usual one with some keys changed."""

    def write(name="mine.json", drop=(), **changed):
        stated = {"date": "2026-10", "prices": [ROW], **changed}
        text = json.dumps({key: value for key, value in stated.items() if key not in drop})
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_the_kits_prices_have_a_date_a_source_and_both_ends():
    kit = cost.read_prices()
    assert len(kit.rows) >= 15
    for row in kit.rows:
        assert 0 < row.low <= row.high and row.date and len(row.source) > 5
    assert {"AWS Bedrock Custom Models", "Vertex AI Tuning"} <= set(kit.names("training tokens"))


def test_where_sources_differ_a_price_is_the_range_over_them():
    found = cost.read_prices().of("card hour", "A100 80")
    assert found.range == (1.5, 6.25), "$150 for 48 hours is 3.125, $300 is 6.25"
    assert found.source.count(";") == 2 and found.date == "2026-03"


def test_a_file_of_your_own_goes_before_the_kits(table):
    mine = cost.read_prices(table())
    assert mine.of("card hour", "A100 80").range == (2, 2.5)
    assert mine.of("card hour", "A100 80").date == "2026-10"
    kits = cost.read_prices().of("card hour", "A100 40")
    assert mine.of("card hour", "A100 40") == kits, "what it leaves out is the kit's"


def test_another_currency_has_nothing_of_the_kits(table):
    euros = cost.read_prices(table(currency="EUR"))
    assert [row.name for row in euros.rows] == ["A100 80"]
    assert "€2.00 to €2.50" in str(euros)


def test_a_currency_is_the_same_one_however_it_is_written(table):
    mine = cost.read_prices(table(currency=" usd "))
    assert mine.currency == "USD" and "AWS Bedrock Custom Models" in mine.names("training tokens")


def test_yaml_is_read_too_and_its_dates(tmp_path):
    path = tmp_path / "mine.yaml"
    row = ", ".join(f"{key}: {value}" for key, value in ROW.items())
    path.write_text(f"date: 2026-10-31\nprices:\n- {{{row}}}\n", encoding="utf-8")
    assert cost.read_prices(path).of("card hour", "A100 80").date == "2026-10-31"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"drop": ["date"]}, "has no date, and a price is only true of a day; state date: 2026-10"),
        ({"date": "soon"}, "date of .*mine.json is 'soon'; write it as 2026-10"),
        ({"date": "2026-13"}, "write it as 2026-10"),
        ({"prices": [{**ROW, "low": 3}]}, "price 1 of .*is \\(3, 2.5\\); give low and high"),
        ({"prices": [{**ROW, "high": None}]}, "give low and high, numbers from 0 on"),
        ({"prices": [{**ROW, "low": -1}]}, "give low and high, numbers from 0 on"),
        ({"prices": [{**ROW, "low": True}]}, "give low and high"),
        ({"prices": [{**ROW, "source": " "}]}, "source of price 1 .* who says so"),
        ({"prices": [{**ROW, "kind": "card hours"}]}, "Did you mean 'card hour'"),
        ({"prices": [{**ROW, "hihg": 3}]}, "has the key 'hihg'.*Did you mean 'high'"),
        ({"prices": [3]}, "price 1 of .* is 3"),
        ({"prices": "none"}, "is no table of prices; give the keys date"),
        ({"prices": [{**ROW, "kind": ["card hour"]}]}, "kind of price 1 of .* is ..card hour"),
        ({"drop": ["prices"]}, "is no table of prices"),
        ({"currency": 3}, "currency in .* is 3"),
        ({"curency": "EUR"}, "Did you mean 'currency'"),
    ],
)
def test_what_is_no_price_is_a_sentence(table, changed, said):
    with pytest.raises(UserError, match=said):
        cost.read_prices(table(**changed))


def test_a_table_without_a_date_may_date_every_row(table):
    dated = cost.read_prices(table(drop=["date"], prices=[{**ROW, "date": "2026-09"}]))
    assert dated.of("card hour", "A100 80").date == "2026-09"


def test_a_file_that_is_not_there_and_a_price_that_is_in_no_table(table):
    path = table()
    with pytest.raises(UserError, match=r"give a JSON or YAML file\. Did you mean 'mine.json'"):
        cost.read_prices(path.with_name("mine.jsn"))
    with pytest.raises(UserError, match=r"no card hour of 'A100 8'.*Did you mean 'A100 80'"):
        cost.read_prices().of("card hour", "A100 8")
    with pytest.raises(UserError, match="kind is 'card'; give one of"):
        cost.read_prices().of("card", "A100 80")


def test_an_option_is_one_number_or_two():
    assert cost.price_range("2") == (2, 2)
    assert cost.price_range("1.5, 3.5") == (1.5, 3.5)
    for text in ("3,1", "", "a", "1,2,3", "nan", "-1", "inf"):
        with pytest.raises(UserError, match=f"the price is '{text}'; give a number from 0 on, or"):
            cost.price_range(text)
    with pytest.raises(UserError, match="utilisation is '2'; give a number from 0 to 1, or two"):
        cost.price_range("2", "utilisation", 1)


def test_money_is_said_in_cents_dollars_or_less():
    assert cost.in_money(12.345) == "$12.35"
    assert cost.in_money((1.5, 2825)) == "$1.50 to $2,825"
    assert cost.in_money((0.00095, 0.0102)) == "$0.00095 to $0.0102"
    assert cost.in_money(2.0, "CHF") == "CHF 2.00"
