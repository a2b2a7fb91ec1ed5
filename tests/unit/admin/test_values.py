"""mqd.admin.values, elixir, listing and waiting."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mqd.admin import elixir, values
from mqd.admin.context import AdminContext
from mqd.admin.listing import batches
from mqd.admin.waiting import answer
from mqd.broker.ports import Done
from mqd.errors import ErrorCode, MqdError
from tests.unit.admin.stand import StandNode


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        ("longstr", b"text", "text"),
        ("signedint", -5, -5),
        ("long", -(2**40), -(2**40)),
        ("byte", -1, -1),
        ("short", -300, -300),
        ("unsignedbyte", 255, 255),
        ("unsignedshort", 65_535, 65_535),
        ("unsignedint", 2**32 - 1, 2**32 - 1),
        ("bool", True, True),
        ("double", 1.5, 1.5),
        ("float", 0.5, 0.5),
        ("timestamp", 2**33, 2**33),
        ("binary", b"\x00\xff", b"\x00\xff"),
        ("void", None, True),
    ],
)
def test_every_field_kind_keeps_its_wire_type(kind: str, value: Any, shown: Any) -> None:
    message = values.field((kind, value))
    assert message.WhichOneof("kind") == kind
    assert getattr(message, kind) == shown


def test_nested_fields() -> None:
    message = values.field(("array", [("table", {"b": ("void", None), "a": ("decimal", (2, 5))})]))
    entries = message.array.items[0].table.entries
    assert [entry.name for entry in entries] == ["b", "a"]
    assert (entries[1].value.decimal.scale, entries[1].value.decimal.value) == (2, 5)


@pytest.mark.parametrize(
    ("text", "inspected"),
    [
        ("bob", '"bob"'),
        ('a"b\\', '"a\\"b\\\\"'),
        ("jörg\n", '"jörg\\n"'),
        ("#{x}", '"\\#{x}"'),
    ],
)
def test_text_in_errors_is_quoted_as_elixir_quotes(text: str, inspected: str) -> None:
    assert elixir.inspect(text) == inspected


def test_charlists_have_single_quotes() -> None:
    assert elixir.charlist("a'b") == "'a\\'b'"


def test_no_batch_for_no_rows() -> None:
    assert list(batches([], list)) == []


def test_nothing_can_be_administered_while_the_app_is_stopped() -> None:
    ctx = AdminContext(StandNode())
    for what in ("broker", "metadata"):
        with pytest.raises(MqdError, match="rabbitmqctl start_app") as caught:
            getattr(ctx, what)
        assert caught.value.code is ErrorCode.APP_STOPPED


@pytest.mark.asyncio
async def test_an_answer_may_come_at_once_later_or_as_an_error() -> None:
    await answer(lambda done: done(None))
    waiting: list[Done] = []
    task = asyncio.ensure_future(answer(waiting.append))
    await asyncio.sleep(0)
    assert not task.done()
    waiting[0](None)
    await task
    with pytest.raises(MqdError, match="no"):
        await answer(lambda done: done(MqdError(ErrorCode.UNAVAILABLE, "no")))


@pytest.mark.asyncio
async def test_an_answer_nobody_waits_for_any_more() -> None:
    waiting: list[Done] = []
    task = asyncio.ensure_future(answer(waiting.append))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    waiting[0](None)
