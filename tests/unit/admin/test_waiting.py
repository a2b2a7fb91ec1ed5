"""mqd.admin.waiting: a queue that cannot prove itself keeps no tool waiting for ever."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mqd import limits
from mqd.admin.waiting import holds
from mqd.broker.queues.base import Queue
from mqd.errors import ErrorCode, MqdError


def _queue(prove: Callable[[Callable[[bool], None]], None]) -> Queue:
    definition = SimpleNamespace(resource="queue 'q' in vhost '/'")
    return cast("Queue", SimpleNamespace(definition=definition, prove=prove))


@pytest.mark.asyncio
async def test_what_is_proved_at_once() -> None:
    assert await holds(_queue(lambda proved: proved(True)))
    assert not await holds(_queue(lambda proved: proved(False)))


@pytest.mark.asyncio
async def test_nobody_proves_it(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(limits, "PROVED_S", 0.01)
    with pytest.raises(MqdError, match="queue 'q' in vhost '/' has no majority") as caught:
        await holds(_queue(told.append))
    assert caught.value.code is ErrorCode.UNAVAILABLE
    told[0](True)  # later: nobody hears it
