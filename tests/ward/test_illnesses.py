"""The ward is whole: every illness has a patient, a check of the doctor's, and its own cure."""

import re
from dataclasses import replace

import nbformat

from ftkit import ward
from ftkit.tools import notebooks
from ftkit.ward import sick_runs

CHECKS = {
    "learning rate", "learning", "adapter", "over-fitting", "template", "scale", "base", "end mark",
    "prompt", "pairs", "modules", "tokens", "leak", "copies", "cut answers", "start mark",
}  # fmt: skip


def test_every_illness_lies_in_one_room():
    patients = [name for room in ward.ROOMS.values() for name in room.values()]
    assert sorted(patients) == sorted(ward.ILLNESSES) and len(patients) == 16
    letters = [letter for room in ward.ROOMS.values() for letter in room]
    assert len(set(letters)) == 16 and {len(room) for room in ward.ROOMS.values()} == {4}


def test_each_has_a_check_and_a_cure_of_its_own():
    assert {illness.check for illness in ward.ILLNESSES.values()} == CHECKS
    assert len({illness.cure for illness in ward.ILLNESSES.values()}) == 16
    assert all(illness.because.endswith(".") for illness in ward.ILLNESSES.values())


def test_a_sick_run_differs_from_its_cured_one_in_the_fault_alone():
    for illness in ward.ILLNESSES.values():
        sick, cured = illness.sick, illness.cured
        assert cured.fault == "none" and sick.fault in ("none", *sick_runs.FAULTS)
        if sick.fault != "none":
            assert replace(sick, fault="none") == cured


def test_the_points_are_the_runs_that_the_illnesses_name():
    points = ward.ward_points()
    assert len(points) == len(set(points)) == 66
    for illness in ward.ILLNESSES.values():
        for run in (illness.sick, illness.cured):
            assert {replace(run, seed=seed) for seed in range(3)} <= set(points)
    # the halves of the over-fit run's fault, which are nobody's sick or cured run
    named = {run for one in ward.ILLNESSES.values() for run in (one.sick, one.cured)}
    halves = {replace(point, seed=0) for point in points} - named
    fever = ward.ILLNESSES["over-fit"].sick
    assert halves == {replace(fever, rows=48), replace(fever, lr=4e-3)}


def test_the_healthy_runs_are_of_eighteen_usual_settings():
    points = ward.healthy_points()
    assert len(points) == len(set(points)) == 54
    assert len({replace(point, seed=0) for point in points}) == 18
    assert all(5e-4 <= point.lr <= 4e-3 for point in points)


def test_the_names_at_the_exercises_of_the_notebook_are_the_lists():
    path = notebooks.CHECKOUT / "notebooks" / "11_broken_runs.ipynb"
    cells = nbformat.read(path, as_version=4).cells
    found = re.findall(r"<small>The list: (.*)\.</small>", "\n".join(cell.source for cell in cells))
    assert len(found) == len(ward.ROOMS)
    assert all(names.split(" · ") == sorted(ward.ILLNESSES) for names in found)
