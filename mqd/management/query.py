"""What query parameters do to a list: pages, names, order, columns.

Decides all four, in RabbitMQ's order and words (rabbit_mgmt_util; observed: 3.10.8). Pure: rows
in, rows out. Where 3.10.8 answers 500 to a column that nobody has, such rows stand last here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from mqd.auth.patterns import InvalidPattern, compile_pattern
from mqd.management.calls import Refused, bad_request

Json = Any
Row = dict[str, Json]

PAGE_SIZE_DEFAULT: Final = 100
PAGE_SIZE_MAX: Final = 500
_INVALID: Final = "Pagination parameters are invalid"


class Page:
    """Which part of a list is wanted."""

    def __init__(self, number: int, size: int, name: str, use_regex: bool) -> None:
        self.number = number
        self.size = size
        self.name = name
        self.use_regex = use_regex


def page_of(query: Mapping[str, str]) -> Page | None:
    """None: all of it. Raises Refused."""
    if "page" not in query:
        return None
    number, size = query["page"], query.get("page_size")
    page = Page(
        _number(number),
        _number(size) if size is not None else PAGE_SIZE_DEFAULT,
        query.get("name", ""),
        query.get("use_regex") == "true",
    )
    if page.number < 1 or not 1 <= page.size <= PAGE_SIZE_MAX:
        shown = "undefined" if size is None else str(page.size)
        text = f"Invalid pagination parameters: page number {page.number}, page size {shown}"
        raise Refused(400, "invalid_pagination_parameters", text)
    return page


def _number(text: str) -> int:
    if not re.fullmatch(r"-?\d{1,12}", text, re.ASCII):
        raise bad_request(_INVALID)
    return int(text)


def paged(rows: list[Any], page: Page, total: int) -> Row:
    """The page with its numbers. rows: in order, those of the name alone. Raises Refused."""
    count = len(rows)
    first = (page.number - 1) * page.size
    if page.number > 1 and first >= count:
        text = f"Page out of range, page: {page.number} page size: {page.size}, len: {count}"
        raise Refused(400, "page_out_of_range", text)
    items = rows[first : first + page.size]
    return {
        "filtered_count": count,
        "item_count": len(items),
        "items": items,
        "page": page.number,
        "page_count": -(-count // page.size),
        "page_size": page.size,
        "total_count": total,
    }


def matcher(page: Page | None) -> Callable[[str], bool]:
    """Whether a name is wanted; letters count alike, small or not. Raises Refused."""
    if page is None or not page.name:
        return lambda name: True
    wanted = page.name.lower()
    if not page.use_regex:
        return lambda name: wanted in name.lower()
    try:
        pattern = compile_pattern(f"(?i){page.name}")
    except InvalidPattern:
        raise bad_request(_INVALID) from None
    return lambda name: pattern.search(name.encode("utf-8", "surrogateescape")) is not None


def value_at(row: Json, path: list[str]) -> Json:
    """message_stats.publish_details.rate; None when there is none."""
    for part in path:
        if not isinstance(row, dict):
            return None
        row = row.get(part)
    return row


def rank(value: Json) -> tuple[int, Json]:
    """To sort by: numbers, then words, then the rest."""
    if isinstance(value, bool):
        return 1, str(value).lower()
    if isinstance(value, int | float):
        return 0, value
    if isinstance(value, str):
        return 1, value
    return (3, "") if value is None else (2, str(value))


Columns = list[list[str]]


def columns_of(query: Mapping[str, str]) -> Columns | None:
    """None: all of them."""
    asked = query.get("columns")
    return [name.split(".") for name in asked.split(",") if name] if asked else None


def cut(value: Json, columns: Columns | None) -> Json:
    """A row, or each row of a list, with those columns alone."""
    if columns is None:
        return value
    if isinstance(value, list):
        return [cut(one, columns) for one in value]
    return _cut(value, columns) if isinstance(value, dict) else value


def _cut(row: Row, columns: Columns) -> Row:
    found: Row = {}
    for name, value in row.items():
        inner = [path[1:] for path in columns if path and path[0] == name]
        if not inner:
            continue
        if [] in inner:
            found[name] = value
        else:
            found[name] = cut(value, inner)
    return found


def wanted_by(query: Mapping[str, str]) -> set[str] | None:
    """Top-level names that an answer needs: columns and what it is sorted by; None: all."""
    columns = columns_of(query)
    if columns is None:
        return None
    names = {path[0] for path in columns}
    if asked := query.get("sort"):
        names.add(asked.split(".")[0])
    return names | {"name", "vhost"}
