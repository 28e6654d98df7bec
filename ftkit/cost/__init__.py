"""What does it cost? FLOPs, hours, money, energy, as ranges with their assumptions (notebook 14).

    train_flops(source, **options)       FLOPs of a training step, by place and pass  flops.py
    answer_flops(source, prompt, reply)  of reading a prompt and writing a reply    flops.py
    rule_of_thumb(source, tokens, …)     6 · N · tokens, or 4                       flops.py
    measured_utilisations()              what the kit's runs have used of a card    utilisation.py
    usual_utilisation()                  (lowest measured, Llama 3's best)          utilisation.py
    time_products()                      FLOPs per second of this machine           utilisation.py
    estimate(source, rows, epochs, …)    hours, money, energy of a training         estimates.py
    energy(hours, watts)                 kWh, at a data centre's PUE                estimates.py
    reply_seconds(source, prompt, …)     how long an answer takes at least          estimates.py
    read_prices(path)                    dated prices with their sources, and yours  prices.py
    break_even(prompted, tuned, spent)   calls until a tuning has paid              paying.py
    cost_of_call, tuning_by_api, …       a call, an API, a rented card              paying.py
    compare_storing(source, n, …)        N models, or one base and N adapters       storing.py
    sensitivity(case, ranges)            what each assumption does                  assumptions.py
    figures(), needed(figure, dial)      guides' figures, and what makes them right  assumptions.py
    list_runs(folder, by=…)              run folders side by side, with their cost  run_table.py
    cost_view, explore_cost              hours with sliders, as a tornado           explorer.py
    break_even_view(costs, most)         money over calls                           explorer.py

No price is looked up and nothing is trained: what a step holds is `memory`'s, whether to tune at
all `decide`'s. `python -m ftkit cost` asks the same in a terminal.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
