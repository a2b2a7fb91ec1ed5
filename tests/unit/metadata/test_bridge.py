"""mqd.metadata.bridge: a broker follows the metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from mqd.auth.users import User
from mqd.broker.broker import Broker
from mqd.broker.definitions import BindingDefinition, QueueDefinition
from mqd.metadata import commands as c
from mqd.metadata.bridge import connect
from mqd.metadata.commands import VhostRecord
from mqd.metadata.store import MetadataStore


class Vhost:
    """Stands for a vhost and its tracer."""

    def __init__(self) -> None:
        self.tracing = False
        self.tracer = self

    def switch(self, on: bool) -> None:
        self.tracing = on


class Recorder:
    """Stands for a broker: notes which apply_* was called with what."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.vhosts: dict[str, Vhost] = {}

    def __getattr__(self, name: str) -> Any:
        assert hasattr(Broker, name), f"a broker has no {name}"

        def call(*arguments: Any) -> None:
            if name == "apply_put_vhost":
                self.vhosts[arguments[0]] = Vhost()
            self.calls.append((name, arguments))

        return call

    def names(self) -> list[str]:
        return [name for name, _ in self.calls]


@pytest.mark.asyncio
async def test_what_is_there_is_applied_in_an_order_that_works(tmp_path: Path) -> None:
    store = MetadataStore.open(tmp_path / "m.db")
    binding = BindingDefinition("/", "amq.topic", "queue", "q", "k")
    for command in (
        c.PutVhost(VhostRecord("/", tracing=True)),
        c.PutUser(User("u")),
        c.PutQueue(QueueDefinition(5, "/", "q")),
        c.PutBinding(binding),
        c.PutGlobalParameter("g", 1),
    ):
        await store.propose_async(command)
    recorder = Recorder()
    stop = connect(store, cast("Broker", recorder), lambda _vhost: None)
    names = recorder.names()
    assert names[0] == "apply_put_vhost"
    assert names.count("apply_put_exchange") == 6
    assert names[-2:] == ["apply_put_queue", "apply_put_binding"]
    assert recorder.vhosts["/"].tracing

    recorder.calls.clear()
    await store.propose_async(c.DeleteBinding(binding))
    await store.propose_async(c.DeleteQueue("/", "q"))
    await store.propose_async(c.DeleteExchange("/", "amq.topic"))
    await store.propose_async(c.DeleteUser("u"))
    assert recorder.calls == [
        ("apply_delete_binding", (binding,)),
        ("apply_delete_queue", ("/", "q")),
        ("apply_delete_exchange", ("/", "amq.topic")),
        ("apply_access_changed", ()),
    ]
    stop()
    await store.propose_async(c.DeleteVhost("/"))
    assert len(recorder.calls) == 4
    await store.close()


@pytest.mark.asyncio
async def test_messages_of_a_deleted_vhost_go_after_the_broker_let_go(tmp_path: Path) -> None:
    store = MetadataStore.open(tmp_path / "m.db")
    await store.propose_async(c.PutVhost(VhostRecord("v")))
    recorder = Recorder()
    dropped: list[tuple[str, str]] = []
    connect(
        store,
        cast("Broker", recorder),
        lambda vhost: dropped.append((vhost, recorder.names()[-1])),
    )
    await store.propose_async(c.DeleteVhost("v"))
    assert dropped == [("v", "apply_delete_vhost")]
    await store.close()
