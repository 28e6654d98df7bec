"""What a process of its own costs: its own memory alone, and nothing that this one holds."""

import subprocess

import pytest

from ftkit.tools import processes


def test_a_peak_is_the_childs_own():
    ballast = bytearray(400_000_000)
    ballast[::4096] = b"x" * len(ballast[::4096])
    small = processes.run_fresh("pass").peak
    code = "block = bytearray(200_000_000); block[::4096] = b'x' * len(block[::4096])"
    large = processes.run_fresh(code).peak
    assert small < 100e6
    assert 190e6 < large - small < 210e6


def test_what_the_code_prints_does_not_disturb():
    cost = processes.run_fresh("print('several'); print('lines')")
    assert cost.seconds >= 0
    assert cost.peak > 0


def test_code_that_fails_is_no_measurement():
    with pytest.raises(subprocess.CalledProcessError):
        processes.run_fresh("raise ValueError")
