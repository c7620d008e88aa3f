"""What the sources say of a class's fields: the string that stands below each, for descriptions of the API."""

from __future__ import annotations

import ast
import inspect
import textwrap
from functools import cache
from itertools import pairwise


def told_of(kind: type, field: str) -> str:
    """What is said of a field, by the class or by one that it is made of; empty where nothing is."""
    return next((told for each in kind.__mro__ if (told := _of_each(each).get(field))), "")


def on_lines(text: str | None) -> str:
    """A docstring without the breaks of its lines; paragraphs stay apart."""
    return "\n\n".join(" ".join(each.split()) for each in inspect.cleandoc(text or "").split("\n\n"))


@cache
def _of_each(kind: type) -> dict[str, str]:
    try:
        (said,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    except (OSError, TypeError, SyntaxError, ValueError):  # it was made by no source of ours
        return {}
    told, body = dict[str, str](), said.body if isinstance(said, ast.ClassDef) else []
    for field, below in pairwise(body):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                told[name] = on_lines(text)
    return told
