"""Plugins of other people: found by their entry points, loaded, and left out when broken."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

import mqd.embedded
from mqd.plugins import catalogue, installed
from mqd.plugins.enabled import show
from mqd.plugins.table import PLUGINS

GOOD = """
from mqd.broker.exchanges.fanout import FanoutExchange
from mqd.plugins.contribution import Contribution
class Kind(FanoutExchange):
    type_name = "x-good"
PLUGIN = Contribution((Kind,))
"""
BAD = {
    "raises": ("1 / 0", "ZeroDivisionError: division by zero"),
    "lacks": ("", "AttributeError: module 'lacks' has no attribute 'PLUGIN'"),
    "other": ("PLUGIN = 1", "other:PLUGIN is no mqd.plugins.contribution.Contribution"),
    "nothing": (GOOD.replace('"x-good"', '""'), "Kind has no type_name"),
    "taken": (GOOD.replace("x-good", "topic"), "there is an exchange type 'topic' already"),
    "alien": (
        GOOD.replace("FanoutExchange)", "object)"),
        "is no class derived from mqd.broker.exchanges.base.Exchange",
    ),
    "abstract": (
        GOOD.replace("exchanges.fanout", "exchanges.base")
        .replace("FanoutExchange", "Exchange")
        .replace("x-good", "x-abstract"),
        "Kind lacks bind, route, unbind",
    ),
}


def install(folder: Path, name: str, code: str, extras: str = "") -> None:
    """As pip leaves it."""
    (folder / f"{name}.py").write_text(code)
    info = folder / f"{name}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\nSummary: About {name}\n"
    )
    (info / "entry_points.txt").write_text(f"[mqd.plugins]\n{name} = {name}:PLUGIN {extras}\n")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where plugins may be installed; forgotten afterwards."""
    folder = tmp_path / "plugins"
    folder.mkdir()
    path, modules = list(sys.path), set(sys.modules)
    yield folder
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def test_they_are_described_without_being_imported(folder: Path) -> None:
    install(folder, "raises", "1 / 0", "[good, rabbitmq_random_exchange]")
    install(folder, "rabbitmq_sharding", "1 / 0")  # mqd's own names are not taken
    install(folder, "Bad-Name", "1 / 0")
    found = installed.every([folder])
    assert set(found) - set(PLUGINS) == {"raises"}
    assert found["raises"] == (
        "raises",
        "About raises",
        "1.2",
        ("good", "rabbitmq_random_exchange"),
        "raises:PLUGIN",
    )
    assert found["rabbitmq_sharding"] is PLUGINS["rabbitmq_sharding"]
    assert list(found) == sorted(found)


def test_installed_ones_are_not_looked_for_without_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "every", lambda folders: {"looked": None})
    assert catalogue.known(["rabbitmq_sharding"]) is PLUGINS
    assert "looked" in catalogue.known(["rabbitmq_sharding", "other"])


@pytest.mark.parametrize("name", BAD)
def test_a_broken_one_is_left_out(folder: Path, name: str) -> None:
    code, said = BAD[name]
    install(folder, name, code)
    install(folder, "good", GOOD)
    install(folder, "above", GOOD.replace("x-good", "x-above"), f"[{name}]")
    heard: dict[str, str] = {}
    plugins = installed.every([folder])
    names = ["above", "good", name]
    running = catalogue.start(names, heard.__setitem__, plugins, [folder])
    assert running.names == ("good",)
    assert "x-good" in running.exchange_types
    assert "x-above" not in running.exchange_types
    assert said in heard.pop(name)
    assert heard == {"above": f"it needs {name}, which does not run"}


def test_one_that_needs_what_is_not_there(folder: Path) -> None:
    install(folder, "good", GOOD, "[nosuch]")
    heard: dict[str, str] = {}
    running = catalogue.start(["good"], heard.__setitem__, installed.every([folder]), [folder])
    assert (running.names, heard) == ((), {"good": "it needs nosuch, which does not run"})


def test_a_broker_starts_without_a_broken_one(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(folder, "raises", "1 / 0")
    install(folder, "good", GOOD)
    monkeypatch.syspath_prepend(str(folder))
    caplog.set_level(logging.INFO, "mqd.daemon")
    with mqd.embedded.Broker(tmp_path / "node", plugins=["raises", "good"]) as broker:
        connection = pika.BlockingConnection(pika.URLParameters(broker.url))
        connection.channel().exchange_declare("x", "x-good")
        connection.close()
    said = "plugin 'raises' is not started: raises:PLUGIN: ZeroDivisionError: division by zero"
    assert said in caplog.text
    assert "1 plugins started.\n * good" in caplog.text


HASH, RECENT = "rabbitmq_consistent_hash_exchange", "rabbitmq_recent_history_exchange"
RANDOM = "rabbitmq_random_exchange"


def test_plugins_change_under_way(tmp_path: Path) -> None:
    """Exchanges fall silent and live up again, with their bindings; others do not notice."""

    async def main() -> None:
        async with mqd.embedded.AsyncBroker(tmp_path, plugins=[HASH, RECENT]) as broker:
            steps = _changes(broker.url)
            while (names := await asyncio.to_thread(next, steps, None)) is not None:
                (tmp_path / "enabled_plugins").write_text(show(names[0]))
                assert await broker.node.apply_plugins() == names[1:]

    asyncio.run(main())


def _changes(url: str) -> Iterator[tuple[list[str], list[str], list[str]]]:
    """What a client sees; gives what is to be enabled, and what starts and stops by that."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    for kind in ("x-consistent-hash", "x-recent-history"):
        channel.exchange_declare(kind, kind, durable=True)
        channel.queue_declare(f"{kind}.q", durable=True)
        channel.queue_bind(f"{kind}.q", kind, "1")
        publish(channel, kind)
    yield [RECENT], [], [HASH]
    assert "invalid exchange type" in refusal(url, "x-consistent-hash")
    assert "unknown exchange type" in refusal(url, "x-random")
    with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="hash not found"):
        publish(channel, "x-consistent-hash")
    channel = connection.channel()
    channel.queue_declare("other")
    channel.queue_bind("other", "x-recent-history")  # its history is still there
    assert channel.basic_get("other", auto_ack=True)[2] == b"m"
    channel.queue_delete("x-consistent-hash.q")
    channel.queue_bind("other", "x-consistent-hash", "3")
    yield [HASH, RANDOM], [HASH, RANDOM], [RECENT]
    publish(channel, "x-consistent-hash")
    assert channel.basic_get("other", auto_ack=True)[2] == b"m"
    channel.exchange_declare("x-random", "x-random")
    connection.close()


def publish(channel: BlockingChannel, exchange: str) -> None:
    channel.confirm_delivery()
    channel.basic_publish(exchange, "k", b"m", mandatory=True)


def refusal(url: str, kind: str) -> str:
    connection = pika.BlockingConnection(pika.URLParameters(url))
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker) as caught:
        connection.channel().exchange_declare("new", kind)
    return str(caught.value.reply_text)
