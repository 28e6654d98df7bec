"""What a reader works with: exercises that answer back, and the guides held to the libraries.

Every notebook ends in exercises; the guides' scripts are looked at in notebook 07.

    check(answer, right, mistakes)   right, or the likely mistake by name           exercise.py
    check_lora(mine, base)           the same for a LoRA layer of the reader's own   exercise.py
    check_scripts()                  which of the guides' arguments are still taken  guides.py

It teaches nothing by itself, and a wrong answer raises nothing. What one of the guides' scripts
trains beside the kit's own way is measured by `tools.bench`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
