"""Declaring and deleting, as a channel asks for it.

Decides the checks of exchange.* and queue.* methods, their order and their words (RabbitMQ:
rabbit_channel, handle_method; observed: 3.10.8), and whether a change is transient (applied here
and now) or durable (proposed; `done` comes when it is permanent). Bindings are in
`mqd.broker.bind`. Never replies: the caller turns the result into a method.

`done` gets the result, or an AmqpError; it may be called before the function returns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from mqd.amqp.fields import Table
from mqd.amqp.replies import AmqpError, ChannelError, ConnectionError_, ReplyCode
from mqd.broker.channel import Channel
from mqd.broker.definitions import ExchangeDefinition, QueueDefinition
from mqd.broker.equivalence import (
    check_equivalent,
    check_queue_arguments,
    check_queue_equivalent,
)
from mqd.broker.exchanges.registry import check_arguments, check_type
from mqd.broker.homes import ELSEWHERE, Unanswered
from mqd.broker.queue_arguments import check_server_named, queue_type
from mqd.broker.queues.base import Queue
from mqd.broker.queues.remote import RemoteQueue
from mqd.broker.reply import PREFIX, PSEUDO_QUEUE
from mqd.broker.vhost import VHost
from mqd.errors import ErrorCode, MqdError
from mqd.names import Resource
from mqd.policies.limits import MAX_QUEUES, limit_reached

Answer = Callable[["QueueState | int | AmqpError | Unanswered | None"], None]

DEFAULT_EXCHANGE = "operation not permitted on the default exchange"


@dataclass(frozen=True, slots=True)
class QueueState:
    """What queue.declare-ok says."""

    name: str
    ready_count: int
    consumer_count: int


def settled(
    done: Answer, result: QueueState | int | None = None
) -> Callable[[Exception | None], None]:
    """A port's `done` that passes the result, or says what became of the proposal."""

    def ended(error: Exception | None) -> None:
        done(result if error is None else _fault(error))

    return ended


def _fault(error: Exception) -> AmqpError:
    if isinstance(error, MqdError) and error.code is ErrorCode.NOT_FOUND:
        return ChannelError(ReplyCode.NOT_FOUND, error.detail)  # it went while this was proposed
    return ConnectionError_(ReplyCode.INTERNAL_ERROR, str(error))


def _declared(
    is_there: Callable[[], bool],
    again: Callable[[], None],
    done: Answer,
    result: QueueState | None = None,
) -> Callable[[Exception | None], None]:
    """`settled` for what another node may have declared at the same time: then this declare found
    it there."""
    otherwise = settled(done, result)

    def declared(error: Exception | None) -> None:
        taken = isinstance(error, MqdError) and error.code is ErrorCode.ALREADY_EXISTS
        if not (taken and is_there()):
            otherwise(error)
        else:
            _once_more(again, done)

    return declared


def _once_more(again: Callable[[], None], done: Answer) -> None:
    """Nobody is there to catch what it raises."""
    try:
        again()
    except AmqpError as fault:
        done(fault)


def not_default(exchange: str) -> None:
    """Raise 403 for what nobody may do with the default exchange."""
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
    not_default(name)
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
    not_default(wanted.name)
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
    again = partial(declare_exchange, channel, wanted, done)
    if wanted.durable:
        declared = _declared(lambda: wanted.name in vhost.exchanges, again, done)
        vhost.broker.topology.put_exchange(wanted, declared)
        return
    homes = vhost.broker.homes

    def claimed(refusal: AmqpError | None) -> None:
        if refusal is not None:
            done(refusal)
        elif wanted.name in vhost.exchanges:  # somebody was quicker
            homes.release(vhost.name, "exchange", wanted.name)
            _once_more(again, done)
        else:
            vhost.apply_put_exchange(wanted)
            homes.put(wanted, lambda: done(None))

    homes.claim(vhost.name, "exchange", wanted.name, claimed)


def delete_exchange(channel: Channel, name: str, *, if_unused: bool, done: Answer) -> None:
    """exchange.delete; one that is not there is deleted already."""
    vhost = channel.vhost
    name = clean_name(name)
    resource = Resource("exchange", vhost.name, name)
    not_default(name)
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
        vhost.broker.topology.delete_exchange(vhost.name, name, settled(done))
    else:
        vhost.apply_delete_exchange(name)
        vhost.broker.homes.gone(found.definition, lambda: done(None))


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
    check_reachable(queue)
    check_exclusive_access(channel, queue)
    return queue


def check_reachable(queue: Queue) -> None:
    """Raise 404 when the queue's home is down: 3.10.8 says so before anything else of it."""
    if isinstance(queue, RemoteQueue) and not queue.is_reachable:
        raise queue.down_error()


def check_exclusive_access(channel: Channel, queue: Queue) -> None:
    """Raise 405 when the queue is another connection's own, here or on another node."""
    if queue.definition.exclusive and queue.owner is not channel.connection:
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


def tell_state(channel: Channel, queue: Queue, done: Answer) -> None:
    """done of what queue.declare-ok says of a queue, which its home knows."""
    if not isinstance(queue, RemoteQueue):
        state = _state(queue)
        queue.prove(lambda holds: done(state) if holds else _tell_again(channel, queue, done))
        return

    def told(result: tuple[int, int] | AmqpError | Unanswered) -> None:
        if isinstance(result, tuple):
            done(QueueState(queue.name, *result))
        elif isinstance(result, AmqpError):
            done(result)
        else:
            _tell_again(channel, queue, done)

    queue.ask(channel, lambda home, then: home.ask(channel, queue, "state", 0, then), told)


def _tell_again(channel: Channel, queue: Queue, done: Answer) -> None:
    """Another queue has taken its place, or none."""
    now = channel.vhost.queues.get(queue.name)
    if channel.is_served:
        done(ELSEWHERE)  # its own node asks the new home
    elif now is None:
        done(ChannelError(ReplyCode.NOT_FOUND, f"no {queue.definition.resource}"))
    else:
        tell_state(channel, now, done)


def declare_passive(channel: Channel, name: str, done: Answer) -> None:
    """queue.declare passive."""
    if is_reply(name):
        done(_reply_state(channel, name))
        return
    name = clean_name(name)
    queue = find_queue(channel, name)  # an empty name is no name here (observed: 3.10.8)
    channel.last_queue = name
    tell_state(channel, queue, done)


def is_reply(name: str) -> bool:
    """Whether it is a name of direct reply-to, which no queue has."""
    return name == PSEUDO_QUEUE or name.startswith(PREFIX)


def _reply_state(channel: Channel, name: str) -> QueueState:
    """Direct reply-to names exist while somebody listens (observed: 3.10.8)."""
    vhost = channel.vhost
    if (
        name != PSEUDO_QUEUE
        and name not in vhost.replies
        and vhost.broker.homes.reply_to(name) is None
    ):
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
    if is_reply(name):
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
        check_reachable(found)
        _check_same(channel, found, durable, exclusive, auto_delete, arguments)
        channel.last_queue = name
        tell_state(channel, found, done)
        return
    _check_queue_limit(vhost, name)
    _check_dead_letter_access(channel, resource, arguments)
    is_kept = durable and not exclusive
    queue_id = vhost.broker.topology.new_queue_id() if is_kept else vhost.broker.transient_id()
    kind = queue_type(arguments)
    definition = QueueDefinition(
        queue_id, vhost.name, name, durable, auto_delete, exclusive, arguments, kind
    )
    check_queue_arguments(definition)
    channel.last_queue = name
    again = partial(
        declare_queue,
        channel,
        name,
        durable=durable,
        exclusive=exclusive,
        auto_delete=auto_delete,
        arguments=arguments,
        done=done,
    )
    if is_kept:
        _propose_queue(vhost, definition, again, done)
    else:
        _claim_queue(channel, definition, server_named, again, done)


def _propose_queue(
    vhost: VHost, definition: QueueDefinition, again: Callable[[], None], done: Answer
) -> None:
    """A new queue that outlives its connection and the node. again: when it is there after all."""
    name = definition.name
    placed = vhost.broker.homes.place(vhost, definition)
    if isinstance(placed, AmqpError):
        raise placed
    state = QueueState(name, 0, 0)
    declared = _declared(lambda: name in vhost.queues, again, done, state)
    vhost.broker.topology.put_queue(placed, declared)


def _claim_queue(
    channel: Channel,
    definition: QueueDefinition,
    server_named: bool,
    again: Callable[[], None],
    done: Answer,
) -> None:
    """A new one that is this node's alone. A name that was made here nobody else has."""
    vhost, name, exclusive = channel.vhost, definition.name, definition.exclusive
    homes = vhost.broker.homes

    def claimed(refusal: AmqpError | None) -> None:
        if refusal is not None:
            done(refusal)
        elif name in vhost.queues:  # somebody was quicker
            homes.release(vhost.name, "queue", name)
            _once_more(again, done)
        elif exclusive and channel.connection.pid not in vhost.broker.connections:
            homes.release(vhost.name, "queue", name)  # it is gone, and so would its queue be
        else:
            vhost.apply_put_queue(definition, channel.connection if exclusive else None)
            homes.put(definition, lambda: done(QueueState(name, 0, 0)))

    if server_named:
        claimed(None)
    else:
        homes.claim(vhost.name, "queue", name, claimed)


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
