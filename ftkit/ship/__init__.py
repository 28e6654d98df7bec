"""Out of the notebook: a run as other programs take it, with the proof that it is the same model.

Notebook 13, at its end; the verbs `export` and `serve`.

    export(run, to, out)            written whole, proven, recorded: an Export       exporting.py
    read_record(folder)             the export.json of an earlier one                exporting.py
    targets()                       every target, and how it was checked             catalogue.py
    find_target(name)               one of them, or the nearest                      catalogue.py
    Opened(folder)                  a run, its parts loaded when they are needed     opened.py
    Proof(what, equal, of, by)      so many of so many are equal                     opened.py

    write_model(model, tok, file)   a GGUF: weights, tokenizer, template, ends       gguf_files.py
    write_adapter(tuned, file)      the LoRA alone as a GGUF                         gguf_files.py
    prove_model, prove_adapter      read back, compared, asked                       proof.py
    compare_kinds(model, tok, …)    a GGUF of each kind, as a table                  proof.py
    greedy_tokens(model, tok, …)    what a model writes to each prompt               proof.py
    quantize(file, out, kind)       a K-kind, by llama.cpp                           packing.py
    ask_llama(file, tok, …)         llama.cpp's own greedy tokens                    packing.py
    go_template(tokenizer)          a chat template in Ollama's language             serving.py

    read_fleet(runs)                one base with several adapters                   server.py
    make_app(fleet), serve(runs)    OpenAI's words over HTTP                         server.py

`recipes.py` writes a run's recipe in the words of other trainers, `rows.py` its rows for managed
APIs. Nothing is trained here (`train`), and merging itself is `merge`'s.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
