"""Objects have RabbitMQ's keys while clients work, and values of the same kinds."""

from __future__ import annotations

import json
from typing import Any

import mqd.embedded
from tests.management.shapes import LEFT_OUT, NOT_COUNTED, RECORDED, settled, traffic
from tests.unit.management.api import Api, settings

Json = Any
NODE = "mqd@localhost"

# keys whose place is a value: nodes' names, arguments, what a client says of itself
FREE = ("cluster_state", "client_properties", "arguments")
# what 3.10.8 does not have there
MORE = frozenset(("being_drained",))
# of nodes: what the stores and the Erlang runtime of 3.10.8 count
OF_NODES = ("io_", "mnesia_", "msg_store_", "queue_index_", "gc_bytes_reclaimed")


# of channels: which of these a delivery was is known of queues alone
OF_QUEUES = frozenset(("ack", "deliver", "deliver_no_ack", "get", "get_no_ack", "redeliver"))


def is_left_out(name: str, where: str) -> bool:
    plain = name.removesuffix("_details")
    in_stats = where.endswith("message_stats")
    return (
        name in LEFT_OUT
        or (in_stats and plain in NOT_COUNTED)
        or (where.startswith("node") and name.startswith(OF_NODES))
        or (where == "exchange" and name == "message_stats")
        or (where.startswith("channel") and in_stats and plain in OF_QUEUES)
    )


def different(theirs: Json, ours: Json, where: str) -> list[str]:
    """Paths of what is not there, is too much, or of another kind."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        if where.rpartition(".")[2] in FREE:
            return []
        found = []
        for name, kind in theirs.items():
            if name in ours:
                found += different(kind, ours[name], f"{where}.{name}")
            elif not is_left_out(name, where):
                found.append(f"{where}.{name}: not there")
        more = ours.keys() - theirs.keys() - MORE
        return found + [f"{where}.{name}: not theirs" for name in more]
    if isinstance(theirs, list) and isinstance(ours, list):
        return different(theirs[0], ours[0], where) if theirs and ours else []
    if "nothing" in (theirs, ours) or theirs == ours:
        return []
    return [f"{where}: {ours}, not {theirs}"]


def test_the_shapes() -> None:
    port, config = settings(collect_statistics_interval="100")
    theirs = json.loads(RECORDED.read_text())
    with mqd.embedded.Broker(plugins=["rabbitmq_management"], config=config, node=NODE) as broker:
        api = Api(port)
        with traffic(broker.port) as connection:
            ours = settled(api, NODE, connection)
    found = [text for name in theirs for text in different(theirs[name], ours[name], name)]
    assert "\n".join(found) == ""
