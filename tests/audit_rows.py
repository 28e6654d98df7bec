"""One chat row by hand, for the tests of the audit and its verb."""


def row(question, answer="Yes.", **more):
    """A question and its answer as a row; more: further columns."""
    chat = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": chat, **more}
