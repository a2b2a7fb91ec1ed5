"""Answers that are lists: which objects, in which order, how much of each.

Decides that no more rows are made than the answer has, where that can be, and that making them
gives others their turn: rows are made and written down some at a time. What query parameters mean
is in `query`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from mqd.management import query
from mqd.management.calls import Answer, Call, chunks, encoded, reply

Json = Any
T = TypeVar("T")

RowOf = Callable[[T], dict[str, Json]]


async def of(
    call: Call,
    items: Iterable[T],
    row: RowOf[T],
    *,
    name: Callable[[T], str] | None = None,
    key: Callable[[T], Any] | None = None,
    sorting: Callable[[str], RowOf[T]] | None = None,
) -> Answer:
    """The rows. name: what pages may be filtered by; None: there are no pages of this list. key:
    its usual order; None: that of items. sorting: rows that have a column by which to sort, where
    those are cheaper."""
    found = list(items)
    page = query.page_of(call.query) if name is not None else None
    total = len(found)
    if page is not None and name is not None and page.name:
        matches = query.matcher(page)
        found = [one for one in found if matches(name(one))]
    asked, reverse = call.query.get("sort"), call.query.get("sort_reverse") == "true"
    if asked:
        path = asked.split(".")
        found = await _sorted(found, path, sorting(path[0]) if sorting else row, reverse)
    else:
        if key is not None:
            found.sort(key=key)
        if reverse:
            found.reverse()
    if page is None:
        return Answer(200, await _written(call, found, row))
    answer = query.paged(found, page, total)
    items_written = await _written(call, answer["items"], row)
    head = encoded({name: value for name, value in answer.items() if name != "items"})
    return Answer(200, b"".join((head[:-1], b',"items":', items_written, b"}")))


async def _sorted(found: list[T], path: list[str], row: RowOf[T], reverse: bool) -> list[T]:
    values: list[tuple[Any, int]] = []
    for chunk in chunks(found):
        values += [
            (query.rank(query.value_at(row(one), path)), len(values) + place)
            for place, one in enumerate(chunk)
        ]
        await asyncio.sleep(0)
    values.sort(key=lambda pair: pair[0], reverse=reverse)
    return [found[place] for _, place in values]


async def _written(call: Call, found: list[T], row: RowOf[T]) -> bytes:
    columns = query.columns_of(call.query)
    parts = []
    for chunk in chunks(found):
        parts.append(encoded([query.cut(row(one), columns) for one in chunk])[1:-1])
        await asyncio.sleep(0)
    return b"".join((b"[", b",".join(parts), b"]"))


def one(call: Call, row: dict[str, Json]) -> Answer:
    """A single object, with the columns that are wanted."""
    return reply(query.cut(row, query.columns_of(call.query)))
