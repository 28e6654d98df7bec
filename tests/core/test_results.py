"""Results: one table in a terminal and in a cell, marked numbers, bytes as text."""

from dataclasses import dataclass

import pytest

from ftkit.core import Table, about, percent, percent_in, results
from ftkit.core.results import Result


@dataclass(frozen=True, repr=False)
class Two(Result):
    """A result with two rows, one of them with a sign of HTML."""

    b: float = 0.12345

    def table(self):
        return "A <title>", ("name", "value"), [("a", 1), ("longer <b>", about(self.b))]


def test_a_result_reads_in_a_terminal():
    lines = ["A <title>", "name        value", "a           1", "longer <b>  ≈0.123"]
    assert str(Two()).splitlines() == repr(Two()).splitlines() == lines


def test_a_result_reads_in_a_cell():
    shown = Two()._repr_html_()
    assert "longer &lt;b&gt;" in shown and "<b>A &lt;title&gt;</b>" in shown
    assert (shown.count("<tr>"), shown.count("<th"), shown.count("<td")) == (3, 2, 4)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("≈0.123", '<span class="ft-near">0.123</span>'),
        ("≈98.7 %", '<span class="ft-near">98.7 %</span>'),
        ("≈50.0 % [40.0, 60.0] of", '<span class="ft-near">50.0 % [40.0, 60.0]</span> of'),
        ("≈−1.5e-05", '<span class="ft-near">−1.5e-05</span>'),
        (
            "≈2.1 → ≈0.3 nats",
            '<span class="ft-near">2.1</span> → <span class="ft-near">0.3</span> nats',
        ),
        ("≈3,100 rows <b>", '<span class="ft-near">3,100</span> rows &lt;b&gt;'),
        ("≈unknown", "unknown"),
        ("W ≈ levels", "W ≈ levels"),
        (0.5, "0.5"),
    ],
)
def test_in_html_a_marked_number_needs_no_mark(text, shown):
    assert results.html_text(text) == shown
    table = Table(f"<{text}", (text,), [(text,)])
    assert table._repr_html_().count(shown) == 3
    assert str(text) in str(table), "a terminal keeps it"


def test_a_table_is_shown_as_given():
    table = Table("Cards", ("card", "GiB"), [("T4 16", 13.5)])
    assert str(table).splitlines() == ["Cards", "card   GiB", "T4 16  13.5"]
    assert str(Table("None", ("card", "GiB"), ())).splitlines() == ["None", "card  GiB"]


def test_a_result_without_a_table_says_so():
    with pytest.raises(NotImplementedError):
        repr(Result())


def test_measured_numbers_are_marked():
    assert (about(0.1342), about(1234.5, 2), about(2, 3, " ms")) == ("≈0.134", "≈1.2e+03", "≈2 ms")
    assert percent(0.987) == "≈98.7 %"
    assert percent_in(0.5, 0.4, 0.6) == "≈50.0 % [40.0, 60.0]"


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (16384, "16.4 kB"),
        (999_400, "999 kB"),
        (999_600, "1 MB"),
        (52_500_000, "52.5 MB"),
        (7_460_000_000, "7.46 GB"),
    ],
)
def test_decimal_bytes_have_three_digits_and_the_unit_that_suits(size, text):
    assert results.decimal_bytes(size) == text


def test_bytes_in_one_unit():
    assert results.megabytes(52_500_000) == "52.5 MB"
    assert results.megabytes(1_234_500_000) == "1,234.5 MB"
    assert results.gigabytes(7_460_000_000) == "≈7.5 GB"
    assert results.gibibytes(1.5 * 2**30) == "1.500"
    assert results.gibibytes(2000 * 2**30, 1) == "2,000.0"
