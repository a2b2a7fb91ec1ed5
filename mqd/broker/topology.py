"""Declaring, binding and deleting, as a channel asks for it.

Decides the checks of exchange.* and queue.* methods, their order and their words (RabbitMQ:
rabbit_channel, handle_method; observed: 3.10.8), and whether a change is transient (applied here
and now) or durable (proposed; `done` comes when it is permanent). Never replies: the caller turns
the result into a method.

`done` gets the result, or an AmqpError; it may be called before the function returns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mqd.amqp.fields import Table
from mqd.amqp.replies import AmqpError, ChannelError, ConnectionError_, ReplyCode
from mqd.broker.channel import Channel
from mqd.broker.definitions import BindingDefinition, ExchangeDefinition, QueueDefinition
from mqd.broker.equivalence import (
    check_equivalent,
    check_queue_arguments,
    check_queue_equivalent,
)
from mqd.broker.exchanges.registry import check_arguments, check_type
from mqd.broker.queue_arguments import check_server_named, queue_type
from mqd.broker.queues.base import Queue
from mqd.broker.reply import PREFIX, PSEUDO_QUEUE
from mqd.broker.vhost import VHost
from mqd.names import Resource
from mqd.policies.limits import MAX_QUEUES, limit_reached

Answer = Callable[["QueueState | int | AmqpError | None"], None]

DEFAULT_EXCHANGE = "operation not permitted on the default exchange"


@dataclass(frozen=True, slots=True)
class QueueState:
    """What queue.declare-ok says."""

    name: str
    ready_count: int
    consumer_count: int


def _settled(
    done: Answer, result: QueueState | int | None = None
) -> Callable[[Exception | None], None]:
    """A port's `done` that passes the result, or says what became of the proposal."""

    def settled(error: Exception | None) -> None:
        if error is None:
            done(result)
        else:
            done(ConnectionError_(ReplyCode.INTERNAL_ERROR, str(error)))

    return settled


def _not_default(exchange: str) -> None:
    if not exchange:
        raise ChannelError(ReplyCode.ACCESS_REFUSED, DEFAULT_EXCHANGE)


def _not_reserved(kind: str, name: str) -> None:
    if name.startswith("amq."):
        raise ChannelError(
            ReplyCode.ACCESS_REFUSED, f"{kind} name '{name}' contains reserved prefix 'amq.*'"
        )


def clean_name(name: str) -> str:
    """A name of an entity without CR and LF (RabbitMQ: strip_cr_lf)."""
    return name.replace("\r", "").replace("\n", "")


# -- exchanges ----------------------------------------------------------------------------------


def find_exchange(channel: Channel, name: str) -> ExchangeDefinition:
    """exchange.declare passive. Raises ChannelError 404."""
    _not_default(name)
    found = channel.vhost.exchanges.get(name)
    if found is None:
        raise ChannelError(
            ReplyCode.NOT_FOUND, f"no {Resource('exchange', channel.vhost.name, name)}"
        )
    return found.definition


def declare_exchange(channel: Channel, wanted: ExchangeDefinition, done: Answer) -> None:
    """exchange.declare."""
    vhost = channel.vhost
    types = vhost.broker.exchange_types
    kind = check_type(wanted.type, types, vhost.broker.knows_exchange_type)
    _not_default(wanted.name)
    resource = wanted.resource
    vhost.require(channel.user, resource, "configure")
    found = vhost.exchanges.get(wanted.name)
    if found is not None:
        check_equivalent(found.definition, wanted)
        done(None)
        return
    _not_reserved("exchange", wanted.name)
    check_arguments(resource, wanted.arguments)
    alternate = wanted.arguments.get("alternate-exchange")
    if alternate is not None:
        vhost.require(channel.user, resource, "read")
        name = alternate[1].decode("utf-8", "surrogateescape")
        vhost.require(channel.user, Resource("exchange", vhost.name, name), "write")
    kind.validate(wanted, types)
    if wanted.durable:
        vhost.broker.topology.put_exchange(wanted, _settled(done))
    else:
        vhost.apply_put_exchange(wanted)
        done(None)


def delete_exchange(channel: Channel, name: str, *, if_unused: bool, done: Answer) -> None:
    """exchange.delete; one that is not there is deleted already."""
    vhost = channel.vhost
    name = clean_name(name)
    resource = Resource("exchange", vhost.name, name)
    _not_default(name)
    if name.startswith("amq."):
        # observed: 3.10.8 — checked by prefix, whether the exchange exists or not
        raise ChannelError(ReplyCode.ACCESS_REFUSED, f"deletion of system {resource} not allowed")
    vhost.require(channel.user, resource, "configure")
    found = vhost.exchanges.get(name)
    if found is None:
        done(None)
        return
    if if_unused and vhost.bindings.has_source(name):
        raise ChannelError(ReplyCode.PRECONDITION_FAILED, f"{resource} in use")
    if found.definition.durable:
        vhost.broker.topology.delete_exchange(vhost.name, name, _settled(done))
    else:
        vhost.apply_delete_exchange(name)
        done(None)


# -- bindings -----------------------------------------------------------------------------------


def bind(channel: Channel, binding: BindingDefinition, done: Answer) -> None:
    """queue.bind and exchange.bind."""
    vhost = channel.vhost
    source = _check_binding(channel, binding)
    if binding in vhost.bindings:
        done(None)
        return
    exchange = vhost.exchanges[source]
    exchange.validate_binding(binding)

    def bound(result: QueueState | int | AmqpError | None) -> None:
        if result is None:
            exchange.welcome(binding)  # first: what is published after bind-ok comes after it
        done(result)

    if vhost.is_durable(binding):
        vhost.broker.topology.put_binding(binding, _settled(bound))
    else:
        vhost.apply_put_binding(binding)
        bound(None)


def unbind(channel: Channel, binding: BindingDefinition, done: Answer) -> None:
    """queue.unbind and exchange.unbind; what is not bound is unbound already."""
    vhost = channel.vhost
    try:
        _check_binding(channel, binding, unbinding=True)
    except ChannelError as error:
        if error.code is ReplyCode.NOT_FOUND:  # observed: 3.10.8
            done(None)
            return
        raise
    if binding not in vhost.bindings:
        done(None)
        return
    if binding.destination_kind == "queue":  # whose it is matters now (observed: 3.10.8)
        check_exclusive_access(channel, vhost.queues[binding.destination])
    if vhost.is_durable(binding):
        vhost.broker.topology.delete_binding(binding, _settled(done))
    else:
        vhost.apply_delete_binding(binding)
        done(None)


def _check_binding(channel: Channel, binding: BindingDefinition, *, unbinding: bool = False) -> str:
    vhost = channel.vhost
    source = Resource("exchange", vhost.name, binding.source)
    destination = Resource(binding.destination_kind, vhost.name, binding.destination)
    vhost.require(channel.user, destination, "write")
    if binding.destination_kind == "exchange":
        _not_default(binding.destination)
    _not_default(binding.source)
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
        if not unbinding:
            check_exclusive_access(channel, queue)
    elif binding.destination not in vhost.exchanges:
        raise ChannelError(ReplyCode.NOT_FOUND, f"no {destination}")
    return binding.source


# -- queues -------------------------------------------------------------------------------------


def actual_name(channel: Channel, name: str) -> str:
    """An empty name stands for the queue the channel declared last."""
    if name:
        return name
    if not channel.last_queue:
        raise ChannelError(ReplyCode.NOT_FOUND, "no previously declared queue")
    return channel.last_queue


def find_queue(channel: Channel, name: str) -> Queue:
    """A queue this connection may use. Raises ChannelError 404, 405."""
    queue = channel.vhost.queues.get(name)
    if queue is None:
        raise ChannelError(ReplyCode.NOT_FOUND, f"no {Resource('queue', channel.vhost.name, name)}")
    check_exclusive_access(channel, queue)
    return queue


def check_exclusive_access(channel: Channel, queue: Queue) -> None:
    """Raise 405 when the queue is another connection's own."""
    if queue.owner is not None and queue.owner is not channel.connection:
        raise locked(queue)


def locked(queue: Queue) -> ChannelError:
    """The 405 of a queue that is another's, or declared otherwise."""
    return ChannelError(
        ReplyCode.RESOURCE_LOCKED,
        f"cannot obtain exclusive access to locked {queue.definition.resource}. It could be "
        "originally declared on another connection or the exclusive property value does not match "
        "that of the original declaration.",
    )


def _state(queue: Queue) -> QueueState:
    queue.use()
    if queue.timed:
        queue.expire(queue.vhost.broker.clock.monotonic_ms())
    return QueueState(queue.name, queue.ready_count, len(queue.consumers))


def declare_passive(channel: Channel, name: str) -> QueueState:
    """queue.declare passive."""
    if _is_reply(name):
        return _reply_state(channel, name)
    name = clean_name(name)
    queue = find_queue(channel, name)  # an empty name is no name here (observed: 3.10.8)
    channel.last_queue = name
    return _state(queue)


def _is_reply(name: str) -> bool:
    return name == PSEUDO_QUEUE or name.startswith(PREFIX)


def _reply_state(channel: Channel, name: str) -> QueueState:
    """Direct reply-to names exist while somebody listens (observed: 3.10.8)."""
    if name != PSEUDO_QUEUE and name not in channel.vhost.replies:
        raise ChannelError(ReplyCode.NOT_FOUND, f"no {Resource('queue', channel.vhost.name, name)}")
    return QueueState(name, 0, 1)


def declare_queue(
    channel: Channel,
    name: str,
    *,
    durable: bool,
    exclusive: bool,
    auto_delete: bool,
    arguments: Table,
    done: Answer,
) -> None:
    """queue.declare."""
    vhost = channel.vhost
    if _is_reply(name):
        done(_reply_state(channel, name))
        return
    name = clean_name(name)
    arguments = _with_type(vhost, durable, exclusive, auto_delete, arguments)
    server_named = not name
    if server_named:
        check_server_named(arguments)
        name = "amq.gen-" + vhost.broker.random_name()
    resource = Resource("queue", vhost.name, name)
    vhost.require(channel.user, resource, "configure")
    if not server_named:
        _not_reserved("queue", name)
    found = vhost.queues.get(name)
    if found is not None:
        _check_same(channel, found, durable, exclusive, auto_delete, arguments)
        channel.last_queue = name
        done(_state(found))
        return
    _check_queue_limit(vhost, name)
    _check_dead_letter_access(channel, resource, arguments)
    permanent = durable and not exclusive
    queue_id = vhost.broker.topology.new_queue_id() if permanent else vhost.broker.transient_id()
    definition = QueueDefinition(
        queue_id,
        vhost.name,
        name,
        durable,
        auto_delete,
        exclusive,
        arguments,
        queue_type(arguments),
    )
    check_queue_arguments(definition)
    channel.last_queue = name
    state = QueueState(name, 0, 0)
    if permanent:
        vhost.broker.topology.put_queue(definition, _settled(done, state))
    else:
        vhost.apply_put_queue(definition, channel.connection if exclusive else None)
        done(state)


def _with_type(
    vhost: VHost, durable: bool, exclusive: bool, auto_delete: bool, arguments: Table
) -> Table:
    """A queue that names no type has its vhost's, unless that type cannot be what is asked for."""
    kind = vhost.default_queue_type
    if kind is None or "x-queue-type" in arguments:
        return arguments
    if kind != "classic" and (exclusive or auto_delete or not durable):
        return arguments
    return {**arguments, "x-queue-type": ("longstr", kind.encode())}


def _check_queue_limit(vhost: VHost, name: str) -> None:
    limit = limit_reached(vhost.limits, MAX_QUEUES, len(vhost.queues))
    if limit is not None:
        raise ChannelError(
            ReplyCode.PRECONDITION_FAILED,
            f"cannot declare queue '{name}': queue limit in vhost '{vhost.name}' ({limit}) is "
            "reached",
        )


def _check_same(
    channel: Channel,
    queue: Queue,
    durable: bool,
    exclusive: bool,
    auto_delete: bool,
    arguments: Table,
) -> None:
    check_exclusive_access(channel, queue)
    check_queue_equivalent(queue.definition, durable, auto_delete, exclusive, arguments)


def _check_dead_letter_access(channel: Channel, resource: Resource, arguments: Table) -> None:
    dead_letter = arguments.get("x-dead-letter-exchange")
    if dead_letter is None or dead_letter[0] != "longstr":
        return
    vhost = channel.vhost
    vhost.require(channel.user, resource, "read")
    name = dead_letter[1].decode("utf-8", "surrogateescape")
    vhost.require(channel.user, Resource("exchange", vhost.name, name), "write")


def purge_queue(channel: Channel, name: str) -> int:
    """queue.purge; returns how many messages went."""
    name = actual_name(channel, name)
    vhost = channel.vhost
    vhost.require(channel.user, Resource("queue", vhost.name, name), "read")
    return find_queue(channel, name).purge()


def delete_queue(
    channel: Channel, name: str, *, if_unused: bool, if_empty: bool, done: Answer
) -> None:
    """queue.delete; `done` gets the number of ready messages that went."""
    if _is_reply(name):
        done(0)
        return
    name = actual_name(channel, clean_name(name))
    vhost = channel.vhost
    resource = Resource("queue", vhost.name, name)
    vhost.require(channel.user, resource, "configure")
    queue = vhost.queues.get(name)
    if queue is None:
        done(0)
        return
    check_exclusive_access(channel, queue)
    _check_conditions(queue, if_unused=if_unused, if_empty=if_empty)
    if queue.ignores_conditions:
        if_empty = if_unused = False
    if if_empty and queue.ready_count:
        raise ChannelError(ReplyCode.PRECONDITION_FAILED, f"{resource} not empty")
    if if_unused and queue.consumers:
        raise ChannelError(ReplyCode.PRECONDITION_FAILED, f"{resource} in use")
    vhost.delete_queue(queue, _settled(done, queue.gone_count))


def _check_conditions(queue: Queue, *, if_unused: bool, if_empty: bool) -> None:
    """Which kinds know the flags of queue.delete. Raises ConnectionError_."""
    flag = "if-unused" if if_unused else "if-empty" if if_empty else None
    if flag is not None and not queue.deletes_on_condition:
        raise ConnectionError_(
            ReplyCode.NOT_IMPLEMENTED,
            f"cannot delete {queue.definition.resource}. queue.delete operations with {flag} flag "
            f"set are not supported by {queue.kind} queues",
        )
