"""Answers that are lists: which objects, in which order, how much of each.

Decides that no more rows are made than the answer has, where that can be, and that making them
gives others their turn. What query parameters mean is in `query`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from mqd.management import query
from mqd.management.calls import Answer, Call, encoded_list, gathered, reply

Json = Any
T = TypeVar("T")

# an object, and which top-level names of it are wanted (None: all) -> its row
RowOf = Callable[[T], dict[str, Json]]


async def of(
    call: Call,
    items: Iterable[T],
    row: RowOf[T],
    *,
    name: Callable[[T], str] | None = None,
    key: Callable[[T], Any] | None = None,
) -> Answer:
    """The rows. name: what pages may be filtered by; None: there are no pages of this list. key:
    its usual order; None: that of items."""
    found = list(items)
    if key is not None:
        found.sort(key=key)
    page = query.page_of(call.query) if name is not None else None
    columns = query.columns_of(call.query)
    if page is None or name is None:
        rows = await gathered(map(row, found))
        rows = query.ordered(rows, call.query)
        return Answer(200, await encoded_list(query.cut(rows, columns)))
    matches = query.matcher(page)
    total = len(found)
    if page.name:
        found = [one for one in found if matches(name(one))]
    if "sort" in call.query:
        rows = query.ordered(await gathered(map(row, found)), call.query)
        answer = query.paged(rows, page, total)
    else:
        if call.query.get("sort_reverse") == "true":
            found.reverse()
        answer = query.paged(found, page, total)
        answer["items"] = await gathered(map(row, answer["items"]))
    answer["items"] = query.cut(answer["items"], columns)
    return reply(answer)


def one(call: Call, row: dict[str, Json]) -> Answer:
    """A single object, with the columns that are wanted."""
    return reply(query.cut(row, query.columns_of(call.query)))
