"""Waiting for what has to come true, and saying what was waited for when it did not.

Decides how long at most, and what is told of a condition that never held: its own words as the
test has them, and what each of its parts came to in the end. PATIENCE_S bounds no behaviour of a
broker: it is for machines that do much else, and costs nothing where the condition comes true.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import linecache
import time
from collections.abc import Awaitable, Callable, Iterator
from types import FunctionType
from typing import Any

PATIENCE_S = 90.0
_PART_CHARACTERS = 700


def eventually(
    holds: Callable[[], object], within_s: float = PATIENCE_S, every_s: float = 0.05
) -> None:
    """Returns once it holds. Raises AssertionError, see `why_not`."""
    end = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > end:
            raise AssertionError(f"not so within {within_s:g} s: {why_not(holds)}")
        time.sleep(every_s)


async def until(
    holds: Callable[[], object | Awaitable[object]],
    within_s: float = PATIENCE_S,
    every_s: float = 0.002,
    between: Callable[[], object] = lambda: None,
) -> None:
    """The same on a loop, where the condition may be a coroutine function.

    between: what has to be done before each further look. every_s of 0 gives others one turn.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + within_s
    while True:
        between()
        held = holds()
        if isinstance(held, Awaitable):
            held = await held
        if held:
            return
        if loop.time() > end:
            raise AssertionError(f"not so within {within_s:g} s: {why_not(holds)}")
        await asyncio.sleep(every_s)


def why_not(holds: Callable[[], object]) -> str:
    """The condition in its own words, then its parts and what they are now."""
    function = getattr(holds, "__func__", holds)
    if not isinstance(function, FunctionType):
        return repr(holds)
    if function.__name__ != "<lambda>":
        owner = getattr(holds, "__self__", None)
        of = "" if owner is None else f" of {_shown(lambda: getattr(owner, 'name', owner))}"
        return f"{function.__qualname__}{of}{_surroundings(function)}"
    found = _lambda(function)
    if found is None:
        return f"{function.__qualname__}{_surroundings(function)}"
    scope = {**function.__globals__, **_surrounding(function)}
    told = [
        f"{ast.unparse(part)} is {_shown(lambda part=part: _value(part, scope))}"  # type: ignore[misc]
        for part in _parts(found.body)
    ]
    return "; ".join([ast.unparse(found.body), *told])


def _lambda(function: FunctionType) -> ast.Lambda | None:
    code = function.__code__
    lines = linecache.getlines(code.co_filename)
    at = {(line, column) for line, _, column, _ in code.co_positions() if line and column}
    for node in ast.walk(ast.parse("".join(lines))):
        if isinstance(node, ast.Lambda) and (node.body.lineno, node.body.col_offset) in at:
            return node
    return None


def _parts(body: ast.expr) -> Iterator[ast.expr]:
    """What is worth knowing the value of: the sides of comparisons, but no constants."""
    match body:
        case ast.BoolOp(values=each):
            for one in each:
                yield from _parts(one)
        case ast.UnaryOp(operand=one):
            yield from _parts(one)
        case ast.Compare(left=left, comparators=others):
            yield from (one for one in (left, *others) if not isinstance(one, ast.Constant))
        case ast.Call(args=[ast.GeneratorExp() as each]):
            yield ast.ListComp(each.elt, each.generators)
            inner = each.elt
            if isinstance(inner, ast.Compare):
                yield ast.ListComp(inner.left, each.generators)
        case _:
            yield body


def _value(part: ast.expr, scope: dict[str, Any]) -> object:
    expression = ast.fix_missing_locations(ast.Expression(part))
    return eval(compile(expression, "<part>", "eval"), scope)


def _surrounding(function: FunctionType) -> dict[str, Any]:
    """Names that a function has from where it was made: closure and defaults."""
    names = function.__code__.co_varnames
    defaults = function.__defaults__ or ()
    count = function.__code__.co_argcount
    found = dict(zip(names[count - len(defaults) : count], defaults, strict=True))
    return found | dict(inspect.getclosurevars(function).nonlocals)


def _surroundings(function: FunctionType) -> str:
    said = [
        f"{name} is {_shown(lambda value=value: value)}"  # type: ignore[misc]
        for name, value in _surrounding(function).items()
        if not callable(value)
    ]
    return f" ({'; '.join(said)})" if said else ""


def _shown(value: Callable[[], object]) -> str:
    """repr, cut in its middle; or the exception."""
    try:
        found = value()
        if inspect.iscoroutine(found):
            found.close()
            return "awaited"
        text = repr(found)
    except Exception as error:  # noqa: BLE001 - the failure that is told of is another one
        text = f"not to be had: {error!r}"
    half = _PART_CHARACTERS // 2
    return text if len(text) <= 2 * half else f"{text[:half]} … {text[-half:]}"
