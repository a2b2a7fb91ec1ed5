"""Where a member is looked for that is not where it was."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mqd.cluster import handshake
from mqd.cluster.handshake import Unreachable, Why
from mqd.daemon.peers import Peers
from mqd.limits import PEER_PLACES_MAX
from mqd.metadata.commands import Member
from mqd.rpc.v1 import membership_pb2 as pb

B = Member("b@h", "ib", 2, host="old", control_port=1000)


class Network:
    """Who listens where. answers: (host, port); what else is asked fails for `why`."""

    def __init__(self, answers: set[tuple[str | None, int]], why: Why = Why.REFUSED) -> None:
        self.asked: list[tuple[str | None, int]] = []
        self._answers = answers
        self._why = why

    async def call(self, node: str, *_: Any, host: str | None, port_default: int, **__: Any) -> Any:
        self.asked.append((host, port_default))
        if (host, port_default) in self._answers:
            return pb.MemberFacts(node=node)
        raise Unreachable(node, self._why, "nobody")


def peers(network: Network, monkeypatch: pytest.MonkeyPatch, *ports: int) -> Peers:
    monkeypatch.setattr(handshake, "call", network.call)
    made = Peers("cookie", 2000)
    made.usual = lambda: ports
    return made


def test_a_member_at_a_port_of_another_one_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network({(None, 3000)})
    found = asyncio.run(peers(network, monkeypatch, 1000, 3000).ask(B.name, B))
    assert found.node == B.name
    assert network.asked == [("old", 1000), (None, 2000), (None, 3000)]


def test_the_usual_port_is_the_last_to_be_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(set())
    with pytest.raises(Unreachable):
        asyncio.run(peers(network, monkeypatch, 1000, 3000, 2000).ask(B.name, B))
    assert network.asked == [("old", 1000), (None, 2000), (None, 3000), (None, 25_672)]


def test_a_name_that_nobody_knows_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(set(), Why.NO_HOST)
    with pytest.raises(Unreachable):
        asyncio.run(peers(network, monkeypatch, *range(3000, 3009)).ask(B.name, B))
    assert network.asked == [("old", 1000), (None, 2000)]


def test_one_that_says_nothing_is_asked_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(set(), Why.TIMEOUT)
    with pytest.raises(Unreachable):
        asyncio.run(peers(network, monkeypatch, 3000).ask(B.name, B))
    assert network.asked == [("old", 1000)]


def test_not_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(set())
    with pytest.raises(Unreachable):
        asyncio.run(peers(network, monkeypatch, *range(3000, 3009)).ask(B.name, B))
    assert len(network.asked) == 1 + PEER_PLACES_MAX
