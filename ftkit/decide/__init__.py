"""Should one tune at all? Prompted, retrieved and tuned on one test set (notebook 06).

    Index(passages).search(query, k)     the k passages that fit a question    retrieval.py
    recall_at(index, queries, wanted, k) how often the right one is there      retrieval.py
    with_passages(chats, passages)       passages put into prompts             retrieval.py
    few_shot(model, tok, chats, shots)   solved examples as turns before       prompting.py
    nearest_shots(chats, rows, k)        the k rows that are most like each    prompting.py
    ask_for(chats, instruction)          another last line: a schema, a list   prompting.py
    read_list(reply)                     "name: …" lines as a JSON object      prompting.py
    Arm(name, model, prompt, read)       one way to get an answer              arms.py
    compare_arms(arms, tok, test)        score, tokens, ms, money, staleness   arms.py
    as_asked(rows, prompt)               rows to tune on, asked as an arm asks arms.py
    update_facts(facts, n)               facts that change                     updating.py
    staleness(replies, before, after)    right, stale or other after that      updating.py
    context_recall, faithfulness, …      the measures that RAGAS names         measures.py
    write_ragas(path, samples)           rows for RAGAS itself                 measures.py
    choose(Situation(…))                 what to do, and who says otherwise    choosing.py
    cards()                              the guides' own examples              choosing.py
    arms_view, explore_arms              arms on two tasks, back to back       arms_explorer.py
    decision_view, explore_decision      the decision as a widget              decision_explorer.py

It trains nothing (`train` does): a tuned model is one that is given. When a tuning has paid is
`cost`'s arithmetic.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
