"""The stand-in for the links keeps what `Mesh` promises."""

from __future__ import annotations

import asyncio
import random

import pytest

from mqd.cluster.ports import Mesh, PeerDown
from mqd.errors import ErrorCode, MqdError
from mqd.metadata.commands import Member
from tests.cluster.fake_mesh import FakeMeshes


def listening(meshes: FakeMeshes, *nodes: str) -> dict[str, list[str]]:
    """What each of them takes, and the comings and goings that it hears."""
    heard: dict[str, list[str]] = {node: [] for node in nodes}
    for node in nodes:
        mesh, lines = meshes[node], heard[node]
        mesh.take("t", lambda peer, data, lines=lines: lines.append(f"{peer}:{data.decode()}"))
        mesh.on_change(lambda peer, up, lines=lines: lines.append(f"{'+' if up else '-'}{peer}"))
    return heard


def test_it_is_a_mesh() -> None:
    mesh: Mesh = FakeMeshes("a")["a"]
    assert mesh.up == []
    assert mesh.epoch("b") == 0


def test_arrives_when_told_in_the_order_sent() -> None:
    meshes = FakeMeshes("a", "b", "c")
    heard = listening(meshes, "c")
    assert meshes["a"].up == ["b", "c"]
    for number in range(3):
        assert meshes["a"].send("c", "t", b"%d" % number)
        assert meshes["b"].send("c", "t", b"%d" % number)
    assert heard["c"] == []
    assert meshes.run(2) == 2
    assert meshes.run() == 4
    assert heard["c"] == ["a:0", "b:0", "a:1", "b:1", "a:2", "b:2"]


def test_drawn_order_keeps_that_of_each_pair() -> None:
    orders = set()
    for seed in range(20):
        meshes = FakeMeshes("a", "b", "c", seed=seed)
        heard = listening(meshes, "c")
        for number in range(4):
            meshes["a"].send("c", "t", b"%d" % number)
            meshes["b"].send("c", "t", b"%d" % number)
        meshes.run()
        for peer in "ab":
            assert [x for x in heard["c"] if x[0] == peer] == [f"{peer}:{n}" for n in range(4)]
        orders.add(tuple(heard["c"]))
    assert len(orders) > 5


def test_broadcast_reaches_the_linked_and_nobody_is_in_its_own_mesh() -> None:
    meshes = FakeMeshes("a", "b", "c")
    heard = listening(meshes, "a", "b", "c")
    meshes.cut("a", "c")
    meshes["a"].broadcast("t", b"x")
    assert not meshes["a"].send("a", "t", b"x")
    meshes.run()
    assert heard == {"a": ["-c"], "b": ["a:x"], "c": ["-a"]}


def test_nothing_arrives_after_a_cut() -> None:
    meshes = FakeMeshes("a", "b")
    heard = listening(meshes, "a", "b")
    meshes["a"].send("b", "t", b"1")
    meshes.cut("a", "b")
    assert not meshes["a"].send("b", "t", b"2")
    meshes.run()
    assert heard == {"a": ["-b"], "b": ["-a"]}
    meshes.heal()
    meshes.run()
    meshes["a"].send("b", "t", b"3")
    meshes.run()
    assert heard == {"a": ["-b", "+b"], "b": ["-a", "+a", "a:3"]}


def test_the_end_that_is_closed_from_afar_hears_later() -> None:
    meshes = FakeMeshes("a", "b")
    heard = listening(meshes, "a", "b")
    meshes["a"].send("b", "t", b"1")
    meshes["b"].send("a", "t", b"lost")
    meshes.close("a", "b")
    assert heard == {"a": ["-b"], "b": []}
    assert meshes["b"].send("a", "t", b"lost, too")
    meshes.run()
    assert heard == {"a": ["-b"], "b": ["a:1", "-a"]}
    meshes.run()
    assert heard == {"a": ["-b", "+b"], "b": ["a:1", "-a", "+a"]}


def test_what_is_held_is_under_way_until_released() -> None:
    meshes = FakeMeshes("a", "b")
    heard = listening(meshes, "a", "b")
    meshes.hold("a", "b")
    meshes["a"].send("b", "t", b"1")
    meshes["b"].send("a", "t", b"2")
    assert meshes.run() == 1
    assert meshes.waiting == 0
    meshes.release("a", "b")
    meshes.run()
    assert heard == {"a": ["b:2"], "b": ["a:1"]}


def test_restart_is_another_epoch_and_hears_nothing_old() -> None:
    meshes = FakeMeshes("a", "b")
    heard = listening(meshes, "a")
    first, old = meshes["a"].epoch("b"), meshes["b"]
    old_heard: list[str] = []
    old.take("t", lambda peer, data: old_heard.append(peer))
    meshes["a"].send("b", "t", b"1")
    meshes.restart("b")
    assert meshes["a"].epoch("b") == first
    meshes.run()
    assert meshes["a"].epoch("b") > first
    meshes["a"].send("b", "t", b"2")
    meshes.run()
    assert old_heard == []
    assert not old.send("a", "t", b"3")
    assert heard["a"] == ["-b", "+b"]


@pytest.mark.asyncio
async def test_a_request_is_answered_or_fails_as_the_other_side_did() -> None:
    meshes = FakeMeshes("a", "b")

    async def answer(peer: str, data: bytes) -> bytes:
        await asyncio.sleep(0)
        if data == b"bad":
            raise MqdError(ErrorCode.NOT_FOUND, "no such thing")
        return peer.encode() + data

    end = meshes["b"].answer("s", answer)
    calls = [
        asyncio.ensure_future(meshes["a"].request("b", "s", data, 5)) for data in (b"1", b"bad")
    ]
    await meshes.settle()
    assert calls[0].result() == b"a1"
    failure = calls[1].exception()
    assert isinstance(failure, MqdError)
    assert (failure.code, failure.detail) == (ErrorCode.NOT_FOUND, "no such thing")
    end()
    call = asyncio.ensure_future(meshes["a"].request("b", "s", b"", 5))
    await meshes.settle()
    assert isinstance(error := call.exception(), MqdError)
    assert error.code is ErrorCode.UNAVAILABLE


@pytest.mark.asyncio
async def test_requests_fail_with_the_link_and_with_time() -> None:
    meshes = FakeMeshes("a", "b")
    never = asyncio.Event()

    async def answer(peer: str, data: bytes) -> bytes:
        await never.wait()
        return b""

    meshes["b"].answer("s", answer)
    call = asyncio.ensure_future(meshes["a"].request("b", "s", b"", 5))
    await meshes.settle()
    assert not call.done()
    meshes.cut("a", "b")
    with pytest.raises(PeerDown):
        await call
    with pytest.raises(PeerDown):
        await meshes["a"].request("b", "s", b"", 5)
    meshes.heal("a", "b")
    meshes.run()
    with pytest.raises(TimeoutError):
        await meshes["a"].request("b", "s", b"", 0.01)
    never.set()
    await meshes.settle()  # the late answers go nowhere


def test_congestion_ends_with_relief_or_the_link() -> None:
    meshes = FakeMeshes("a", "b")
    mesh, told = meshes["a"], list[str]()
    mesh.on_relief("b", lambda: told.append("at once"))
    meshes.congest("a", "b")
    assert mesh.congested("b")
    mesh.on_relief("b", lambda: told.append("relieved"))
    assert told == ["at once"]
    meshes.relieve("a", "b")
    meshes.congest("a", "b")
    mesh.on_relief("b", lambda: told.append("gone"))
    meshes.cut("a", "b")
    assert told == ["at once", "relieved", "gone"]
    assert not mesh.congested("b")


def test_only_members_are_linked() -> None:
    meshes = FakeMeshes("a", "b", "c")
    heard = listening(meshes, "a", "b")
    members = {name: Member(name, "00000000", 1) for name in ("a", "c")}
    meshes["a"].use_members(members)
    meshes.run()
    assert heard == {"a": ["-b"], "b": ["-a"]}
    assert meshes["a"].up == ["c"]
    meshes["a"].use_members({**members, "b": Member("b", "00000001", 2)})
    meshes.run()
    assert meshes["a"].up == ["b", "c"]


def test_drawn_happenings_keep_every_promise() -> None:
    """What arrives within one link is a beginning of what was sent on it, in order."""
    for seed in range(60):
        drawn = random.Random(seed)
        names = ["a", "b", "c"]
        meshes = FakeMeshes(*names, seed=seed)
        got: dict[tuple[str, str], list[int]] = {}
        state: dict[tuple[str, str], bool] = {(x, y): True for x in names for y in names if x != y}

        def attach(
            name: str,
            meshes: FakeMeshes = meshes,
            got: dict[tuple[str, str], list[int]] = got,
            state: dict[tuple[str, str], bool] = state,
        ) -> None:
            def take(peer: str, data: bytes) -> None:
                assert state[name, peer], "arrived while down"
                got.setdefault((peer, name), []).append(int(data))

            def hear(peer: str, up: bool) -> None:
                assert state[name, peer] is not up, "heard twice"
                state[name, peer] = up

            meshes[name].take("t", take)
            meshes[name].on_change(hear)

        for name in names:
            attach(name)
        sent = 0
        for _ in range(200):
            one, other = drawn.sample(names, 2)
            match drawn.choice(("send", "send", "send", "run", "cut", "close", "heal", "restart")):
                case "send":
                    sent += 1
                    meshes[one].send(other, "t", b"%d" % sent)
                case "run":
                    meshes.run(drawn.randrange(5))
                case "cut":
                    meshes.cut(one, other)
                case "close":
                    meshes.close(one, other)
                case "heal":
                    meshes.heal()
                case _ if drawn.random() < 0.2:
                    meshes.restart(one)
                    state.update({(one, y): False for y in names if y != one})
                    attach(one)
        meshes.heal()
        meshes.run()  # the last ends are heard
        meshes.run()
        for numbers in got.values():
            assert numbers == sorted(set(numbers)), f"seed {seed}"
        assert all(state.values())
