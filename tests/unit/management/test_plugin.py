"""The plugin comes and goes, with the node and while it runs."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

import mqd.embedded
from mqd.admin import plugins
from mqd.admin.context import AdminContext
from mqd.errors import ErrorCode, MqdError
from mqd.plugins.enabled import show
from mqd.rpc.v1.plugins_pb2 import ResetStatsDbRequest
from tests.unit.management.api import Api, settings

PLUGIN = "rabbitmq_management"
THREE = (PLUGIN, "rabbitmq_management_agent", "rabbitmq_web_dispatch")


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_it_brings_what_it_needs_and_listens(tmp_path: Path) -> None:
    port, config = settings()
    for names in ([PLUGIN], None):  # what was enabled is enabled still
        with mqd.embedded.Broker(tmp_path, plugins=names, config=config):
            assert Api(port).get("/whoami") == {"name": "guest", "tags": ["administrator"]}
        assert not is_open(port)


@pytest.mark.asyncio
async def test_online(tmp_path: Path) -> None:
    port, config = settings()
    async with mqd.embedded.AsyncBroker(tmp_path, plugins=[], config=config) as broker:
        node = broker.node
        assert not is_open(port)
        node.enabled_plugins_file.write_text(show([PLUGIN]))
        assert await node.apply_plugins() == (list(THREE), [])
        reply = await asyncio.to_thread(Api(port).get, "/overview")
        assert [(one["protocol"], one["port"]) for one in reply["listeners"]][-1] == ("http", port)
        listed = [(one.interface, one.port, one.purpose) for one in node.listeners()]
        assert listed[-1] == ("[::]", port, "HTTP API")
        node.enabled_plugins_file.write_text(show([]))
        assert await node.apply_plugins() == ([], list(THREE))
        assert not is_open(port)
        assert [one.protocol for one in node.listeners()] == ["amqp"]


@pytest.mark.asyncio
async def test_a_port_that_is_taken(tmp_path: Path) -> None:
    """Whoever enables it is told; a node that starts with it starts without it."""
    with socket.socket() as taken:
        port, config = settings()
        taken.bind(("127.0.0.1", port))
        taken.listen()
        async with mqd.embedded.AsyncBroker(tmp_path, plugins=[PLUGIN], config=config) as broker:
            node = broker.node
            running = [plugin.name for plugin in node.running_plugins]
            assert running == ["rabbitmq_management_agent", "rabbitmq_web_dispatch"]
            with pytest.raises(MqdError, match=f"127.0.0.1:{port}: Address already in use") as told:
                await node.apply_plugins()
            assert told.value.code is ErrorCode.UNAVAILABLE
            assert "management.tcp.port" in told.value.detail
            taken.close()
            assert await node.apply_plugins() == ([PLUGIN], [])
            await node.stop_app()
            assert not is_open(port)
            await node.start_app()
            assert is_open(port)


def test_the_listener_by_its_name_of_old() -> None:
    port, _ = settings()
    config = {"management.listener.port": str(port), "management.listener.ip": "127.0.0.1"}
    with mqd.embedded.Broker(plugins=[PLUGIN], config=config):
        assert Api(port)("GET", "/whoami").status == 200


def test_a_prefix_of_every_path() -> None:
    port, config = settings(management__path_prefix="/rabbit")
    with mqd.embedded.Broker(plugins=[PLUGIN], config=config):
        assert Api(port)("GET", "/whoami", prefix="/rabbit/api").status == 200
        assert Api(port)("GET", "/whoami").status == 404
        page = Api(port)("GET", "/", prefix="/rabbit")
        assert b"/rabbit/api/overview" in page.body


@pytest.mark.asyncio
async def test_the_tool_forgets_the_samples() -> None:
    port, config = settings(collect_statistics_interval="100")
    async with mqd.embedded.AsyncBroker(plugins=[PLUGIN], config=config) as broker:
        api = Api(port)
        await asyncio.to_thread(api, "PUT", "/queues/%2F/q", {})
        found = await asyncio.to_thread(api.get, "/overview")
        assert found["churn_rates"]["queue_created"] == 1
        await plugins.reset_stats_db(AdminContext(broker.node), ResetStatsDbRequest())
        found = await asyncio.to_thread(api.get, "/overview")
        assert found["churn_rates"]["queue_created"] == 0
