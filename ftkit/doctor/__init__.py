"""What is wrong with an installation, a machine, a run or an adapter, and what mends it.

`python -m ftkit doctor` and `python -m ftkit doctor FOLDER` show it; notebook 11 leads to it.

    examine()                   the environment; or a run, an adapter, a trainer environment.py
    examine_environment()       installation, machine, a second of work          environment.py
    examine_run(folder)         is the run whole, and what do its curves say?    run_folder.py
    examine_adapter(folder)     an adapter from anywhere: does it hold anything? adapters.py
    examine_trainer(trainer)    a trainer in memory: what does it teach, and how? trainers.py
    test_yourself()             the whole road in small                          selftest.py

    Finding, Findings           what a check saw, and what mends it           finding.py

Inside, `gathering.py` asks the machine and `judging.py` says what is wrong with it; `taught.py`
looks at a run's rows as the model saw them, and `asking.py` asks the model. It changes nothing: the
cures are commands to type. Colab is set up by `core.colab`, and what a model has learned or
forgotten is for `evaluate` and `forgetting` to say.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
