"""The links as `Mesh` has them, over real sockets."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mqd import limits
from mqd.cluster.links.greeting import Refusal
from mqd.cluster.links.mesh import LinkMesh
from mqd.cluster.ports import Mesh, PeerDown
from mqd.errors import ErrorCode, MqdError
from tests.cluster.links.nodes import HOST, Cluster, passport
from tests.waiting import PATIENCE_S, until

pytestmark = pytest.mark.asyncio


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """What links do when all is well; how soon they give each other up is in `test_faults`."""
    for name, value in (("DEAD_MS", 60_000), ("CLOSE_S", 60.0), ("GREETING_S", 60.0)):
        monkeypatch.setattr(limits, f"LINK_{name}", value)


async def echo(_peer: str, data: bytes) -> bytes:
    return data


async def test_three_nodes_link_and_everybody_hears_of_it_first(tmp_path: Path) -> None:
    async with Cluster(tmp_path) as cluster:
        await cluster.form("a", "b", "c")
        mesh: Mesh = cluster["a"]
        assert mesh.up == ["b", "c"]
        assert cluster["c"].up == ["a", "b"]
        assert mesh.epoch("c") == 3
        assert sorted(cluster.heard["a"]) == ["+b", "+c"]
        mesh.broadcast("t", b"x")
        assert not mesh.send("a", "t", b"to itself")
        assert not mesh.send("z", "t", b"to nobody")
        await until(lambda: all("a:x" in cluster.heard[node] for node in "bc"))


async def test_order_is_kept_both_ways_and_across_services(tmp_path: Path) -> None:
    async with Cluster(tmp_path) as cluster:
        await cluster.form("a", "b")
        got: list[int] = []
        for service in ("s0", "s1", "s2"):
            cluster["b"].take(service, lambda _, data: got.append(int(data[-5:])))
        for number in range(5000):
            size = 70_000 if number % 1000 == 3 else 5
            payload = (b"%d" % number).zfill(size) if size > 5 else b"%d" % number
            assert cluster["a"].send("b", f"s{number % 3}", payload)
            if number % 100 == 0:
                await asyncio.sleep(0)
        await until(lambda: len(got) == 5000)
        assert got == list(range(5000))


async def test_payloads_of_every_size_arrive_whole(tmp_path: Path) -> None:
    step = limits.LINK_FRAME_BYTES_MAX
    sizes = [0, 1, 65_536, 65_537, step - 1, step, step + 1, 2 * step, 3 * step + 7, 20_000_000]
    async with Cluster(tmp_path) as cluster:
        await cluster.form("a", "b")
        got: list[bytes] = []
        cluster["b"].take("large", lambda _, data: got.append(data))
        cluster["b"].answer("echo", echo)
        sent = [bytes(range(251)) * (size // 251) + b"z" * (size % 251) for size in sizes]
        for payload in sent:
            cluster["a"].send("b", "large", payload)
        await until(lambda: len(got) == len(sent))
        assert got == sent
        for payload in sent:
            assert await cluster["a"].request("b", "echo", payload, PATIENCE_S) == payload


async def test_requests_overlap_and_failures_travel(tmp_path: Path) -> None:
    async with Cluster(tmp_path) as cluster:
        await cluster.form("a", "b")
        first = asyncio.Event()

        async def answer(peer: str, data: bytes) -> bytes:
            if data == b"wait":
                await first.wait()
            elif data == b"bad":
                raise MqdError(ErrorCode.RESOURCE_LOCKED, "locked: ü")
            elif data == b"bug":
                raise KeyError("mine")
            elif data == b"down":
                raise PeerDown("c")
            elif data == b"late":
                raise TimeoutError
            return peer.encode() + data

        cluster["b"].answer("s", answer)
        ask = cluster["a"].request
        waiting = asyncio.ensure_future(ask("b", "s", b"wait", PATIENCE_S))
        assert await ask("b", "s", b"1", PATIENCE_S) == b"a1"
        expected = {
            b"bad": (ErrorCode.RESOURCE_LOCKED, "locked: ü"),
            b"bug": (ErrorCode.INTERNAL, "node b failed to carry this out; its log says why"),
            b"down": (ErrorCode.UNAVAILABLE, "node c is not linked to b"),
            b"late": (ErrorCode.TIMEOUT, "node b waited in vain"),
        }
        for data, (code, detail) in expected.items():
            with pytest.raises(MqdError) as caught:
                await ask("b", "s", data, PATIENCE_S)
            assert (caught.value.code, caught.value.detail) == (code, detail)
        with pytest.raises(MqdError) as caught:
            await ask("b", "nobody's", b"", PATIENCE_S)
        assert caught.value.code is ErrorCode.UNAVAILABLE
        with pytest.raises(TimeoutError):
            await ask("b", "s", b"wait", 0.02)
        with pytest.raises(PeerDown):
            await ask("z", "s", b"", PATIENCE_S)
        first.set()
        assert await waiting == b"await"


async def test_the_end_of_a_link_fails_what_was_asked_once_heard(tmp_path: Path) -> None:
    async with Cluster(tmp_path) as cluster:
        await cluster.form("a", "b")
        asked = asyncio.Event()

        async def never(_peer: str, _data: bytes) -> bytes:
            asked.set()
            await asyncio.Event().wait()
            return b""

        cluster["b"].answer("s", never)
        calls = [asyncio.ensure_future(cluster["a"].request("b", "s", b"", 60)) for _ in range(9)]
        await asked.wait()
        cluster["b"].use_members({})
        for call in calls:
            with pytest.raises(PeerDown):
                await call
        assert cluster.heard["a"] == ["+b", "-b"]
        assert cluster.heard["b"] == ["+a", "-a"]


async def test_a_node_answers_so_many_requests_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LINK_CALLS_MAX", 3)
    async with Cluster(tmp_path) as cluster:
        await cluster.form("a", "b")
        go_on = asyncio.Event()

        async def slow(_peer: str, data: bytes) -> bytes:
            await go_on.wait()
            return data

        cluster["b"].answer("s", slow)
        calls = [
            asyncio.ensure_future(cluster["a"].request("b", "s", b"x", PATIENCE_S))
            for _ in range(3)
        ]
        await asyncio.sleep(0)
        with pytest.raises(MqdError) as caught:
            await cluster["a"].request("b", "s", b"", PATIENCE_S)
        assert caught.value.code is ErrorCode.LIMIT_EXCEEDED
        go_on.set()
        assert await asyncio.gather(*calls) == [b"x"] * 3
        assert await cluster["a"].request("b", "s", b"y", PATIENCE_S) == b"y"


async def test_a_node_that_stops_says_its_last_words(tmp_path: Path) -> None:
    async with Cluster(tmp_path) as cluster:
        await cluster.form("a", "b")
        cluster["b"].send("a", "t", b"bye")
        await cluster["b"].close()
        assert not cluster["b"].send("a", "t", b"?")
        await until(lambda: cluster["a"].up == [])
        assert cluster.heard["a"] == ["+b", "b:bye", "-b"]


async def test_last_words_arrive_though_the_other_is_talking(tmp_path: Path) -> None:
    """To close with something unread would reset the connection, and lose them."""
    async with Cluster(tmp_path) as cluster:
        await cluster.form("a", "b")
        payload = bytes(50_000)
        for _ in range(40):
            cluster["a"].send("b", "nobody's", payload)
        cluster["b"].send("a", "t", b"bye")
        closing = asyncio.ensure_future(cluster["b"].close())
        while cluster["a"].up:
            cluster["a"].send("b", "nobody's", payload)
            await asyncio.sleep(0)
        await closing
        assert cluster.heard["a"] == ["+b", "b:bye", "-b"]


async def test_a_node_that_starts_again_is_another_epoch(tmp_path: Path) -> None:
    async with Cluster(tmp_path) as cluster:
        await cluster.form("a", "b")
        for node, other in (("b", "a"), ("a", "b")):
            before = cluster[other].epoch(node)
            await cluster[node].close()
            await cluster.start(node)
            cluster.join(node)
            await cluster.linked()
            assert cluster[other].epoch(node) != before
        cluster["a"].send("b", "t", b"hello again")
        await until(lambda: "a:hello again" in cluster.heard["b"])


async def test_only_members_of_the_table_are_linked(tmp_path: Path) -> None:
    async with Cluster(tmp_path) as cluster:
        await cluster.form("a", "b")
        await cluster.start("c")
        cluster.join("c")
        cluster["b"].use_members({name: cluster.members[name] for name in "bc"})
        await until(lambda: cluster["b"].up == ["c"])
        assert "-b" in cluster.heard["a"]
        refused = await heard_refusal(cluster, "b", "a")
        assert refused is Refusal.NOT_MEMBER
        other = replace(cluster.members["a"], incarnation="ffffffff")
        cluster["b"].use_members({**cluster.members, "a": other})
        cluster.refused["b"].clear()
        assert await heard_refusal(cluster, "b", "a") is Refusal.NOT_MEMBER
        cluster.join()
        await cluster.linked()


async def heard_refusal(cluster: Cluster, node: str, whom: str) -> Refusal:
    refused = cluster.refused[node]
    await until(lambda: any(each.node == whom for each in refused))
    return next(each.reason for each in refused if each.node == whom)


async def test_names_of_hosts_are_looked_up_and_may_change_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    look_up = loop.getaddrinfo
    asked: list[str] = []

    async def getaddrinfo(host: str, *rest: Any, **more: Any) -> Any:
        asked.append(host)
        if host == "silent.invalid":
            await asyncio.Event().wait()
        return await look_up(host, *rest, **more)

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    async with Cluster(tmp_path) as cluster:
        for node in "ab":
            await cluster.start(node)
        cluster.join("b")
        b = cluster.members["b"]
        for host, port in (("silent.invalid", 1), ("127.0.0.1", 99_999), ("no\0host", 1)):
            asked.clear()
            cluster["a"].use_members({"b": replace(b, host=host, link_port=port)})
            await until(lambda host=host: host in asked)
        cluster["a"].use_members({"b": replace(b, host="localhost")})
        await cluster.linked()


async def test_another_passport_ends_links_and_makes_new_ones(tmp_path: Path) -> None:
    async with Cluster(tmp_path) as cluster:
        await cluster.form("a", "b")
        cluster["a"].use_passport(passport(tmp_path, "a", generation=2))
        assert cluster.heard["a"] == ["+b", "-b"]
        # by certificates alone, on both sides; nothing was greeted
        for node in "ab":
            refused = cluster.refused[node]
            await until(lambda got=refused: got and got[0].reason is Refusal.CERTIFICATE)
        cluster["b"].use_passport(passport(tmp_path, "b", generation=2))
        await cluster.linked()


async def test_the_first_free_port_is_taken(tmp_path: Path) -> None:
    async with Cluster(tmp_path) as cluster:
        first = await cluster.start("a")
        taken = cluster.members["a"].link_port
        given = passport(tmp_path, "b")
        second = LinkMesh(given, first.clock)
        with pytest.raises(MqdError, match=f"{taken} to {taken}"):
            await second.listen(HOST, [taken])
        assert await second.listen(HOST, range(taken, taken + 11)) > taken
        await second.close()


async def test_a_service_that_raises_ends_the_link_and_the_next_one_works(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with Cluster(tmp_path) as cluster:
        await cluster.form("a", "b")
        got: list[bytes] = []

        def take(_peer: str, data: bytes) -> None:
            got.append(data)
            if data == b"1":
                raise IndexError("a bug")

        cluster["b"].take("s", take)
        for data in (b"0", b"1", b"2"):
            cluster["a"].send("b", "s", data)
        await until(lambda: "-b" in cluster.heard["a"])
        assert got == [b"0", b"1"]
        assert "what node a sent to service 's' was not taken" in caplog.text
        await cluster.linked()
        cluster["a"].send("b", "s", b"3")
        await until(lambda: got[-1] == b"3")


async def test_a_hearer_that_raises_keeps_nobody_from_hearing(tmp_path: Path) -> None:
    async with Cluster(tmp_path) as cluster:
        await cluster.start("a")
        await cluster.start("b")
        told: list[str] = []

        def bad(_peer: str, _up: bool) -> None:
            raise ValueError("a bug")

        cluster["a"].on_change(bad)
        end = cluster["a"].on_change(lambda peer, up: told.append(peer))
        cluster.join()
        await cluster.linked()
        assert told == ["b"]
        end()
        end()
        await cluster["b"].close()
        await until(lambda: cluster["a"].up == [])
        assert told == ["b"]


async def test_nothing_is_left_after_close(tmp_path: Path) -> None:
    before = len(asyncio.all_tasks())
    async with Cluster(tmp_path) as cluster:
        await cluster.form("a", "b", "c")
    assert len(asyncio.all_tasks()) == before
