"""What is no member, or does not speak the protocol, is sent away: nothing it says is taken, it is
logged once and without a traceback, and the links that are up go on."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from mqd import limits
from mqd.cluster import identity
from mqd.cluster.links import frames, greeting
from mqd.cluster.links.greeting import Hello, Refusal
from tests.cluster.links.nodes import CLUSTER, COOKIE, HOST, Cluster, incarnation, passport
from tests.cluster.links.proxy import Proxy
from tests.waiting import PATIENCE_S, until

pytestmark = pytest.mark.asyncio

HELLO = Hello("a", incarnation("a"), 1, CLUSTER, 1)


class Target:
    """Node c, linked with b; a is a member that does not run."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder
        self.mesh = cluster["c"]
        self.port = cluster.members["c"].link_port
        self.heard = cluster.heard["c"]
        self.refused = cluster.refused["c"]

    async def raw(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(HOST, self.port)

    async def certified(
        self, context: ssl.SSLContext | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """With a certificate of member a."""
        context = context or passport(self.folder, "a").client
        return await asyncio.open_connection(
            HOST, self.port, ssl=context, server_hostname=identity.name_of("c")
        )

    async def sends_away(self, data: bytes) -> bytes:
        """Say that under a's certificate; what came back until the end."""
        reader, writer = await self.certified()
        writer.write(data)
        async with asyncio.timeout(PATIENCE_S):
            answer = await rest(reader)
        await hang_up(writer)
        self.untouched()
        return answer

    def untouched(self) -> None:
        """Nothing was taken of anybody but b, whose link stands."""
        assert self.heard == ["+b"]
        assert self.mesh.up == ["b"]


async def rest(reader: asyncio.StreamReader) -> bytes:
    with contextlib.suppress(OSError):
        return await reader.read()
    return b""


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@pytest_asyncio.fixture
async def target(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Target]:
    monkeypatch.setattr(limits, "LINK_GREETING_S", 3600.0)  # refused for what was said, not late
    async with Cluster(tmp_path) as cluster:
        await cluster.start("a")
        await cluster["a"].close()
        del cluster.meshes["a"]
        await cluster.form("b", "c")
        yield Target(cluster, tmp_path)
    assert [record.name for record in caplog.records if record.exc_info] == []
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "no link to" in record.message]


async def test_garbage_and_scanners(target: Target, caplog: pytest.LogCaptureFixture) -> None:
    drawn = random.Random(5)
    for data in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01" + bytes(400), drawn.randbytes(70_000)):
        for _ in range(3):
            reader, writer = await target.raw()
            writer.write(data)
            async with asyncio.timeout(PATIENCE_S):
                await rest(reader)
            await hang_up(writer)
    for _ in range(3):
        _, writer = await target.raw()
        writer.close()
        await writer.wait_closed()
    await until(lambda: len(target.refused) == 9)
    assert {each.reason for each in target.refused} == {Refusal.CERTIFICATE}
    target.untouched()
    lines = said(caplog)
    assert len(lines) == len([a for a, b in zip(lines, ["", *lines], strict=False) if a != b])


@pytest.mark.parametrize("kind", ["none", "other cookie", "other generation", "own", "old tls"])
async def test_a_client_without_the_right_certificate(target: Target, kind: str) -> None:
    if kind == "other cookie":
        context = passport(target.folder / "x", "a", cookie="OTHER").client
    elif kind == "other generation":
        context = passport(target.folder / "x", "a", generation=2).client
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if kind == "own":  # signed by itself
        issued = identity.issue(target.folder / "x", "x", "x", 1, "a", [HOST])
        context.load_cert_chain(issued.certificate, issued.key)
    if kind == "old tls":
        context = passport(target.folder, "a").client
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        reader, writer = await target.certified(context)
    except (ssl.SSLError, OSError):
        pass
    else:  # TLS 1.3: the client learns with its first read
        writer.write(frames.frame(frames.HELLO, payload=HELLO.encode()))
        async with asyncio.timeout(PATIENCE_S):
            assert await rest(reader) == b""
        await hang_up(writer)
    await until(lambda: target.refused)
    assert target.refused[0].reason is Refusal.CERTIFICATE
    target.untouched()


async def test_the_one_that_calls_checks_who_answers(tmp_path: Path) -> None:
    """Node b's port is answered by c, by a stranger's TLS, and by no TLS."""
    async with Cluster(tmp_path) as cluster:
        await cluster.start("a")
        await cluster.start("c")
        cluster.join("c")
        stranger = passport(tmp_path / "x", "b", cookie="OTHER")

        async def idle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await rest(reader)
            await hang_up(writer)

        async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 smtp ready\r\n" * 50)
            await idle(reader, writer)

        tls = await asyncio.start_server(idle, HOST, 0, ssl=stranger.server)
        plain = await asyncio.start_server(babble, HOST, 0)
        member_b = replace(cluster.members["c"], name="b", incarnation=incarnation("b"))
        ports = [each.sockets[0].getsockname()[1] for each in (tls, plain)]
        for port in (member_b.link_port, *ports):
            cluster.refused["a"].clear()
            cluster["a"].use_members({"b": replace(member_b, link_port=port)})
            refused = cluster.refused["a"]
            await until(lambda got=refused: got)
            assert (refused[0].node, refused[0].reason) == ("b", Refusal.CERTIFICATE)
        assert cluster.heard == {"a": [], "c": []}
        for server in (tls, plain):
            server.close()
            await server.wait_closed()


async def test_a_recorded_session_is_worth_nothing(tmp_path: Path) -> None:
    async with Cluster(tmp_path) as cluster:
        for node in "ab":
            await cluster.start(node)
        async with Proxy(cluster.members["b"].link_port) as proxy:
            cluster.join("b")
            cluster.redirect("a", "b", proxy.port)
            await cluster.linked()
            cluster["a"].send("b", "t", b"once")
            await until(lambda: cluster.heard["b"] == ["+a", "a:once"])
            await cluster["a"].close()
            await until(lambda: not cluster["b"].up)
            recorded = bytes(proxy.recorded)
        assert len(recorded) > 500
        cluster.refused["b"].clear()
        for step in (len(recorded), 600, 50):  # all at once, and in pieces
            reader, writer = await asyncio.open_connection(HOST, cluster.members["b"].link_port)
            for at in range(0, len(recorded), step):
                writer.write(recorded[at : at + step])
                await asyncio.sleep(0)
            async with asyncio.timeout(PATIENCE_S):
                await rest(reader)
            await hang_up(writer)
        await until(lambda: len(cluster.refused["b"]) == 3)
        assert {each.reason for each in cluster.refused["b"]} == {Refusal.CERTIFICATE}
        assert cluster.heard["b"] == ["+a", "a:once", "-a"]


async def test_silence_and_trickle_are_cut_off(
    target: Target, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Half-open connections, one that dribbles its first words, and one that stops after TLS."""
    monkeypatch.setattr(limits, "LINK_GREETING_S", 5.0)  # in which it gets through TLS
    certified, certified_writer = await target.certified()
    monkeypatch.setattr(limits, "LINK_GREETING_S", 0.4)
    silent, silent_writer = await target.raw()
    slow, slow_writer = await target.raw()

    async def dribble() -> None:
        with contextlib.suppress(OSError):
            for byte in b"\x16\x03\x01\x01\x00" + bytes(500):
                slow_writer.write(bytes((byte,)))
                await slow_writer.drain()
                await asyncio.sleep(0.02)

    dribbling = asyncio.ensure_future(dribble())
    async with asyncio.timeout(PATIENCE_S):
        await rest(silent)
        await rest(slow)
        await rest(certified)
    await dribbling
    for writer in (silent_writer, slow_writer, certified_writer):
        await hang_up(writer)
    target.untouched()
    assert sum("no greeting within" in line for line in said(caplog)) == 1


async def test_strangers_make_room_for_the_next(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LINK_STRANGERS_MAX", 4)
    held = [await target.raw() for _ in range(12)]
    await target.cluster.start("a")
    target.cluster.join("a")
    await until(lambda: "a" in target.mesh.up)
    for _, writer in held:
        await hang_up(writer)


GREETED = frames.frame(frames.HELLO, payload=HELLO.encode())
WELCOME = frames.frame(frames.WELCOME)
NAMED = frames.frame(frames.NAME, 0, 0, b"t")
SENT = frames.frame(frames.SEND, 0, 0, b"forged")
TOO_LARGE = limits.LINK_HELLO_BYTES_MAX + 1

BEFORE_THE_LINK = {
    "send before hello": NAMED + SENT,
    "request before hello": frames.frame(frames.REQUEST, 0, 1),
    "welcome before hello": WELCOME + GREETED + NAMED + SENT,
    "beat before hello": frames.frame(frames.BEAT),
    "send before welcome": GREETED + NAMED + SENT,
    "two hellos": GREETED + GREETED + WELCOME + NAMED + SENT,
    "empty hello": frames.frame(frames.HELLO) + WELCOME,
    "hello too long": frames.frame(frames.HELLO, payload=HELLO.encode() + b"x") + WELCOME,
    "oversize head": frames.HEAD.pack(TOO_LARGE, frames.HELLO, 0, 0),
    "oversize claim": frames.HEAD.pack(2**32 - 1, frames.SEND, 0, 0),
    "unknown kind": frames.HEAD.pack(0, 99, 0, 0),
    "bad refusal": frames.frame(frames.REFUSAL, payload=b"?"),
    "noise": random.Random(1).randbytes(3000),
}


@pytest.mark.parametrize("what", sorted(BEFORE_THE_LINK))
async def test_frames_that_do_not_belong_in_a_greeting(
    target: Target, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    await target.sends_away(BEFORE_THE_LINK[what])
    await target.sends_away(BEFORE_THE_LINK[what])
    assert len(said(caplog)) == 1
    assert "garbled" in said(caplog)[0]


FORGED: dict[str, tuple[Callable[[Hello], Hello], Refusal]] = {
    "another's name": (lambda h: replace(h, node="b"), Refusal.NAME),
    "its own name": (lambda h: replace(h, node="c"), Refusal.NAME),
    "another cluster": (lambda h: replace(h, cluster="c2"), Refusal.CLUSTER),
    "older": (lambda h: replace(h, generation=0), Refusal.OLD),
    "newer": (lambda h: replace(h, generation=2), Refusal.NEW),
    "former incarnation": (lambda h: replace(h, incarnation="ffffffff"), Refusal.NOT_MEMBER),
    "another version": (lambda h: replace(h, version=2), Refusal.VERSION),
}


@pytest.mark.parametrize("what", sorted(FORGED))
async def test_greetings_that_are_refused(target: Target, what: str) -> None:
    change, reason = FORGED[what]
    hello = change(HELLO)
    data = frames.frame(frames.HELLO, payload=hello.encode()) + WELCOME + NAMED + SENT
    answer = await target.sends_away(data)
    got = list(frames.Decoder(limits.LINK_HELLO_BYTES_MAX).feed(answer))
    assert [kind for kind, *_ in got] == [frames.HELLO, frames.REFUSAL]
    assert greeting.parse(got[0][3]).node == "c"
    assert greeting.parse_refusal(got[1][3]) == (reason, 1)
    (refused,) = target.refused
    assert refused.reason is reason
    assert refused.generation == (0 if hello.version == 2 else hello.generation)


async def test_a_certificate_of_no_member_is_refused_by_name(target: Target) -> None:
    given = passport(target.folder, "aa")
    reader, writer = await target.certified(given.client)
    hello = Hello("aa", "00000000", 1, CLUSTER, 1)
    writer.write(frames.frame(frames.HELLO, payload=hello.encode()) + WELCOME + NAMED + SENT)
    async with asyncio.timeout(PATIENCE_S):
        await rest(reader)
    await hang_up(writer)
    assert target.refused[0].reason is Refusal.NOT_MEMBER
    target.untouched()


ON_THE_LINK = {
    "send to what has no name": frames.frame(frames.SEND, 3, 0, b"x"),
    "request of what has no name": frames.frame(frames.REQUEST, 3, 1, b"x"),
    "named out of order": frames.frame(frames.NAME, 5, 0, b"t"),
    "another hello": GREETED,
    "another welcome": WELCOME,
    "short part": frames.frame(frames.PART, payload=b"short"),
    "name within a payload": frames.frame(frames.PART, payload=bytes(limits.LINK_FRAME_BYTES_MAX))
    + NAMED,
    "oversize": frames.HEAD.pack(limits.LINK_FRAME_BYTES_MAX + 1, frames.SEND, 0, 0),
    "failure without a code": frames.frame(frames.FAILURE, 0, 1, b""),
    "unknown kind": frames.HEAD.pack(0, 0, 0, 0),
}


@pytest.mark.parametrize("what", sorted(ON_THE_LINK))
async def test_frames_that_end_a_link(target: Target, what: str) -> None:
    reader, writer = await target.certified()
    writer.write(GREETED + WELCOME + NAMED + frames.frame(frames.SEND, 0, 0, b"fine"))
    await until(lambda: target.heard[-1] == "a:fine")
    writer.write(ON_THE_LINK[what] + SENT)
    async with asyncio.timeout(PATIENCE_S):
        await rest(reader)
    await hang_up(writer)
    await until(lambda: target.heard[-1] == "-a")
    assert target.heard == ["+b", "+a", "a:fine", "-a"]


async def test_a_member_that_comes_anew_ends_its_old_link(target: Target) -> None:
    first, first_writer = await target.certified()
    first_writer.write(GREETED + WELCOME + NAMED)
    await until(lambda: target.heard[-1] == "+a")
    _, writer = await target.certified()
    writer.write(GREETED + WELCOME + NAMED + SENT)
    async with asyncio.timeout(PATIENCE_S):
        await rest(first)
    first_writer.write(SENT)
    await until(lambda: target.heard[-1] == "a:forged")
    assert target.heard == ["+b", "+a", "-a", "+a", "a:forged"]
    for each in (first_writer, writer):
        await hang_up(each)


async def test_answers_to_what_nobody_asked_are_passed_by(target: Target) -> None:
    _, writer = await target.certified()
    odd = frames.frame(frames.REPLY, 0, 77, b"?") + frames.frame(frames.FAILURE, 0, 78, b"\0\1")
    writer.write(GREETED + WELCOME + NAMED + odd + frames.frame(frames.SEND, 0, 0, b"after"))
    await until(lambda: target.heard[-1] == "a:after")
    await hang_up(writer)
    await until(lambda: target.heard[-1] == "-a")


async def test_fuzz(target: Target) -> None:
    """A member gone mad: pieces of the protocol, mutated. The node and its other link survive."""
    context = passport(target.folder, "a").client
    pieces = [GREETED, WELCOME, NAMED, SENT, *ON_THE_LINK.values(), *BEFORE_THE_LINK.values()]
    for seed in range(40):
        drawn = random.Random(seed)
        parts = [GREETED + WELCOME] if drawn.random() < 0.7 else []
        parts += [drawn.choice(pieces) for _ in range(drawn.randrange(6))]
        data = bytearray(b"".join(parts))
        for _ in range(drawn.randrange(3) if data else 0):
            data[drawn.randrange(len(data))] ^= drawn.randrange(1, 256)
        reader, writer = await target.certified(context)
        writer.write(bytes(data))
        writer.write_eof() if writer.can_write_eof() else writer.close()
        async with asyncio.timeout(PATIENCE_S):
            await rest(reader)
        await hang_up(writer)
        assert "b" in target.mesh.up, f"seed {seed}"
    target.cluster["b"].send("c", "t", b"still here")
    await until(lambda: target.heard[-1] == "b:still here")
    assert COOKIE not in str(target.refused)
