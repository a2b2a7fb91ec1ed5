"""Expressions of Pacemaker's agents and Puppet's providers. What they print is in tests/ctl."""

from __future__ import annotations

import pytest

from mqd.admin.context import AppState
from mqd.admin.evaluation import evaluate
from mqd.errors import ErrorCode, MqdError
from mqd.rpc.v1 import evaluation_pb2 as pb
from mqd.rpc.v1 import values_pb2
from tests.unit.admin.stand import NODE, Stand

pytestmark = pytest.mark.asyncio


async def worth(stand: Stand, expression: str) -> pb.EvalReply:
    return await evaluate(stand.ctx, pb.EvalRequest(expression=expression))


def atoms(term: values_pb2.Term) -> list[str]:
    """The atoms of a flat tuple."""
    return [item.atom for item in term.tuple.items]


async def test_a_login() -> None:
    stand = Stand()
    check = 'rabbit_access_control:check_user_pass_login(<<"guest">>, <<"{}">>).'
    assert atoms((await worth(stand, check.format("guest"))).value)[0] == "ok"
    assert atoms((await worth(stand, check.format("bad"))).value)[0] == "refused"
    assert atoms((await worth(stand, check.format(""))).value)[0] == "refused"
    stand.node.app_state = AppState.STOPPED
    assert atoms((await worth(stand, check.format("guest"))).value)[0] == "refused"


async def test_partitions_of_all_nodes() -> None:
    asked = "gen_server:multi_call(['{}', 'rabbit@b'], rabbit_node_monitor, partitions)."
    (replies, bad) = (await worth(Stand(), asked.format(NODE))).value.tuple.items
    assert len(replies.list.items) == 1
    assert [node.atom for node in bad.list.items] == ["rabbit@b"]


async def test_other_processes_are_not_asked() -> None:
    with pytest.raises(MqdError) as caught:
        await worth(Stand(), "gen_server:multi_call([node()], other, partitions).")
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT


async def test_the_shape_of_a_user_is_3_10s() -> None:
    asked = "ets:select({}, [{{{{{{{}, wild_pattern}}, '$1'}}, [], ['$1']}}])."
    (shape,) = (await worth(Stand(), asked.format("mnesia_gvar", "rabbit_user"))).value.list.items
    assert atoms(shape) == ["internal_user", *"_____"]
    with pytest.raises(MqdError):
        await worth(Stand(), asked.format("mnesia_gvar", "rabbit_vhost"))
    with pytest.raises(MqdError):
        await worth(Stand(), asked.format("rabbit_user", "rabbit_user"))


async def test_terms_printed() -> None:
    assert (await worth(Stand(), 'io:format("~s ~p~n", [a, "b"]).')).printed == 'a "b"\n'
    assert (await worth(Stand(), 'io:format("~s~n", []).')).failed
