"""Formatters: results to lines of text, in the format asked for.

Decides the lines; where they go is the caller's `say`. Each format imports its own module only when
it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mqctl.failures import Failure, crash
from mqctl.invocation import Invocation
from mqctl.output.results import Done, Lines, Result, Rows, Value
from mqctl.output.terms import Atom, Chars, Row, Term, is_proplist

Say = Callable[[str], None]

FORMATTERS = frozenset(
    (
        "string",
        "string_per_line",
        "table",
        "csv",
        "json",
        "json_stream",
        "erlang",
        "pretty_table",
        "inspect",
        "report",
        "plugins",
        "msacc",
    )
)


def show(result: Result, invocation: Invocation, say: Say) -> None:
    """Print a result."""
    if isinstance(result, (Done, Value)) and invocation.is_json:
        result = _normalised(result, invocation.node)
    if isinstance(result, Value):
        if result.wrapped and isinstance(result.term, list) and not is_proplist(result.term):
            lines = _items(result.term, invocation)
        else:
            lines = value_lines(result.term, invocation)
        for line in lines:
            say(line)
    elif isinstance(result, Rows):
        _show_rows(result, invocation, say)
    elif isinstance(result, Lines):
        for line in _text_lines(result.lines, invocation):
            say(line)


def _normalised(result: Done | Value, node: str) -> Result:
    if isinstance(result, Done):
        return Value({"result": "ok", "node": node})
    if result.wrapped:
        return Value({"result": "ok", "node": node, "value": result.term})
    return result


def _items(items: list[Term], invocation: Invocation) -> Iterable[str]:
    """A plain list: its elements one by one, where the format has no list of its own."""
    if invocation.formatter == "table":
        from mqctl.output.inspect import inspect

        return (str(item) if type(item) is str else inspect(item) for item in items)
    if invocation.formatter == "string":
        return (_text(item, "string") for item in items)
    if invocation.formatter == "inspect" and items:
        return _bracketed(items[0], items[1:], "inspect")
    if invocation.formatter == "csv":
        return (line for item in items for line in _csv_value(item))
    if invocation.formatter == "pretty_table" and items and not _is_row(items[0]):
        raise _no_rows(items[0])
    if invocation.formatter in ("json_stream", "string_per_line") and items:
        if not isinstance(items[0], (list, dict, Chars)):
            raise _no_rows(items[0])
        if invocation.formatter == "json_stream":
            return _json_lines(items[0], items[1:])
    return value_lines(items, invocation)


def value_lines(term: Term, invocation: Invocation) -> Iterable[str]:
    """One value."""
    name = invocation.formatter
    if name == "table":
        return _table_value(term, invocation)
    if name in ("json_stream", "string_per_line") and not isinstance(term, (list, dict, tuple)):
        raise _no_rows(term)
    if name in ("json", "json_stream"):
        from mqctl.output.json import encode

        return [encode({"message": term} if isinstance(term, str) else term)]
    if name == "csv":
        return _csv_value(term)
    if name == "erlang":
        from mqctl.output.erlang import format_term

        return [format_term(term)]
    if name == "pretty_table":
        from mqctl.output.pretty_table import output_box, table_box

        if isinstance(term, list) and term and all(_is_row(item) for item in term):
            return [table_box(term)]
        return [output_box(term)]
    if name == "string_per_line" and isinstance(term, list):
        from mqctl.output.inspect import text

        return [text(item) for item in term]
    return [_text(term, name)]


def _is_row(term: Term) -> bool:
    return isinstance(term, list) and bool(term) and is_proplist(term)


def _text(term: Term, name: str) -> str:
    from mqctl.output.inspect import inspect, text

    if isinstance(term, str) and not (name == "inspect" and isinstance(term, Atom)):
        return str(term)
    return inspect(term) if name == "inspect" else text(term)


def _table_value(term: Term, invocation: Invocation) -> Iterable[str]:
    from mqctl.output.table import header, line

    if isinstance(term, dict):
        term = sorted(term.items())
    if isinstance(term, list) and term and is_proplist(term):
        heading = [header(term)] if invocation.table_headers else []
        return [*heading, line(term)]
    if term == []:
        return [""]
    return [_text(term, "inspect")]


def _csv_value(term: Term) -> Iterable[str]:
    from mqctl.output.csv import plain_record

    if isinstance(term, dict):
        term = list(term.items())
    if is_proplist(term):
        keys, values = [key for key, _ in term], [value for _, value in term]
        return [f"{plain_record(keys)}\r\n{plain_record(values)}\r\n"]
    if isinstance(term, list):
        return [f"{plain_record(term)}\r\n"]
    raise _no_rows(term)


def _no_rows(term: Term) -> Failure:
    """A value that cannot be shown as rows: the mirrored tool crashes (observed: 3.10.8)."""
    from mqctl.output.inspect import inspect

    shown = inspect(term)
    return crash(
        f'%Protocol.UndefinedError{{protocol: Enumerable, value: {shown}, description: ""}}'
    )


def _show_rows(result: Rows, invocation: Invocation, say: Say) -> None:
    rows = iter(result.rows)
    first = next(rows, None)
    if first is None and result.collected:
        for line in value_lines([], invocation):
            say(line)
        return
    for line in row_lines(first, rows, invocation):
        say(line)


def row_lines(first: Row | None, rest: Iterable[Row], invocation: Invocation) -> Iterable[str]:
    """A listing, row by row; first is None when there are none."""
    name = invocation.formatter
    if name in ("erlang", "pretty_table"):
        everything = [] if first is None else [first, *rest]
        return _whole(everything, invocation)
    if name == "json" or name == "inspect":
        return _bracketed(first, rest, name)
    if first is None:
        return []
    if name == "table":
        return _table_rows(first, rest, invocation)
    if name == "csv":
        return _csv_rows(first, rest)
    if name == "json_stream":
        return _json_lines(first, rest)
    return _inspected(first, rest)


def _whole(rows: list[Row], invocation: Invocation) -> Iterable[str]:
    if invocation.formatter == "erlang":
        from mqctl.output.erlang import format_term

        return [format_term(rows)]
    from mqctl.output.pretty_table import table_box

    return [table_box(rows)] if rows else []


def _bracketed(first: Term | None, rest: Iterable[Term], name: str) -> Iterable[str]:
    if name == "json":
        from mqctl.output.json import encode as render
    else:
        from mqctl.output.inspect import inspect as render
    yield "["
    if first is not None:
        yield render(first)
        for row in rest:
            yield "," + render(row)
    yield "]"


def _table_rows(first: Row, rest: Iterable[Row], invocation: Invocation) -> Iterable[str]:
    from mqctl.output.table import header, line

    pad = bool(invocation.options.get("pad_to_header"))
    if invocation.table_headers:
        yield header(first)
    yield line(first, pad)
    for row in rest:
        yield line(row, pad)


def _csv_rows(first: Row, rest: Iterable[Row]) -> Iterable[str]:
    from mqctl.output.csv import record

    yield record(key for key, _ in first)
    yield record(value for _, value in first)
    for row in rest:
        yield record(value for _, value in row)


def _json_lines(first: Term, rest: Iterable[Term]) -> Iterable[str]:
    from mqctl.output.json import encode

    yield encode(first) + "\n"
    for row in rest:
        yield encode(row) + "\n"


def _inspected(first: Row, rest: Iterable[Row]) -> Iterable[str]:
    from mqctl.output.inspect import inspect

    yield inspect(first)
    for row in rest:
        yield inspect(row)


def _text_lines(lines: Iterable[str], invocation: Invocation) -> Iterable[str]:
    """Texts as they come, or all at once where the format is one of whole terms."""
    name = invocation.formatter
    if name == "json":
        return _json_texts(lines)
    if name == "inspect":
        return _bracketed_texts(lines)
    if name == "erlang":
        from mqctl.output.erlang import format_term

        return [format_term(list(lines))]
    if name in _NO_TEXTS:
        for line in lines:
            raise _no_rows(line)
    return lines


# formats of rows: the mirrored tool crashes on the first text (observed: 3.10.8)
_NO_TEXTS = ("json_stream", "csv", "pretty_table", "string_per_line")


def _json_texts(lines: Iterable[str]) -> Iterable[str]:
    from mqctl.output.json import encode

    return _bracketed_texts(encode({"message": line}) for line in lines)


def _bracketed_texts(lines: Iterable[str]) -> Iterable[str]:
    separator = ""
    yield "["
    for line in lines:
        yield separator + line
        separator = ","
    yield "]"
