"""Preferences and rewards: what they really raise, what they teach, and how they are hacked.

Notebooks 12, 12b; the measurements are the grid "preferences" (`lab`). Pairs come from files by
`data.read_pairs`; a recipe's `objective:` names what is trained for.

    tune(model, tokenizer, rows, "dpo")   DPO, KTO, a reward model, RLOO, GRPO by TRL    tuning.py
    train_into(experiment, out)           a recipe of any objective into a run folder    tuning.py
    open_reward(folder)                   a reward out of a run on `reward`              tuning.py
    losses.dpo(logs, beta), …             each loss in some ten lines                    losses.py
    losses.rloo_advantages(rewards)       and what rewards become                        losses.py
    tune_on_pairs, reinforce, sample      the loops by hand, a step at a time            by_hand.py
    tune_reward_model(model, …)           a reward model by hand                         by_hand.py
    honesty(n), honesty_pairs(rows)       questions of strangers, and pairs of answers   pairs.py
    pairs_by(rows, replies, worth)        pairs of a model's own replies                 pairs.py
    check_pairs, tokenize_pairs           what makes pairs of no use                     pairs.py
    exact, words, gold, ModelReward       rewards, asked by `ask_reward`                 rewards.py
    sorting(n), describing(n)             tasks that rewards judge                       rewards.py
    pair_measures, distance, win_rate     what the loss hides                            measures.py
    preferred(tuned, tokenizer, rows)     tuned beside its base, for red flags           measures.py
    explore_pairs, explore_rewards        rate and β; group size and KL; token by token  explorer.py
    preference_points, PreferenceRow      the runs of the grid                           runs.py
    over_seeds, apart                     settings beside each other, over seeds         runs.py
    measure_preference(run)               one of them                             grid_measuring.py

TRL's trainers are behind `by_trl.py`. Skills that are lost count in `forgetting`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
