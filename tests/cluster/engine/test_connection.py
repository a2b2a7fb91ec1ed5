"""The connection to the own nats-server, with a server that does what the test says."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from mqd.cluster.engine import connection as module
from mqd.cluster.engine.connection import Connection, Lost, NoResponder
from mqd.cluster.engine.wire import Msg
from mqd.cluster.ports import NoMajority

_WAIT_S = 5.0
_PAYLOAD_BYTES_MAX = 100


class Server:
    """Serves one client. `lines`: what it said, without data."""

    def __init__(self) -> None:
        self.lines: asyncio.Queue[list[str]] = asyncio.Queue()
        self.welcome = b"PONG\r\n"
        self.writer: asyncio.StreamWriter | None = None
        self.over = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        info = {"server_id": "SELF", "max_payload": _PAYLOAD_BYTES_MAX}
        writer.write(b"INFO " + json.dumps(info).encode() + b"\r\n")
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while line := (await reader.readline()).decode():
                words = line.split()
                if words[0] in ("PUB", "HPUB"):
                    await reader.readexactly(int(words[-1]) + 2)
                if words == ["PING"] and self.welcome:
                    writer.write(self.welcome)
                else:
                    self.lines.put_nowait(words)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        self.over.set()

    async def said(self, word: str) -> list[str]:
        """The next line that begins so."""
        while True:
            words = await asyncio.wait_for(self.lines.get(), _WAIT_S)
            if words[0] == word:
                return words

    def answer(self, words: list[str], data: bytes, head: bytes = b"") -> None:
        assert self.writer is not None
        sizes = b"%d %d" % (len(head), len(head) + len(data)) if head else b"%d" % len(data)
        kind = b"HMSG" if head else b"MSG"
        self.writer.write(b"%b %b 1 %b\r\n%b%b\r\n" % (kind, words[2].encode(), sizes, head, data))


@contextlib.asynccontextmanager
async def served(server: Server) -> AsyncIterator[tuple[Connection, int]]:
    """A client, not opened, and where to."""
    client = Connection()
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        yield client, listening.sockets[0].getsockname()[1]
        await client.close()
        await asyncio.wait_for(server.over.wait(), _WAIT_S)


@pytest_asyncio.fixture
async def pair() -> AsyncIterator[tuple[Server, Connection]]:
    server = Server()
    async with served(server) as (client, port):
        await client.open(port, "client", "secret")
        yield server, client


def data_of(message: Msg) -> bytes:
    return message.data


async def result(future: asyncio.Future[bytes]) -> bytes:
    return await asyncio.wait_for(future, _WAIT_S)


@pytest.mark.asyncio
async def test_it_says_who_it_is_and_asks_in_order(pair: tuple[Server, Connection]) -> None:
    server, client = pair
    assert client.server_id == "SELF"
    said = json.loads(" ".join((await server.said("CONNECT"))[1:]))
    assert (said["user"], said["pass"], said["verbose"]) == ("client", "secret", False)
    asked = [client.ask(f"q{n}", b"%d" % n, None, _WAIT_S, data_of) for n in range(20)]
    heard = [await server.said("PUB") for _ in asked]
    assert [words[1] for words in heard] == [f"q{n}" for n in range(20)]
    for words in reversed(heard):
        server.answer(words, words[1].encode())
    assert [await result(one) for one in asked] == [f"q{n}".encode() for n in range(20)]


@pytest.mark.asyncio
async def test_whom_it_listens_to(pair: tuple[Server, Connection]) -> None:
    server, client = pair
    heard: asyncio.Queue[Msg] = asyncio.Queue()

    def take(message: Msg) -> None:
        heard.put_nowait(message)
        raise ValueError("a fault of who listens")

    client.hear("news.*", take)
    assert (await server.said("SUB"))[1:] != ["news.*", "1"]
    _, subject, sid = await server.said("SUB")
    assert subject == "news.*"
    assert server.writer is not None
    for number in range(2):  # the fault ends nothing
        server.writer.write(b"MSG news.a %b 1\r\n%d\r\n" % (sid.encode(), number))
        assert (await asyncio.wait_for(heard.get(), _WAIT_S)).data == b"%d" % number


@pytest.mark.asyncio
async def test_nobody_is_there(pair: tuple[Server, Connection]) -> None:
    server, client = pair
    asked = client.ask("q", b"", {"a": "b"}, _WAIT_S, data_of)
    server.answer(await server.said("HPUB"), b"", b"NATS/1.0 503\r\n\r\n")
    with pytest.raises(NoResponder):
        await result(asked)


@pytest.mark.asyncio
async def test_no_answer_in_time(pair: tuple[Server, Connection]) -> None:
    with pytest.raises(NoMajority, match="in time"):
        await result(pair[1].ask("q", b"", None, 0.05, data_of))


@pytest.mark.asyncio
async def test_what_is_too_large_is_not_sent(pair: tuple[Server, Connection]) -> None:
    server, client = pair
    with pytest.raises(NoMajority, match="too large"):
        await result(client.ask("q", bytes(_PAYLOAD_BYTES_MAX + 1), None, _WAIT_S, data_of))
    asked = client.ask("q", bytes(_PAYLOAD_BYTES_MAX), None, _WAIT_S, data_of)
    server.answer(await server.said("PUB"), b"x")
    assert await result(asked) == b"x"


@pytest.mark.asyncio
async def test_a_question_that_cannot_be_sent_holds_up_no_other(
    pair: tuple[Server, Connection],
) -> None:
    server, client = pair
    bad = client.ask("\udcff", b"", None, _WAIT_S, data_of)
    good = client.ask("good", b"", None, _WAIT_S, data_of)
    with pytest.raises(NoMajority, match="not sent"):
        await result(bad)
    server.answer(await server.said("PUB"), b"x")
    assert await result(good) == b"x"


@pytest.mark.parametrize("last", [b"", b"MSG a\r\n", b"HELLO\r\n"])
@pytest.mark.asyncio
async def test_a_lost_connection_ends_every_question(
    pair: tuple[Server, Connection], last: bytes
) -> None:
    server, client = pair
    asked = client.ask("q", b"", None, _WAIT_S, data_of)
    await server.said("PUB")
    assert server.writer is not None
    server.writer.write(last)
    if not last:
        server.writer.close()
    with pytest.raises(Lost):
        await result(asked)
    assert client.lost.done()
    with pytest.raises(Lost):
        await result(client.ask("q", b"", None, _WAIT_S, data_of))


@pytest.mark.asyncio
async def test_a_server_that_hangs_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PING_S", 0.02)
    server = Server()
    async with served(server) as (client, port):
        await client.open(port, "client", "secret")
        asked = client.ask("q", b"", None, _WAIT_S, data_of)
        server.welcome = b""
        with pytest.raises(Lost):
            await result(asked)


@pytest.mark.asyncio
async def test_who_is_not_let_in_is_told_why() -> None:
    server = Server()
    server.welcome = b"-ERR 'Authorization Violation'\r\n"
    async with served(server) as (client, port):
        opening = asyncio.ensure_future(client.open(port, "client", "wrong"))
        await server.said("SUB")
        assert server.writer is not None
        server.writer.close()
        with pytest.raises(ConnectionError, match="Authorization Violation"):
            await opening
