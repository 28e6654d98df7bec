"""The monitor's explorer: what is drawn is what was computed, at every position, in bounds."""

import pytest
from pictures import elements, every_position, numbers, sweep, texts

from ftkit import operate
from ftkit.operate import explorer
from ftkit.operate.monitoring import ALARMS

WATCHES = {name: alarm.watches for name, alarm in ALARMS.items()}


@pytest.fixture(scope="module")
def panel():
    usual = operate.Pool.of(operate.draw_tickets(40), 0.97)
    changed = operate.Pool.of(operate.draw_tickets(40, "new wordings"), 0.5)
    monitor = operate.calibrate(usual, scene=operate.Scene(days=40, per_day=20), streams=250)
    return operate.explore_monitor(usual, changed, monitor)


def test_every_position_says_what_it_draws(panel):
    start = {"shift": "inputs", "size": 0.1, "false_alarms": 0.05}
    assert panel.values() == start
    for chosen in every_position(panel):
        changes = "it changes on day 30" if chosen["size"] else "nothing changes"
        assert panel.text.startswith(changes)
        assert set(ALARMS) <= set(texts(panel.shown))
    panel.choose(**start)


def test_every_control_changes_the_picture(panel):
    for name in panel.controls:
        sweep(panel, name)


def test_the_page_holds_every_position(panel, tmp_path):
    page = panel.save(tmp_path / "monitor.html")
    assert page.stat().st_size < 2_000_000


def levels(name, values):
    return {**{other: [0.5] * 4 for other in ALARMS}, name: values}


def test_an_alarm_rings_above_its_threshold_and_not_on_it():
    name = "golds, CUSUM"
    shown = operate.monitor_view(levels(name, [0.2, 1.0, 1.2, 9]), WATCHES, 1)
    assert shown.text == "it changes on day 1; ≈1 of 10 alarms ring, the first on day ≈2"
    assert "day 2: after 2" in texts(shown)
    rings = [each for each in elements(shown.svg, "circle")]
    assert len(rings) == 1
    silent = operate.monitor_view(levels(name, [1.0] * 4), WATCHES, None)
    assert silent.text == "nothing changes; ≈0 of 10 alarms ring"
    early = operate.monitor_view(levels(name, [2.0, 0, 0, 0]), WATCHES, 3)
    assert "day 0: falsely" in texts(early)


def test_what_is_higher_than_the_picture_is_drawn_at_its_top():
    shown = operate.monitor_view(levels("latency p50", [0, 1e9, 3, 2]), WATCHES, 0)
    (ring,) = elements(shown.svg, "circle")
    assert numbers(ring, "cy") == [explorer.PLOT.top]
