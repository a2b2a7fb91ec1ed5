"""Exchanges: reading, declaring, deleting.

Decides the JSON of one. What is declared and deleted is, by the rules and in the words of AMQP, as
the user who asks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from mqd.broker import topology
from mqd.broker.definitions import ExchangeDefinition
from mqd.broker.exchanges.base import Exchange
from mqd.management import channel as channels
from mqd.management import fields, lists
from mqd.management.access import listed_vhosts
from mqd.management.calls import Answer, Call, created, done, not_found

Json = Any

_DEFAULT: Final = "amq.default"


def row(exchange: Exchange) -> dict[str, Json]:
    """One as it is listed."""
    definition = exchange.definition
    found: dict[str, Json] = {
        "arguments": fields.shown(definition.arguments),
        "auto_delete": definition.auto_delete,
        "durable": definition.durable,
        "internal": definition.internal,
        "name": definition.name,
        "type": definition.type,
        "vhost": definition.vhost,
    }
    policy = getattr(exchange.policy, "name", None)
    if policy is not None:
        found["policy"] = str(policy)
    return found


def _all(call: Call) -> Iterator[Exchange]:
    names = [call.vhost.name] if "vhost" in call.names else listed_vhosts(call)
    for name in names:
        yield from call.broker.vhosts[name].exchanges.values()


def _key(exchange: Exchange) -> tuple[str, str]:
    return exchange.definition.vhost, exchange.definition.name


async def listing(call: Call) -> Answer:
    """Of all vhosts, or of one."""
    return await lists.of(
        call, _all(call), row, name=lambda exchange: exchange.definition.name, key=_key
    )


def name_of(call: Call) -> str:
    """Of the path."""
    name = call.names["exchange"]
    return "" if name == _DEFAULT else name


def found(call: Call) -> Exchange:
    """The exchange in the path. Raises Refused."""
    exchange = call.vhost.exchanges.get(name_of(call))
    if exchange is None:
        raise not_found()
    return exchange


async def show(call: Call) -> Answer:
    return lists.one(call, {**row(found(call)), "incoming": [], "outgoing": []})


async def put(call: Call) -> Answer:
    """Declare."""
    body = call.json()
    name = fields.checked_name("exchange", name_of(call))
    if call.names["vhost"] not in call.broker.vhosts:
        raise not_found("vhost_not_found")
    wanted = ExchangeDefinition(
        call.names["vhost"],
        topology.clean_name(name),
        fields.short_text(body, "type", "direct"),
        fields.flag(body, "durable", False),
        fields.flag(body, "auto_delete", False),
        fields.flag(body, "internal", False),
        fields.arguments(body),
    )
    is_new = wanted.name not in call.vhost.exchanges
    with channels.opened(call) as channel, channels.plainly():
        await channels.answered(
            channel, lambda done: topology.declare_exchange(channel, wanted, done)
        )
    return created(is_new)


async def delete(call: Call) -> Answer:
    name = found(call).definition.name
    if_unused = call.flag("if-unused")
    with channels.opened(call) as channel, channels.plainly():
        await channels.answered(
            channel,
            lambda done: topology.delete_exchange(channel, name, if_unused=if_unused, done=done),
        )
    return done()
