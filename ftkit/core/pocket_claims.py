"""Which claims carry over to another model: asserts marked `# pocket` are of the pocket model.

    assert low > 0  # pocket

On the pocket model such a line stops the run when it fails: a sentence below it rests on it. On
another model, which `setup` has learned from FTKIT_MODEL, the same line says in one line of output
how it came out there, and the cell goes on. Asserts without the mark hold for every model. The mark
is a comment and no cell metadata, because a kernel never sees those. `tools` runs the notebooks,
which carry the marks from 00 on.
"""

import ast
import sys
from collections.abc import Callable, Sequence

MARK = "# pocket"
SAME = "✓ as with the pocket model"
OTHER = "✗ unlike the pocket model"
UNASKED = "– cannot be asked of this model"


def watch_cells(model: str) -> None:
    """Have IPython rewrite the cells from here on, or with "pocket" no longer.

    Outside IPython it does nothing.
    """
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is None:
        return
    hooks = shell.input_transformers_post
    others = [hook for hook in hooks if hook is not rewrite_cell]
    shell.input_transformers_post = others if model == "pocket" else [*others, rewrite_cell]


def marked_claims(source: str) -> list[ast.Assert]:
    """The marked asserts of a cell, from top to bottom; none where it is not Python yet."""
    try:
        nodes = ast.walk(ast.parse(source))
    except (SyntaxError, ValueError):
        return []
    lines, marked = source.splitlines(), []
    for node in nodes:
        if isinstance(node, ast.Assert):
            end = lines[last_line(node) - 1].rstrip()
            if end.endswith(MARK):
                marked.append(node)
    return sorted(marked, key=lambda node: node.lineno)


def last_line(node: ast.Assert) -> int:
    """The number of the line that an assert ends in, counted from 1."""
    return node.end_lineno or node.lineno


def rewrite_cell(lines: Sequence[str]) -> list[str]:
    """A cell whose marked asserts are tried by `try_claim`; every other line stays where it is.

    So a traceback still points to the line that the reader sees.
    """
    source, changed = "".join(lines), list(lines)
    for node in marked_claims(source):
        first, last = node.lineno, last_line(node)
        call = f"try_claim({words_of(node, source)!r}, lambda: ({ast.unparse(node.test)}))"
        indent = lines[first - 1][: node.col_offset]
        # In one line, and blank ones in place of the assert's others.
        new = f"{indent}__import__('ftkit').core.pocket_claims.{call}\n"
        changed[first - 1 : last] = [new, *["\n"] * (last - first)]
    return changed


def words_of(node: ast.Assert, source: str) -> str:
    """What an assert claims: its message where that is a plain text, else its condition."""
    if isinstance(node.msg, ast.Constant):
        return str(node.msg.value)
    return " ".join((ast.get_source_segment(source, node.test) or "").split())


def try_claim(claim: str, holds: Callable[[], object]) -> None:
    """Print how a claim about the pocket model comes out here.

    It prints, because its cell has a value of its own to show.
    """
    try:
        outcome = SAME if holds() else OTHER
    except Exception as error:
        # Whatever a cell can raise: a skill that another model is not asked for, say.
        outcome = f"{UNASKED}, {type(error).__name__}"
    print(f"{outcome}: {claim}")
