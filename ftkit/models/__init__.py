"""A base model and its parts: loaded whole, answering, counted by arithmetic (notebook 00 and on).

    load(name, quant)             (model, tokenizer) of transformers      loading.py
    resolve(name)                 the folder or hub id that a name means  loading.py
    QUANTIZATIONS                 of load's quant, by bitsandbytes        loading.py
    answer(model, tok, chats)     the greedy reply to each chat           answering.py
    verify_answers(…, golds)      is the greedy reply that answer?           answering.py
    chat_batches(tok, chats)      chats as batches of token ids           batching.py
    linears(model)                {name: linear layer} of the blocks      layers.py
    trained_parameters(model)     the parameters that are trained         layers.py
    replace_weights(weights)      other numbers inside a with block       layers.py
    is_packed(model)              four or eight bits, by bitsandbytes?    layers.py
    plain_name(name)              without what peft puts around it        layers.py
    fingerprint(model)            which base this is                      files.py
    hash_weights(folder)          SHA-256 of a folder's safetensors       files.py
    hub_commit(hub_id)            the commit in this machine's cache      files.py
    check_safetensors(file)       refuses a truncated or corrupt one      files.py
    tensor_files(where)           {name of a tensor: its file}            files.py
    read_tensor(where, name, …)   one tensor of a model                   files.py
    read_tensors(file)            every tensor of a file, one by one      files.py
    architecture.read(source)     a config by name, file, id or model     architecture.py
    architecture.shapes(config)   every weight of it, by arithmetic       architecture.py
    skeleton(source)              the model with shapes and no memory     architecture.py

It adds no adapter (`lora` does), trains nothing (`train`) and judges no answer (`evaluate`).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
