"""What the running node adds to the facts."""

from __future__ import annotations

from hashlib import sha256

import pytest

from mqd.admin import doctor
from mqd.admin.context import AppState
from mqd.rpc.v1 import doctor_pb2 as pb
from tests.unit.admin.stand import NODE, Stand


@pytest.mark.asyncio
async def test_the_node_knows_better_than_its_files() -> None:
    facts = await doctor.examine(Stand().ctx, pb.ExamineRequest())
    assert (facts.node, facts.pid, facts.app) == (NODE, 4711, "running")
    assert facts.cookie.hash == sha256(b"SECRET").hexdigest()
    assert (facts.memory.used_bytes, facts.memory.limit_bytes) == (1000, 4000)
    assert (facts.disc.free_bytes, facts.disc.limit_bytes) == (5000, 50)
    assert facts.open_files.used == 7


@pytest.mark.asyncio
async def test_an_application_that_is_stopped() -> None:
    stand = Stand()
    stand.node.app_state = AppState.STOPPED
    assert (await doctor.examine(stand.ctx, pb.ExamineRequest())).app == "stopped"
