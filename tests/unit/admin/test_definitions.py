"""mqd.admin.definitions and importing: out, in, whole or not at all, also while things change."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from typing import Any

import pytest

from mqd.admin import definitions
from mqd.admin.context import AdminContext
from mqd.admin.importing import Import
from mqd.broker.definitions import QueueDefinition
from mqd.broker.homes import Here
from mqd.broker.vhost import VHost
from mqd.definitions import terms
from mqd.definitions.faults import Refused
from mqd.errors import ErrorCode, MqdError
from mqd.metadata import commands as c
from mqd.metadata.commands import VhostRecord
from mqd.metadata.machine import commands_of
from mqd.rpc.v1 import definitions_pb2 as pb
from tests.unit.admin.stand import Stand

QUEUE = {"vhost": "/", "durable": True, "auto_delete": False, "arguments": {}}


def request(document: Any, **fields: Any) -> pb.ImportDefinitions:
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    return pb.ImportDefinitions(file_path="f.json", format="json", content=content, **fields)


async def bring_in(ctx: AdminContext, asked: pb.ImportDefinitions) -> None:
    """Raises what the reply says."""
    reply = await definitions.import_(ctx, asked)
    if reply.refused:
        raise MqdError(ErrorCode(reply.refused), reply.text)


def many(count: int) -> dict[str, Any]:
    return {"queues": [{"name": f"q{index}", **QUEUE} for index in range(count)]}


@pytest.mark.asyncio
@pytest.mark.parametrize("shape", ["json", "JSON", "erlang"])
async def test_what_comes_out_goes_in(shape: str) -> None:
    stand, other = Stand(), Stand()
    await bring_in(stand.ctx, request(many(3)))
    stand.metadata.propose_now(c.PutVhost(VhostRecord("v", "d", ("t",), "quorum")))
    stand.metadata.propose_now(c.PutGlobalParameter("g", [1, {"a": True}]))
    exported = await definitions.export(stand.ctx, pb.ExportDefinitions(format=shape))
    await bring_in(other.ctx, pb.ImportDefinitions(format=shape, content=exported.content))
    again = await definitions.export(other.ctx, pb.ExportDefinitions(format=shape))
    assert again.content == exported.content
    assert set(other.broker.vhosts["/"].queues) == {"q0", "q1", "q2"}
    assert len(other.metadata.proposed) == len(Stand().metadata.proposed) + 1  # one batch


class OneHome(Here):
    """A cluster whose new queues all go to one member."""

    def place(self, vhost: VHost, definition: QueueDefinition) -> QueueDefinition:
        return replace(definition, node="other@host")


@pytest.mark.asyncio
async def test_what_is_imported_in_a_cluster_has_a_home_also_in_a_vhost_that_is_new() -> None:
    stand = Stand()
    stand.broker.homes = OneHome()
    new = {**QUEUE, "vhost": "new", "name": "q"}
    document = {"vhosts": [{"name": "new"}], "queues": [{"name": "q", **QUEUE}, new]}
    await bring_in(stand.ctx, request(document))
    queues = stand.metadata.state.queues
    assert {key: queue.node for key, queue in queues.items()} == {
        ("/", "q"): "other@host",
        ("new", "q"): "other@host",
    }


@pytest.mark.asyncio
async def test_nothing_new_writes_nothing() -> None:
    stand = Stand()
    await bring_in(stand.ctx, request(many(2)))
    proposed = len(stand.metadata.proposed)
    await bring_in(stand.ctx, request(many(2)))
    assert len(stand.metadata.proposed) == proposed


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("document", "code"),
    [
        (b"{", ErrorCode.INVALID_ARGUMENT),
        ([], ErrorCode.INTERNAL),
        (many(2) | {"users": [{"name": "u"}]}, ErrorCode.PRECONDITION_FAILED),
        ({"queues": [{**QUEUE, "name": "q", "vhost": "v"}]}, ErrorCode.NO_SUCH_VHOST),
    ],
)
async def test_a_refusal_changes_nothing(document: Any, code: ErrorCode) -> None:
    stand = Stand()
    before = list(commands_of(stand.metadata.state))
    with pytest.raises(MqdError) as caught:
        await bring_in(stand.ctx, request(document))
    assert caught.value.code is code
    assert list(commands_of(stand.metadata.state)) == before
    assert not stand.broker.vhosts["/"].queues


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("content", "fields", "lines"),
    [
        (b"{x", {}, 1),
        (b"{x\n", {}, 1),
        (b"{\nx", {}, 2),
        (b"{x", {"located": True}, 2),
    ],
)
async def test_where_is_said_in_files_of_several_lines(
    content: bytes, fields: dict[str, Any], lines: int
) -> None:
    with pytest.raises(MqdError) as caught:
        await bring_in(Stand().ctx, request(content, **fields))
    assert len(caught.value.detail.splitlines()) == lines


@pytest.mark.asyncio
async def test_progress_is_told_and_then_the_result() -> None:
    stand = Stand()
    binding = {"source": "amq.topic", "destination": "gone", "destination_type": "queue"}
    document = many(250) | {"bindings": [{**binding, "vhost": "/"}]}
    told = [one async for one in definitions.import_shown(stand.ctx, request(document))]
    assert [(one.done, one.total) for one in told] == [(100, 251), (200, 251), (251, 251)]
    assert len(told[-1].result.left_out) == 1


@pytest.mark.asyncio
async def test_what_ends_with_the_node_is_there_but_not_written() -> None:
    stand = Stand()
    queue = {**QUEUE, "name": "q", "durable": False}
    await bring_in(stand.ctx, request({"queues": [queue]}))
    assert not stand.broker.vhosts["/"].queues["q"].durable
    assert not stand.metadata.state.queues


@pytest.mark.asyncio
async def test_what_changes_meanwhile_is_looked_at_again() -> None:
    stand = Stand()
    document = many(150)
    document["queues"].append({**QUEUE, "name": "last", "vhost": "/"})
    steps = Import(document, stand.ctx.metadata, stand.broker)
    seen = 0
    async for _ in steps.steps():
        seen += 1
        if seen == 1:  # somebody declares one of them
            stand.queue("q0")
    assert seen == 2
    assert ("/", "q0") not in stand.metadata.state.queues
    assert len(stand.metadata.state.queues) == 150


@pytest.mark.asyncio
async def test_a_vhost_that_goes_meanwhile_is_missed() -> None:
    stand = Stand()
    stand.metadata.propose_now(c.PutVhost(VhostRecord("v")))
    document = {"queues": [{**QUEUE, "name": f"q{index}", "vhost": "v"} for index in range(120)]}
    steps = Import(document, stand.ctx.metadata, stand.broker)

    async def run() -> None:
        async for _ in steps.steps():
            if "v" in stand.metadata.state.vhosts:
                stand.metadata.propose_now(c.DeleteVhost("v"))

    with pytest.raises(Refused, match="virtual host 'v' does not exist"):
        await run()
    assert not stand.metadata.state.queues


@pytest.mark.asyncio
async def test_what_changes_all_the_time_is_planned_at_one_go() -> None:
    stand = Stand()
    steps = Import(many(150), stand.ctx.metadata, stand.broker)
    changes = 0
    async for _ in steps.steps():
        changes += 1
        stand.metadata.propose_now(c.PutGlobalParameter("g", changes))
    assert changes == 3
    assert len(stand.metadata.state.queues) == 150


@pytest.mark.asyncio
async def test_names_that_are_no_text_are_told() -> None:
    stand = Stand()
    binding = {"source": "amq.topic", "destination": "X", "destination_type": "queue"}
    packed = terms.encode({"bindings": [{**binding, "vhost": "/"}]})
    content = b"\x83" + zlib.decompress(packed[6:]).replace(b"X", b"\xff")
    reply = await definitions.import_(
        stand.ctx, pb.ImportDefinitions(format="erlang", content=content)
    )
    assert "there is no queue '\ufffd'" in reply.left_out[0]
