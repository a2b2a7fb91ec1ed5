"""queue.bind, exchange.bind and their ends, as a channel asks for them.

Decides their checks, the order and the words of these (RabbitMQ: rabbit_channel, binding_action;
observed: 3.10.8), and whether a change is transient (applied here and now) or durable (proposed).
Never replies. `done` is that of `mqd.broker.topology`.
"""

from __future__ import annotations

from mqd.amqp.replies import AmqpError, ChannelError, ReplyCode
from mqd.broker.channel import Channel
from mqd.broker.definitions import BindingDefinition
from mqd.broker.homes import Unanswered
from mqd.broker.topology import (
    Answer,
    QueueState,
    check_exclusive_access,
    check_reachable,
    not_default,
    settled,
)
from mqd.names import Resource


def bind(channel: Channel, binding: BindingDefinition, done: Answer) -> None:
    """queue.bind and exchange.bind."""
    vhost = channel.vhost
    source = _check_binding(channel, binding)
    if binding in vhost.bindings:
        done(None)
        return
    exchange = vhost.exchanges[source]
    exchange.validate_binding(binding)

    def bound(result: QueueState | int | AmqpError | Unanswered | None) -> None:
        if result is None:
            exchange.welcome(binding)  # first: what is published after bind-ok comes after it
        done(result)

    if vhost.is_durable(binding):
        vhost.broker.topology.put_binding(binding, settled(bound))
    else:
        vhost.apply_put_binding(binding)
        vhost.broker.homes.put(binding, lambda: bound(None))


def unbind(channel: Channel, binding: BindingDefinition, done: Answer) -> None:
    """queue.unbind and exchange.unbind; what is not bound is unbound already."""
    vhost = channel.vhost
    destination = vhost.queues.get(binding.destination)
    down = binding.destination_kind == "queue" and destination and not destination.is_reachable
    try:
        _check_binding(channel, binding, unbinding=True)
    except ChannelError as error:
        if error.code is ReplyCode.NOT_FOUND and not down:  # observed: 3.10.8
            done(None)
            return
        raise
    if binding not in vhost.bindings:
        done(None)
        return
    if binding.destination_kind == "queue":  # whose it is matters now (observed: 3.10.8)
        check_exclusive_access(channel, vhost.queues[binding.destination])
    if vhost.is_durable(binding):
        vhost.broker.topology.delete_binding(binding, settled(done))
    else:
        vhost.apply_delete_binding(binding)
        vhost.broker.homes.gone(binding, lambda: done(None))


def _check_binding(channel: Channel, binding: BindingDefinition, *, unbinding: bool = False) -> str:
    vhost = channel.vhost
    source = Resource("exchange", vhost.name, binding.source)
    destination = Resource(binding.destination_kind, vhost.name, binding.destination)
    vhost.require(channel.user, destination, "write")
    if binding.destination_kind == "exchange":
        not_default(binding.destination)
    not_default(binding.source)
    vhost.require(channel.user, source, "read")
    found = vhost.exchanges.get(binding.source)
    if found is not None and found.definition.type == "topic":
        vhost.require_topic(channel.user, binding.source, "read", binding.binding_key)
    if found is None:  # said before anything of the destination (observed: 3.10.8)
        raise ChannelError(ReplyCode.NOT_FOUND, f"no {source}")
    if binding.destination_kind == "queue":
        queue = vhost.queues.get(binding.destination)
        if queue is None:
            raise ChannelError(ReplyCode.NOT_FOUND, f"no {destination}")
        check_reachable(queue)
        if not unbinding:
            check_exclusive_access(channel, queue)
    elif binding.destination not in vhost.exchanges:
        raise ChannelError(ReplyCode.NOT_FOUND, f"no {destination}")
    return binding.source
