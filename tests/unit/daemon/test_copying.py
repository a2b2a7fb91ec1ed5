"""mqd.daemon.copying: a start waits for members that are late, not long for those that are down."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest

from mqd.cluster.ports import Mesh
from mqd.daemon import copying
from mqd.daemon.copying import met
from tests.waiting import PATIENCE_S


@pytest.mark.asyncio
async def test_a_member_that_is_told_of_a_moment_later_is_waited_for() -> None:
    gate = SimpleNamespace(up=["b@h"])
    asyncio.get_running_loop().call_later(0.05, gate.up.append, "c@h")
    await met(cast("Mesh", gate), {"b@h", "c@h"})
    assert gate.up == ["b@h", "c@h"]


@pytest.mark.asyncio
async def test_one_that_is_down_is_not_waited_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "MET_S", 0.05)
    await asyncio.wait_for(met(cast("Mesh", SimpleNamespace(up=[])), {"b@h"}), PATIENCE_S)
