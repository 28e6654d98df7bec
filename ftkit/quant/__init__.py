"""Four bits from first principles, bit for bit as bitsandbytes; taught in notebook 03.

    quantize(W, format, block)         codes and scales: a QuantizedWeight       blocks.py
    rounding_error(W, format, block)   ‖W − Ŵ‖ / ‖W‖ and the largest gap         blocks.py
    bits_per_weight(format, block)     what a weight takes, scales with it       blocks.py
    in_format(model, format)           a model in a format, inside a with block  blocks.py
    levels(format), BITS               the values a weight may take, and bits    formats.py
    stored_bytes(model)                what bitsandbytes holds for a model       storage.py
    import_bitsandbytes()              its functions, or what to install         storage.py
    inspect_weight(W, format, block)   a weight in a format, counted             inspection.py
    quant_view(seen, name)             that, drawn                               explorer.py
    FourBitLinear(layer, format)       packed codes that train what is around them  layer.py
    loftq(W, r, format)                codes, with A and B for what they lost       layer.py
    start_rounded(model, format)       a LoRA's start on a rounded base             layer.py
    explore_formats(weights)           the same with sliders                     explorer.py

It loads no model (`models.load(quant="nf4")` does), and what four bits cost in answers is measured
by `evaluate`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
