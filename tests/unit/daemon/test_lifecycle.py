"""The app's comings and goings inside a node."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aio_pika
import pytest

from mqd.admin.context import AppState, Watermark
from mqd.daemon.compose import App
from mqd.daemon.emptying import MARKER, empty, finish
from mqd.daemon.fronts import Fronts
from mqd.daemon.lifecycle import FORCE_LOAD_FILE
from mqd.daemon.locks import LOCK_FILE
from mqd.daemon.node import Node
from mqd.embedded import AsyncBroker
from mqd.errors import MqdError
from mqd.metadata.commands import PutGlobalParameter
from tests.waiting import PATIENCE_S


@asynccontextmanager
async def running(tmp_path: Path) -> AsyncIterator[tuple[AsyncBroker, Node]]:
    async with AsyncBroker(tmp_path) as broker:
        yield broker, broker.node


async def queue_exists(broker: AsyncBroker, name: str) -> bool:
    connection = await aio_pika.connect(broker.url)
    async with connection:
        channel = await connection.channel()
        try:
            await channel.declare_queue(name, passive=True)
        except aio_pika.exceptions.ChannelNotFoundEntity:
            return False
        return True


async def declare(broker: AsyncBroker, name: str) -> None:
    connection = await aio_pika.connect(broker.url)
    async with connection:
        channel = await connection.channel()
        await channel.declare_queue(name, durable=True)


def test_the_app_stops_and_starts_again_with_its_data(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as (broker, node):
            await declare(broker, "kept")
            await node.stop_app()
            assert node.app_state is AppState.STOPPED
            assert (node.broker, node.metadata, list(node.listeners())) == (None, None, [])
            await node.stop_app()
            await asyncio.gather(node.start_app(), node.start_app(), node.await_running())
            assert node.app_state is AppState.RUNNING
            assert await queue_exists(broker, "kept")

    asyncio.run(scenario())


class _Unclosable:
    """What a member of a cluster has, whose end fails."""

    async def leave_off(self) -> None:
        pass

    async def close(self) -> None:
        raise LookupError("the end of the side")


def test_a_part_that_fails_to_end_leaves_no_other_open(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as (broker, node):
            await declare(broker, "kept")
            app, metadata = node.app, node.metadata
            assert app is not None
            assert metadata is not None
            app.side = _Unclosable()  # type: ignore[assignment]
            with pytest.raises(LookupError):
                await node.stop_app()
            assert node.app_state is AppState.STOPPED
            with pytest.raises(MqdError, match="is closed"):
                await metadata.propose_async(PutGlobalParameter("late", 1))
            await node.start_app()
            assert await queue_exists(broker, "kept")

    asyncio.run(scenario())


def test_a_start_that_nobody_asked_for_fails_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(_node: Node) -> None:
        raise LookupError("why the app does not stop")

    async def scenario() -> None:
        async with running(tmp_path) as (_, node):
            with monkeypatch.context() as patch:
                patch.setattr(Node, "_end_app", fails)
                node.start_anew()
                assert node._anew is not None
                await node._anew

    asyncio.run(scenario())
    assert "why the app does not stop" in caplog.text


def test_reset_makes_the_next_start_a_first_boot(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as (broker, node):
            await declare(broker, "gone")
            with pytest.raises(MqdError, match="to be stopped"):
                await node.reset(force=False)
            await node.stop_app()
            node.force_boot()
            await node.reset(force=True)
            assert os.listdir(tmp_path) == [LOCK_FILE]
            await node.start_app()
            assert not await queue_exists(broker, "gone")

    asyncio.run(scenario())


def test_force_boot_lasts_one_start(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as (_, node):
            await node.stop_app()
            node.force_boot()
            assert (tmp_path / FORCE_LOAD_FILE).exists()
            await node.start_app()
            assert not (tmp_path / FORCE_LOAD_FILE).exists()

    asyncio.run(scenario())


def test_a_start_that_fails_leaves_the_node_stopped(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as (_, node):
            await node.stop_app()
            metadata = tmp_path / "metadata.db"
            metadata.rename(tmp_path / "aside")
            metadata.write_bytes(b"this is no database" * 100)
            with pytest.raises(MqdError):
                await node.start_app()
            assert node.app_state is AppState.STOPPED
            (tmp_path / "aside").replace(metadata)
            await node.start_app()
            assert node.app_state is AppState.RUNNING

    asyncio.run(scenario())


@pytest.mark.parametrize("step", ["attach", "fronts", "open"])
def test_a_start_that_fails_after_the_boot_leaves_nothing_half_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    async def fails(*_: object) -> None:
        raise LookupError("why it does not start")

    async def scenario() -> None:
        async with running(tmp_path) as (broker, node):
            await declare(broker, "kept")
            url = broker.url
            await node.stop_app()
            with monkeypatch.context() as patch:
                match step:
                    case "attach":
                        patch.setattr(Node, "_forget_force_boot", _raise)
                    case "fronts":
                        patch.setattr(Fronts, "follow", fails)
                    case _:
                        patch.setattr(Node, "_open", _opens_and_fails)
                with pytest.raises(LookupError, match="why"):
                    await node.start_app()
            assert node.app_state is AppState.STOPPED
            assert (node.app, node.broker, list(node.listeners())) == (None, None, [])
            with pytest.raises(OSError):
                await aio_pika.connect(url)
            await asyncio.wait_for(node.await_running(), PATIENCE_S)
            await node.start_app()
            assert await queue_exists(broker, "kept")

    asyncio.run(scenario())


def _raise(*_: object) -> None:
    raise LookupError("why it does not start")


async def _opens_and_fails(node: Node, _app: App) -> None:
    node._move(AppState.RUNNING)
    _raise()


@pytest.mark.parametrize("survives", range(4))
def test_a_reset_that_a_crash_interrupts_ends_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, survives: int
) -> None:
    """survives: how many files go before the crash."""

    class Crash(BaseException):
        pass

    left = survives

    def dying(remove: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: object, **options: object) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise Crash
            remove(*arguments, **options)

        return call

    async def first() -> None:
        async with running(tmp_path) as (broker, node):
            await declare(broker, "gone")
            await node.stop_app()
            with monkeypatch.context() as patch:
                patch.setattr(shutil, "rmtree", dying(shutil.rmtree))
                patch.setattr(Path, "unlink", dying(Path.unlink))
                with pytest.raises(Crash):
                    await node.reset(force=True)

    async def second() -> None:
        async with running(tmp_path) as (broker, _):
            assert not await queue_exists(broker, "gone")

    asyncio.run(first())
    assert (tmp_path / MARKER).exists()
    asyncio.run(second())
    assert not (tmp_path / MARKER).exists()


def test_a_reset_whose_caller_leaves_is_done_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, remove = threading.Event(), threading.Event(), shutil.rmtree

    def slowly(path: Path) -> None:
        begun.set()
        assert go_on.wait(PATIENCE_S)
        remove(path)

    async def scenario() -> None:
        async with running(tmp_path) as (broker, node):
            await declare(broker, "gone")
            await node.stop_app()
            monkeypatch.setattr(shutil, "rmtree", slowly)
            loop = asyncio.get_running_loop()
            reset = loop.create_task(node.reset(force=True))
            await asyncio.to_thread(begun.wait, PATIENCE_S)
            reset.cancel()
            start = loop.create_task(node.start_app())
            await asyncio.sleep(0)
            assert node.app_state is AppState.STOPPED
            go_on.set()
            with pytest.raises(asyncio.CancelledError):
                await reset
            await start
            assert not await queue_exists(broker, "gone")
            await declare(broker, "new")
            assert await queue_exists(broker, "new")

    asyncio.run(scenario())


def test_a_join_that_a_crash_interrupts_is_one_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "metadata.db").write_text("of a node alone")
    (tmp_path / "messages").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", _raise)
        with pytest.raises(LookupError):
            empty(tmp_path, "the new record")
    assert (tmp_path / "messages").exists()
    assert finish(tmp_path)
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {
        "cluster.json": "the new record"
    }
    assert not finish(tmp_path)


def test_suspended_listeners_take_no_new_client(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as (broker, node):
            connection = await aio_pika.connect(broker.url)
            await node.suspend_listeners()
            await node.suspend_listeners()
            assert [listener.port for listener in node.listeners()] == [broker.port]
            with pytest.raises(OSError, match=r"refused|Connect call failed"):
                await asyncio.open_connection("127.0.0.1", broker.port)
            assert await connection.channel()
            await node.resume_listeners()
            await node.resume_listeners()
            _, writer = await asyncio.open_connection("127.0.0.1", broker.port)
            writer.close()
            await writer.wait_closed()
            await connection.close()

    asyncio.run(scenario())


def test_drain_sends_clients_away_and_revive_lets_them_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as (broker, node):
            connection = await aio_pika.connect(broker.url)
            closed = asyncio.Event()
            connection.close_callbacks.add(lambda *_: closed.set())
            await node.drain()
            await asyncio.wait_for(closed.wait(), PATIENCE_S)
            assert node.in_maintenance
            await node.revive()
            assert not node.in_maintenance
            assert not await queue_exists(broker, "any")

    asyncio.run(scenario())


def test_what_needs_a_running_app_says_so(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as (_, node):
            await node.stop_app()
            with pytest.raises(MqdError, match="stopped"):
                await node.suspend_listeners()

    asyncio.run(scenario())


def test_alarms_reach_the_broker_and_storage_trouble_counts_as_one(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as (_, node):
            assert node.app is not None
            broker, app = node.app.broker, node.app
            node.set_memory_watermark(Watermark(0.0))
            assert broker.alarms == {"memory"}
            node.set_memory_watermark(Watermark(1.0))
            app.storage_trouble("messages", "disc full")
            app.set_alarm("disk", True)
            app.storage_trouble("messages", None)
            assert broker.alarms == {"disk"}
            app.set_alarm("disk", False)
            assert broker.alarms == set()
            node.set_disk_free_limit(1 << 60)
            assert broker.alarms == {"disk"}

    asyncio.run(scenario())


def test_facts(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as (broker, node):
            assert (node.name, node.version) == ("embedded@localhost", "3.10.8")
            assert node.data_directory == tmp_path
            assert node.listeners()[0].port == broker.port
            assert node.memory().total_bytes > 1_000_000
            assert node.disk().limit_bytes == 0
            assert node.file_descriptors().used > 3
            assert node.environment["rabbit"]["heartbeat"] == 60
            assert node.cluster_name_default.startswith("embedded@")
            assert (node.log_files, node.config_files, node.running_plugins) == ((), (), ())

    asyncio.run(scenario())


def test_socket_options_reach_the_connections(tmp_path: Path) -> None:
    config = {
        "tcp_listen_options.keepalive": "true",
        "tcp_listen_options.sndbuf": "64KB",
        "tcp_listen_options.backlog": "7",
    }

    async def scenario() -> None:
        async with AsyncBroker(tmp_path, config=config) as broker:
            assert broker.node.app is not None
            connection = await aio_pika.connect(broker.url)
            (session,) = broker.node.app._listener.sessions
            accepted = session._transport.get_extra_info("socket")
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            # the kernel keeps twice what was asked for: socket(7)
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 2 * 65_536
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
            await connection.close()

    asyncio.run(scenario())


def test_every_address_is_one_listener_for_both_families(tmp_path: Path) -> None:
    async def scenario() -> None:
        config = {"listeners.tcp.embedded": "0"}
        async with AsyncBroker(tmp_path, config=config) as broker:
            found = broker.node.listeners()
            expected = "[::]" if socket.has_dualstack_ipv6() else "0.0.0.0"
            assert [listener.interface for listener in found] == [expected]
            connection = await aio_pika.connect(f"amqp://127.0.0.1:{broker.port}/")
            (entry,) = broker.node.app.broker.connections.values()
            assert entry.peer_host == "127.0.0.1"
            await connection.close()

    asyncio.run(scenario())


def test_a_listener_that_cannot_be_had_is_named(tmp_path: Path) -> None:
    async def scenario(address: str) -> None:
        async with AsyncBroker(tmp_path, config={"listeners.tcp.embedded": address}):
            raise AssertionError("it started")

    with pytest.raises(MqdError, match=r"cannot listen on 192\.0\.2\.1:5672: Cannot assign"):
        asyncio.run(scenario("192.0.2.1:5672"))
    with pytest.raises(MqdError, match=r"cannot listen on no\.such\.host\.invalid:5672: [A-Z]"):
        asyncio.run(scenario("no.such.host.invalid:5672"))
