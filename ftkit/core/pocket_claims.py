"""Which claims carry over to another model: asserts marked `# pocket` are of the pocket model, and
on others they are tried and told.

In a notebook, `assert low > 0  # pocket` stops the run on the pocket model when it fails: a
sentence below it rests on it. On another model, which `setup` has learned from FTKIT_MODEL, the
same line says in one line of output how it came out there, and the cell goes on. Asserts without
the mark hold for every model. The mark is a comment and no cell metadata: a kernel never sees
those.
"""

import ast
import sys
from collections.abc import Callable, Sequence

MARK = "# pocket"
SAME, OTHER, UNASKED = (
    "✓ as with the pocket model",
    "✗ unlike the pocket model",
    "– cannot be asked of this model",
)


def watch_cells(model: str) -> None:
    """Have IPython rewrite the cells from here on, or with "pocket" no longer; nothing outside
    IPython.
    """
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is None:
        return
    kept = [t for t in shell.input_transformers_post if t is not rewrite_cell]
    shell.input_transformers_post = kept if model == "pocket" else [*kept, rewrite_cell]


def marked_claims(source: str) -> list[ast.Assert]:
    """The marked asserts of a cell, from top to bottom; none where it is not Python yet."""
    try:
        nodes = ast.walk(ast.parse(source))
    except (SyntaxError, ValueError):
        return []
    lines = source.splitlines()
    marked = [
        n
        for n in nodes
        if isinstance(n, ast.Assert) and lines[n.end_lineno - 1].rstrip().endswith(MARK)
    ]
    return sorted(marked, key=lambda n: n.lineno)


def rewrite_cell(lines: Sequence[str]) -> list[str]:
    """A cell whose marked asserts are `tried`; every other line stays where it is."""
    source, changed = "".join(lines), list(lines)
    for node in marked_claims(source):
        words = node.msg if isinstance(node.msg, ast.Constant) else None
        claim = (
            words.value if words else " ".join(ast.get_source_segment(source, node.test).split())
        )
        indent = lines[node.lineno - 1][: node.col_offset]
        # in one line, with blanks after it, so that a traceback points to where the reader looks
        call = f"__import__('ftkit').core.pocket_claims.try_claim({claim!r}, lambda: ({ast.unparse(node.test)}))"
        changed[node.lineno - 1 : node.end_lineno] = [
            f"{indent}{call}\n",
            *["\n"] * (node.end_lineno - node.lineno),
        ]
    return changed


def try_claim(claim: str, holds: Callable[[], object]) -> None:
    """Print how a claim about the pocket model comes out here."""
    try:
        said = SAME if holds() else OTHER
    except (
        Exception
    ) as error:  # whatever a cell can raise: a skill that another model is not asked for, say
        said = f"{UNASKED}, {type(error).__name__}"
    print(f"{said}: {claim}")
