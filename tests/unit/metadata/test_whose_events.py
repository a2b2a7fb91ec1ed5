"""An event is told by the node where it was done, and by no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from mqd.broker.broker import Broker
from mqd.metadata import announce, bridge
from mqd.metadata.commands import PutVhost, VhostRecord, encode
from mqd.metadata.store import MetadataStore
from tests.unit.admin.stand import Stand


def listening(broker: Broker) -> list[str]:
    told: list[str] = []
    broker.events.subscribe(lambda event, facts: told.append(event))
    return told


@pytest.mark.asyncio
async def test_what_another_node_does_is_its_to_tell(tmp_path: Path) -> None:
    store = MetadataStore.open(tmp_path / "m.db")
    broker = Stand().broker
    broker.vhosts.clear()
    bridge.connect(store, broker, lambda vhost: None)
    announce.connect(store, broker)
    told = listening(broker)
    await store.propose_async(PutVhost(VhostRecord("mine")))
    assert "vhost.created" in told
    assert "exchange.created" in told
    told.clear()
    assert store.take(store.last_number + 1, encode(PutVhost(VhostRecord("theirs"))))
    assert told == []
    assert "theirs" in broker.vhosts
    await store.close()
