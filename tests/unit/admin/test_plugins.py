"""`mqd.admin.plugins`: what a node says of its plugins, and when it follows the file."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mqd.admin import plugins
from mqd.admin.context import AppState
from mqd.errors import ErrorCode, MqdError
from mqd.plugins.table import PLUGINS
from mqd.rpc.v1 import plugins_pb2 as pb
from tests.unit.admin.stand import Stand


@pytest.fixture
def stand(tmp_path: Path) -> Stand:
    stand = Stand()
    stand.node.enabled_plugins_file = tmp_path / "enabled_plugins"
    return stand


def test_what_there_is(stand: Stand) -> None:
    stand.node.running_plugins = [PLUGINS["rabbitmq_sharding"]]
    stand.node.enabled_plugins_file.write_text("[amqp_client,nosuch].")
    reply = asyncio.run(plugins.list_(stand.ctx, pb.ListPlugins(pattern="RD|random")))
    rows = {row.name: row for row in reply.plugins}
    assert (reply.app_runs, list(reply.enabled)) == (True, ["amqp_client", "rabbitmq_sharding"])
    assert [name for name, row in rows.items() if row.is_running] == ["rabbitmq_sharding"]
    assert [name for name, row in rows.items() if row.matches] == ["rabbitmq_random_exchange"]
    assert rows["rabbitmq_sharding"].description == "RabbitMQ Sharding Plugin"
    assert (list(reply.folders), reply.expand_folder) == (["/plugins"], "/data-plugins-expand")
    stand.node.app_state = AppState.STOPPED
    stand.node.enabled_plugins_file.write_text("broken")
    asked = pb.ListPluginDirectories()
    reply = asyncio.run(plugins.directories(stand.ctx, asked))
    assert (reply.app_runs, list(reply.enabled)) == (False, ["rabbitmq_sharding"])


def test_a_pattern_that_is_none(stand: Stand) -> None:
    with pytest.raises(MqdError) as caught:
        asyncio.run(plugins.list_(stand.ctx, pb.ListPlugins(pattern="(")))
    assert caught.value.detail == "{:badmatch, {:error, {'missing )', 1}}}"


def test_troubles_are_told(stand: Stand) -> None:
    asked = pb.ExaminePlugins(plugins=["rabbitmq_sharding"])
    reply = asyncio.run(plugins.examine(stand.ctx, asked))
    assert {row.name: row.trouble for row in reply.plugins if row.trouble} == {
        "rabbitmq_sharding": "broken"
    }


def test_the_file_is_followed_when_it_is_the_same(stand: Stand, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(stand.node.enabled_plugins_file)
    reply = asyncio.run(plugins.enable(stand.ctx, pb.EnablePlugins(file=str(link))))
    assert (list(reply.started), list(reply.stopped)) == (["a"], ["b"])
    for call, asked in (
        (plugins.disable, pb.DisablePlugins(file="/other")),
        (plugins.set_, pb.SetPlugins(file="/other")),
    ):
        with pytest.raises(MqdError) as caught:
            asyncio.run(call(stand.ctx, asked))  # type: ignore[arg-type]
        assert caught.value.code is ErrorCode.INVALID_ARGUMENT
        assert caught.value.detail == str(stand.node.enabled_plugins_file)
    assert stand.node.calls == [("apply_plugins",)]
