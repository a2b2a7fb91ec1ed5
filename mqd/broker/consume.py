"""basic.consume, basic.cancel and basic.get, as a channel asks for them.

Decides their checks and words (RabbitMQ: rabbit_channel; observed: 3.10.8). Never delivers:
queues do.
"""

from __future__ import annotations

from mqd.amqp.fields import Table
from mqd.amqp.replies import ChannelError, ConnectionError_, ReplyCode
from mqd.broker.channel import Channel
from mqd.broker.message import Message
from mqd.broker.queue_arguments import INTEGERS
from mqd.broker.queues.base import Queue
from mqd.broker.reply import PSEUDO_QUEUE, ReplyConsumer
from mqd.broker.topology import actual_name, find_queue
from mqd.names import Resource


def consume(
    channel: Channel,
    queue_name: str,
    tag: str,
    *,
    no_ack: bool,
    exclusive: bool,
    arguments: Table,
) -> tuple[str, Queue | None]:
    """basic.consume: (consumer tag, queue to drain after consume-ok was sent)."""
    vhost = channel.vhost
    check_tag(channel, tag)
    if queue_name == PSEUDO_QUEUE:
        return _consume_replies(channel, tag, no_ack=no_ack), None
    name = actual_name(channel, queue_name)
    vhost.require(channel.user, Resource("queue", vhost.name, name), "read")
    queue = find_queue(channel, name)
    _check_arguments(queue, arguments)
    queue.check_consumer(channel, arguments, no_ack=no_ack)
    tag = tag or new_tag(channel)
    _check_exclusive(queue, exclusive)
    consumer = channel.consumer_kind(
        tag,
        channel,
        queue,
        no_ack=no_ack,
        exclusive=exclusive,
        prefetch=channel.prefetch_count,
        arguments=arguments,
    )
    channel.consumers[tag] = consumer
    if vhost.tracing and not channel.is_served:  # its own node does
        vhost.tracer.fit(consumer)
    queue.add_consumer(consumer)
    return tag, queue


def check_tag(channel: Channel, tag: str) -> None:
    """Raise 530 for one that is in use."""
    if tag in channel.consumers:  # a reply consumer's tag is no tag here (observed: 3.10.8)
        raise ConnectionError_(ReplyCode.NOT_ALLOWED, f"attempt to reuse consumer tag '{tag}'")


def new_tag(channel: Channel) -> str:
    """For a consumer whose client gave it none."""
    return "amq.ctag-" + channel.vhost.broker.random_name()


def _consume_replies(channel: Channel, tag: str, *, no_ack: bool) -> str:
    if channel.reply_consumer is not None:
        raise ChannelError(ReplyCode.PRECONDITION_FAILED, "reply consumer already set")
    if not no_ack:
        raise ChannelError(ReplyCode.PRECONDITION_FAILED, "reply consumer cannot acknowledge")
    tag = tag or new_tag(channel)
    broker = channel.vhost.broker
    channel.reply_consumer = ReplyConsumer(tag, channel, broker.random_key(), broker.replies)
    return tag


def _check_exclusive(queue: Queue, exclusive: bool) -> None:
    if not queue.knows_exclusive:
        return
    if queue.exclusive_consumer is not None or (
        exclusive and (queue.consumers or queue.single_active)
    ):
        raise ChannelError(
            ReplyCode.ACCESS_REFUSED, f"{queue.definition.resource} in exclusive use"
        )


# What a consumer may ask of which kinds of queue, in the order in which 3.10.8 looks.
_ASKED = (
    ("x-priority", ("classic", "quorum")),
    ("x-cancel-on-ha-failover", ("classic",)),
    ("x-stream-offset", ("stream",)),
)


def _check_arguments(queue: Queue, arguments: Table) -> None:
    """Values of what the kind of queue knows, then what it does not (observed: 3.10.8).

    Arguments that are known to no kind of queue are taken.
    """
    given = [(key, arguments[key], kinds) for key, kinds in _ASKED if key in arguments]
    for key, field, kinds in given:
        if queue.kind not in kinds:
            continue
        if key == "x-priority" and field[0] not in INTEGERS:
            raise _refused(queue, key, f': "expected integer, got {field[0]}"')
        if key == "x-cancel-on-ha-failover" and field[0] != "bool":
            raise _refused(queue, key, f": {{unacceptable_type,{field[0]}}}")
    queue.check_arguments(arguments)
    for key, _, kinds in given:
        if queue.kind not in kinds:
            raise _refused(queue, key, f" of queue type rabbit_{queue.kind}_queue")


def _refused(queue: Queue, key: str, fault: str) -> ChannelError:
    return ChannelError(
        ReplyCode.PRECONDITION_FAILED, f"invalid arg '{key}' for {queue.definition.resource}{fault}"
    )


def cancel(channel: Channel, tag: str) -> None:
    """basic.cancel; a tag nobody has is cancelled already."""
    if channel.reply_consumer is not None and channel.reply_consumer.tag == tag:
        channel.reply_consumer.close()
        channel.reply_consumer = None
        return
    consumer = channel.consumers.pop(tag, None)
    if consumer is not None:
        consumer.queue.remove_consumer(consumer)
        channel.vhost.consumer_gone(consumer.queue)


# delivery tag, redelivered, message, content, ready messages left
Got = tuple[int, bool, Message, bytes, int]


def get(channel: Channel, queue_name: str, *, no_ack: bool) -> Got | None:
    """basic.get of a queue that is here: what was there, or None."""
    queue = readable(channel, queue_name)
    taken = queue.get()
    return None if taken is None else give(channel, queue, taken, no_ack=no_ack)


def readable(channel: Channel, queue_name: str) -> Queue:
    """A queue that this client may read."""
    vhost = channel.vhost
    name = actual_name(channel, queue_name)
    vhost.require(channel.user, Resource("queue", vhost.name, name), "read")
    return find_queue(channel, name)


def give(channel: Channel, queue: Queue, taken: tuple[int, Message, bool], *, no_ack: bool) -> Got:
    """What `Queue.get` took, to the client."""
    position, message, redelivered = taken
    tag = channel.last_tag = channel.last_tag + 1
    content = queue.shown(message)
    tracer = channel.vhost.tracer
    if channel.vhost.tracing and not channel.is_served:
        tracer.delivered(channel, queue.name, message.names, content, redelivered)
    if no_ack:
        queue.counts.fetched_silently += 1
        queue.acked(message, None)
    else:
        channel.unacked[tag] = (queue, message, position, None)
    return tag, redelivered, message, content, queue.ready_count
