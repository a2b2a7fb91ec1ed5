"""mqd.admin.parameters: what is listed among them. Observed: 3.10.8."""

from __future__ import annotations

import pytest

from mqd.admin import parameters
from mqd.metadata import commands as c
from mqd.rpc.v1 import parameters_pb2 as pb
from tests.unit.admin.stand import Stand, rows

POLICY = {"pattern": "x", "apply-to": "all", "definition": {"max-length": 1}, "priority": 0}


@pytest.mark.asyncio
async def test_operator_policies_are_listed_policies_are_not() -> None:
    stand = Stand()
    stand.metadata.propose_now(c.PutParameter("/", "policy", "p", POLICY))
    stand.metadata.propose_now(c.PutParameter("/", "operator_policy", "o", POLICY))
    imported = POLICY | {"definition-as-object": True}
    stand.metadata.propose_now(c.PutParameter("/", "operator_policy", "i", imported))
    listed = await rows(parameters.list_(stand.ctx, pb.ListParameters(vhost="/")))
    assert [(row.name, row.value) for row in listed] == [
        ("i", '{"apply-to":"all","definition":{"max-length":1},"pattern":"x","priority":0}'),
        ("o", '{"pattern":"x","definition":{"max-length":1},"priority":0,"apply-to":"all"}'),
    ]
