"""The few expressions of Elixir that `exec` answers: literals and sums.

Decides which those are. Never calls anything: the tool has no Elixir, and says so.
"""

from __future__ import annotations

import ast
import re
from typing import Any, Final

from mqctl.output.terms import Atom

_ATOM: Final = re.compile(r':(?:"([^"]*)"|([A-Za-z_]\w*[?!]?))')
_TUPLE: Final = str.maketrans("{}", "()")
_OPERATORS: Final[dict[type[ast.operator], Any]] = {
    ast.Add: lambda left, right: left + right,
    ast.Sub: lambda left, right: left - right,
    ast.Mult: lambda left, right: left * right,
    ast.Div: lambda left, right: left / right,
}


class NotKnown(Exception):
    """An expression that needs Elixir."""


def evaluate(text: str) -> Any:
    """The value of a literal or a sum of numbers. Raises NotKnown."""
    atoms: list[str] = []

    def replace(found: re.Match[str]) -> str:
        atoms.append(found[1] or found[2])
        return f"_atom[{len(atoms) - 1}]"

    source = _outside_strings(text.strip(), replace)
    try:
        return _value(ast.parse(source, mode="eval").body, atoms)
    except (SyntaxError, ValueError, ArithmeticError, RecursionError, MemoryError):
        raise NotKnown(
            f"{text}: exec evaluates Elixir, which mqctl does not have; it answers literals and "
            "sums alone. 'mqctl eval' evaluates Erlang expressions on the node"
        ) from None


def _outside_strings(text: str, replace: Any) -> str:
    """Atoms and tuples in Python's spelling; what stands in double quotes is left alone."""
    parts = re.split(r'(:?"(?:[^"\\]|\\.)*")', text)
    for index, part in enumerate(parts):
        if part.startswith('"'):
            continue
        parts[index] = _ATOM.sub(replace, part).translate(_TUPLE)
    return "".join(parts)


def _value(node: ast.expr, atoms: list[str]) -> Any:
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float, str)):
        return node.value
    if isinstance(node, ast.Name) and node.id in ("true", "false"):
        return node.id == "true"
    if isinstance(node, ast.Name) and node.id == "nil":
        return Atom("nil")
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        return Atom(atoms[int(str(node.slice.value))])
    if isinstance(node, ast.List):
        return [_value(item, atoms) for item in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(_value(item, atoms) for item in node.elts)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_number(node.operand, atoms)
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_number(node.left, atoms), _number(node.right, atoms))
    raise ValueError(node)


def _number(node: ast.expr, atoms: list[str]) -> Any:
    value = _value(node, atoms)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(value)
    return value
