"""Keeping it alive: versions, roll-outs, alarms, and training again. Notebook 15.

    Registry(folder)                   publish, compare, promote, roll back        registry.py
    verify(run)                        are its scores still those of its record?   verifying.py

    choose_version(request, share)     who gets the new version                    rollout.py
    evidence(old, new)                 do they differ? Valid on any day            rollout.py
    always_valid_p, daily_p            the p that may be looked at daily; the usual one  rollout.py
    roll_out(rates, plan)              step by step, and back: simulated           rollout.py

    draw_tickets(n, change)            requests, usual or changed                  streams.py
    Pool.of(rows, right)               what a monitor sees of them                 streams.py
    simulate(usual, changed, shift)    days of requests with a shift planted       streams.py
    psi, ks, cusum, page_hinkley       statistics of drift                         alarms.py
    calibrate(usual, rate)             ten alarms that know healthy streams        monitoring.py
    explore_monitor(usual, changed)    a stream with its alarms, by sliders        explorer.py

    retrain(registry, name, …)         train on old and new rows; refuse the worse retraining.py

How a version lies on disk is `shelf.py`, which base it is for `bases.py`. What is wrong with a run
is found by `doctor`, which `verify` asks; how right answers are by `evaluate`. Models are served
elsewhere: here one decides which.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
