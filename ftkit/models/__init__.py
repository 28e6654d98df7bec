"""A base model and its parts: loaded whole, answering, counted by arithmetic (notebook 00 and on).

    load(name, quant)             (model, tokenizer) of transformers      loading.py
    resolve(name)                 the folder or hub id that a name means  loading.py
    QUANTIZATIONS                 of load's quant, by bitsandbytes        loading.py
    answer(model, tok, chats)     the greedy reply to each chat           answering.py
    write_replies(model, …)       with thoughts, and is it whole?         answering.py
    verify_answers(…, golds)      is the greedy reply that answer?        answering.py
    ReplyReader(…).read(ids)      what a model wrote, read as a gold is   replies.py
    greedy(model, reader)         generate takes the likeliest token      replies.py
    prompt_batches, chat_batches  chats as batches of token ids           batching.py
    read, write, virtual_tokens   forward, generate: right of learned prompts too  virtual.py
    linears(model)                {name: linear layer} of the blocks      layers.py
    trained_parameters(model)     the parameters that are trained         layers.py
    sums(model)                   tell whether those have changed         layers.py
    count_numbers(model)          its numbers, packed ones unpacked       layers.py
    replace_weights(weights)      other numbers inside a with block       layers.py
    is_packed(model)              four or eight bits, by bitsandbytes?    layers.py
    is_slow_here(model)           many parameters, and no GPU?            layers.py
    affordable(model, 200, 12)    the second of a model that is slow here layers.py
    plain_name(name)              without what peft puts around it        layers.py
    fingerprint, fingerprint_of   which base this is, loaded or not       files.py
    hash_weights(folder)          SHA-256 of a folder's safetensors       files.py
    hub_commit, cached_config     what this machine's cache holds of it   files.py
    stored_dtype(folder)          the dtype that it has on disk           files.py
    check_safetensors(file)       refuses a truncated or corrupt one      files.py
    tensor_files(where)           {name of a tensor: its file}            files.py
    read_tensor(where, name, …)   one tensor of a model                   files.py
    read_tensors(file)            every tensor of a file, one by one      files.py
    architecture.read(source)     a config by name, file, id or model     architecture.py
    architecture.shapes(config)   every weight of it, by arithmetic       architecture.py
    skeleton(source)              the model with shapes and no memory     meta_device.py
    list_weights(model)           every weight of it, as it is built      meta_device.py

It adds no adapter (`lora` does), trains nothing (`train`) and judges no answer (`evaluate`).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
