"""Bindings: reading, binding, unbinding.

Decides the JSON of one and the key by which a path names it: the routing key and, when there are
arguments, a hash of them (RabbitMQ: rabbit_mgmt_format). What is bound is, by the
rules and in the words of AMQP, as the user who asks.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterable, Iterator
from typing import Any, Final
from urllib.parse import quote, quote_plus

from mqd.admin.homes import is_reached
from mqd.broker import bind
from mqd.broker.bindings import default_binding
from mqd.broker.definitions import BindingDefinition
from mqd.broker.exchanges.erlang_hash import portable_hash_of_table
from mqd.broker.topology import clean_name
from mqd.broker.vhost import VHost
from mqd.management import channel as channels
from mqd.management import exchanges, fields, lists
from mqd.management.access import listed_vhosts
from mqd.management.calls import CREATED, Answer, Call, bad_request, chunks, done, not_found

Json = Any

_DEFAULT: Final = "amq.default"
_KINDS: Final = {"q": "queue", "e": "exchange"}
_HASH_BYTES: Final = 4


def properties_key(binding: BindingDefinition) -> str:
    """How a path names it among those of its two ends."""
    key = quote_plus(binding.binding_key, safe="", errors="surrogateescape").replace("~", "%7E")
    if not binding.arguments:
        return key or "~"
    found = portable_hash_of_table(dict(sorted(binding.arguments.items())))
    digest = found.to_bytes(_HASH_BYTES, "big")
    return f"{key}~{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def row(binding: BindingDefinition) -> dict[str, Json]:
    """One as it is listed."""
    return {
        "source": binding.source,
        "vhost": binding.vhost,
        "destination": binding.destination,
        "destination_type": binding.destination_kind,
        "routing_key": binding.binding_key,
        "arguments": fields.shown(dict(sorted(binding.arguments.items()))),
        "properties_key": properties_key(binding),
    }


def _defaults(vhost: VHost) -> Iterator[BindingDefinition]:
    for name in sorted(vhost.queues):
        yield default_binding(vhost.name, name)


async def _all(call: Call) -> list[BindingDefinition]:
    names = [call.vhost.name] if "vhost" in call.names else listed_vhosts(call)
    found: list[BindingDefinition] = []
    for vhost in [call.broker.vhosts[name] for name in names]:
        for chunk in chunks(_defaults(vhost)):
            found += _seen(call, vhost, chunk)
            await asyncio.sleep(0)
        found += _seen(call, vhost, vhost.bindings)
    return found


def _seen(call: Call, vhost: VHost, found: Iterable[BindingDefinition]) -> list[BindingDefinition]:
    return [one for one in found if is_reached(call.ctx, vhost, one)]


async def listing(call: Call) -> Answer:
    """Of all vhosts, or of one; those of the default exchange first."""
    return await lists.of(call, await _all(call), row)


async def of_queue(call: Call) -> Answer:
    """What leads to a queue."""
    vhost, name = call.vhost, call.names["queue"]
    if name not in vhost.queues:
        raise not_found()
    found = [default_binding(vhost.name, name), *vhost.bindings.of_destination("queue", name)]
    return await lists.of(call, found, row)


async def of_source(call: Call) -> Answer:
    """What leaves an exchange."""
    vhost, name = call.vhost, exchanges.found(call).definition.name
    found = vhost.bindings.of_source(name) if name else list(_defaults(vhost))
    return await lists.of(call, _seen(call, vhost, found), row)


async def of_destination(call: Call) -> Answer:
    """What leads to an exchange."""
    vhost, name = call.vhost, exchanges.found(call).definition.name
    return await lists.of(call, vhost.bindings.of_destination("exchange", name), row)


def _ends(call: Call) -> tuple[str, str, str]:
    """Source, kind of the destination, destination: of the path."""
    source, kind = call.names["source"], _KINDS.get(call.names["kind"])
    if kind is None:
        raise not_found()
    return "" if source == _DEFAULT else source, kind, call.names["destination"]


def _between(call: Call) -> list[BindingDefinition]:
    vhost = call.vhost
    source, kind, destination = _ends(call)
    if not source:
        known = kind == "queue" and destination in vhost.queues
        return [default_binding(vhost.name, destination)] if known else []
    leading = vhost.bindings.of_destination(kind, destination)
    return [one for one in leading if one.source == source]


async def between(call: Call) -> Answer:
    """All of two ends, which need not exist."""
    return await lists.of(call, _between(call), row)


def _found(call: Call) -> BindingDefinition:
    key = call.names["key"]
    for one in _between(call):
        if properties_key(one) == key:
            return one
    raise not_found()


async def show(call: Call) -> Answer:
    return lists.one(call, row(_found(call)))


async def create(call: Call) -> Answer:
    """Bind; the answer says by which key it is named."""
    body = call.json()
    source, kind, destination = _ends(call)
    if call.names["vhost"] not in call.broker.vhosts:
        raise not_found("vhost_not_found")
    binding = BindingDefinition(
        call.names["vhost"],
        clean_name(source),
        kind,
        clean_name(destination),
        fields.short_text(body, "routing_key"),
        fields.arguments(body),
    )
    with channels.opened(call) as channel, channels.plainly():
        await channels.answered(channel, lambda done: bind.bind(channel, binding, done))
    where = quote(destination, safe="", errors="surrogateescape")
    place = f"{where}/{quote(properties_key(binding), safe='~')}"
    return Answer(CREATED, headers={"location": place})


async def delete(call: Call) -> Answer:
    """Unbind."""
    binding = _found(call)
    if not binding.source:
        raise bad_request("a binding of the default exchange cannot be removed")
    with channels.opened(call) as channel, channels.plainly():
        await channels.answered(channel, lambda done: bind.unbind(channel, binding, done))
    return done()
