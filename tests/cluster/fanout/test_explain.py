"""Why something is as it is, told by the member that has it."""

from __future__ import annotations

import pytest

from mqd.admin import explain
from mqd.errors import ErrorCode, MqdError
from mqd.rpc.v1 import explain_pb2 as pb
from tests.cluster.fanout.stands import A, B, Stands

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("kind", ["classic", "quorum", "stream"])
async def test_a_queue_of_another_member(kind: str) -> None:
    stands = Stands(A, B)
    stands.queue(B, "q", kind)
    request = pb.ExplainQueue(vhost="/", queue="q")
    there = await explain.queue(stands[B].ctx, request)
    assert await stands.run(explain.queue(stands[A].ctx, request)) == there
    stands.stop(B)
    with pytest.raises(MqdError, match="does not answer") as refused:
        await stands.run(explain.queue(stands[A].ctx, request))
    assert refused.value.code is ErrorCode.UNAVAILABLE


async def test_a_connection_to_another_member() -> None:
    stands = Stands(A, B)
    entry = stands[B].connect()
    request = pb.ExplainConnection(connection=entry.pid)
    there = await explain.connection(stands[B].ctx, request)
    assert await stands.run(explain.connection(stands[A].ctx, request)) == there
    with pytest.raises(MqdError, match="no connection"):
        await stands.run(explain.connection(stands[A].ctx, pb.ExplainConnection(connection="x")))
