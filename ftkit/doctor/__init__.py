"""What is wrong with an installation, a machine or a run, and the command that mends it.

`python -m ftkit doctor` and `python -m ftkit doctor RUN` show it; no notebook needs it.

    examine()                   the environment, or with a folder that run    environment.py
    examine_environment()       installation, machine, a second of work       environment.py
    examine_run(folder)         is the run whole, and what do its curves say? run_folder.py
    test_yourself()             the whole road in small                       selftest.py

    Finding, Findings           what a check saw, and what mends it           finding.py

Inside, `gathering.py` asks the machine and `judging.py` says what is wrong. It changes nothing: the
cures are commands to type. Colab is set up by `core.colab`, and what a model has learned or
forgotten is for `evaluate` and `forgetting` to say.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
