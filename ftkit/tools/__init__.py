"""What keeps the repository right: notebooks run, compared and stamped, and timings.

    run_notebooks(names)     run from fresh kernels and write back, or compare   notebooks.py
    budgets.over(name, …)    whether one takes more than it did                  budgets.py
    outputs.tidy(nb)         what a notebook shows, made the same every time     outputs.py
    write_editions(names, …) for students: no outputs, solutions or guesses      edition.py
    save_explorers(folder)   the kit's explorers as pages without a kernel       explorers.py
    build_site(out, …)       all of it as a site that needs no network           site.py
    site_pages.linked(…)     what its pages say, from README, notebooks, faces   site_pages.py
    stamp_notebooks(names)   Colab badge and setup lines from one address        stamp.py
    run_bench()              what the kit's shortcuts save                       bench.py
    run_fresh(code)          what a piece of Python costs by itself              processes.py

`python -m ftkit notebooks`, `explorers`, `site` and `bench` are the verbs. No notebook teaches it,
and no other wing but `cli` needs it; whether an installation is right is asked by `doctor`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
