"""One list of targets, which tells how far each was checked."""

import re

import pytest

from ftkit import UserError, ship
from ftkit.ship import catalogue, exporting


def test_every_target_has_a_writer_and_says_how_it_was_checked():
    assert exporting.WRITERS.keys() == catalogue.TARGETS.keys()
    for target in catalogue.TARGETS.values():
        assert target.checked in catalogue.CHECKS
        assert (target.tool == "-") == (target.checked == "exported") == (target.date == "-")
        # a version that is stated was there on a day that is stated
        assert bool(target.version) == bool(re.fullmatch(r"\d{4}-\d\d-\d\d", target.date))


def test_the_table_lists_all():
    table = ship.targets()
    assert [row[0] for row in table.rows] == list(catalogue.TARGETS)
    assert ("trl", "run") in {(row[0], row[2]) for row in table.rows}


def test_a_target_that_is_none_is_refused_with_the_nearest():
    with pytest.raises(UserError, match=r"no target 'GUFF'; give one of gguf, .* mean 'gguf'\?"):
        ship.find_target("GUFF")
