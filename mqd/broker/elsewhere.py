"""What a channel asks of a queue that may live on another node.

Decides what is checked here, before the home is asked: what the queue is called, who may do that,
whether the home can be reached (in that order, as for a queue that is here). Everything else the
home decides, by the same rules and in the same words.

Another node may have taken a queue over that seems to be here, and whose messages are in a log that
both have. So what such a queue says of itself (a message for basic.get, that there is none, how
many there were) is told when it is proved that it was still here (`Queue.prove`), else whoever has
it by now is asked. What basic.get took is the channel's until then, under a tag that no client is
told (`UNTOLD`), so that it goes back with the channel. What consumers are sent waits for nothing:
if another node has the queue by then, it delivers that again, and says so.

`done` gets the result, or an AmqpError; it may be called before the function returns.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from mqd.amqp.fields import Table
from mqd.amqp.replies import AmqpError, ChannelError, ConnectionError_, ReplyCode
from mqd.broker.channel import Channel
from mqd.broker.consume import check_tag, give, new_tag, readable
from mqd.broker.consumers import Consumer
from mqd.broker.homes import ELSEWHERE, MOVED, Fetched, Unanswered
from mqd.broker.message import Message
from mqd.broker.queues.base import Queue
from mqd.broker.queues.remote import RemoteQueue
from mqd.broker.topology import (
    Answer,
    actual_name,
    check_exclusive_access,
    check_reachable,
    clean_name,
    is_reply,
    settled,
)
from mqd.names import Resource

UNTOLD: Final = 0
Done = Callable[[Any], None]


def there(channel: Channel, name: str) -> RemoteQueue | None:
    """The queue that a client means, if it is one of another node."""
    queue = channel.vhost.queues.get(name or channel.last_queue)
    return queue if isinstance(queue, RemoteQueue) else None


def waits(channel: Channel, name: str) -> bool:
    """Whether what that queue answers has to be waited for."""
    queue = channel.vhost.queues.get(name or channel.last_queue)
    return queue is not None and (queue.is_remote or queue.must_prove)


def consume(
    channel: Channel,
    name: str,
    tag: str,
    *,
    no_ack: bool,
    exclusive: bool,
    arguments: Table,
    done: Done,
) -> None:
    """basic.consume; done(consumer tag)."""
    check_tag(channel, tag)
    queue = readable(channel, name)
    assert isinstance(queue, RemoteQueue)
    tag = tag or new_tag(channel)
    consumer = Consumer(
        tag,
        channel,
        queue,
        no_ack=no_ack,
        exclusive=exclusive,
        prefetch=channel.prefetch_count,
        arguments=arguments,
    )
    channel.consumers[tag] = consumer
    if channel.vhost.tracing:
        channel.vhost.tracer.fit(consumer)
    queue.add_consumer(consumer)

    def subscribed(refusal: AmqpError | None) -> None:
        if refusal is None:
            done(tag)
            return
        consumer.queue.remove_consumer(consumer)
        channel.consumers.pop(tag, None)
        done(refusal)

    queue.subscribe(consumer, subscribed)


def cancel(channel: Channel, consumer: Consumer, done: Done) -> None:
    """basic.cancel."""
    queue = consumer.queue
    assert isinstance(queue, RemoteQueue)

    def cancelled(_: object) -> None:
        channel.consumers.pop(consumer.tag, None)
        done(None)

    queue.cancel(consumer, cancelled)


def get(channel: Channel, name: str, *, no_ack: bool, done: Done) -> None:
    """basic.get; done of what `mqd.broker.consume.get` returns."""
    queue = readable(channel, name)
    again = partial(_again, channel, partial(get, channel, queue.name, no_ack=no_ack, done=done))
    if not isinstance(queue, RemoteQueue):
        get_here(
            channel,
            name,
            no_ack=no_ack,
            done=lambda result: again(done) if result is ELSEWHERE else done(result),
        )
        return

    def got(result: Fetched | AmqpError | Unanswered | None) -> None:
        if result is MOVED:
            again(done)
            return
        if not isinstance(result, Fetched):
            done(result)
            return
        arrival = result.arrival
        tag = channel.last_tag = channel.last_tag + 1
        names, content = arrival.names, arrival.content
        if channel.vhost.tracing:
            channel.vhost.tracer.delivered(channel, queue.name, names, content, arrival.redelivered)
        if not no_ack:
            channel.unacked[tag] = (queue, queue.took(arrival), arrival.tag, None)
        done((tag, arrival.redelivered, Message(names, content), content, result.left))

    queue.ask(channel, lambda home, then: home.get(channel, queue, no_ack, then), got)


def get_here(channel: Channel, name: str, *, no_ack: bool, done: Done) -> None:
    """basic.get of a queue that seems to be here; done(ELSEWHERE) when it was not."""
    queue = readable(channel, name)
    taken = queue.get()
    if taken is not None:
        channel.unacked[UNTOLD] = (queue, taken[1], taken[0], None)

    def proved(holds: bool) -> None:
        channel.unacked.pop(UNTOLD, None)
        if not channel.is_open:
            done(None)  # nobody hears it; what was taken went back
        elif not holds or queue.deleted:
            done(ELSEWHERE)
        elif taken is None:
            done(None)
        else:
            done(give(channel, queue, taken, no_ack=no_ack))

    queue.prove(proved)


def purge(channel: Channel, name: str, done: Done) -> None:
    """queue.purge; done(how many messages went)."""
    queue = readable(channel, name)
    again = partial(_again, channel, partial(purge, channel, queue.name, done))

    def purged(result: int | AmqpError | Unanswered) -> None:
        if result is MOVED or result is ELSEWHERE:
            again(done)
        else:
            done(result)

    if isinstance(queue, RemoteQueue):
        queue.ask(channel, lambda home, then: home.ask(channel, queue, "purge", 0, then), purged)
    else:
        purge_here(channel, name, purged)


def purge_here(channel: Channel, name: str, done: Done) -> None:
    """queue.purge of a queue that seems to be here; done(ELSEWHERE) when it was not."""
    queue = readable(channel, name)
    count = queue.purge()
    queue.prove(lambda holds: done(count if holds and not queue.deleted else ELSEWHERE))


def delete(channel: Channel, name: str, *, if_unused: bool, if_empty: bool, done: Answer) -> None:
    """queue.delete; `done` gets the number of ready messages that went."""
    if is_reply(name):
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
    check_reachable(queue)
    check_exclusive_access(channel, queue)
    _check_conditions(queue, if_unused=if_unused, if_empty=if_empty)
    again = partial(
        _again,
        channel,
        partial(delete, channel, name, if_unused=if_unused, if_empty=if_empty, done=done),
    )
    if isinstance(queue, RemoteQueue):
        flags = if_unused + 2 * if_empty
        vhost.delete_remote_queue(
            queue, channel, flags, lambda it: again(done) if it is MOVED else done(it)
        )
        return
    if queue.ignores_conditions:
        if_empty = if_unused = False
    if if_empty and queue.ready_count:
        raise ChannelError(ReplyCode.PRECONDITION_FAILED, f"{resource} not empty")
    if if_unused and queue.consumers:
        raise ChannelError(ReplyCode.PRECONDITION_FAILED, f"{resource} in use")
    count = queue.gone_count

    def proved(holds: bool) -> None:
        if holds:
            vhost.delete_queue(queue, settled(done, count))
        elif channel.is_served:
            done(ELSEWHERE)
        else:
            again(done)

    if if_empty or if_unused:
        queue.prove(proved)
    else:
        proved(True)


def _check_conditions(queue: Queue, *, if_unused: bool, if_empty: bool) -> None:
    """Which kinds know the flags of queue.delete. Raises ConnectionError_."""
    flag = "if-unused" if if_unused else "if-empty" if if_empty else None
    if flag is not None and not queue.deletes_on_condition:
        raise ConnectionError_(
            ReplyCode.NOT_IMPLEMENTED,
            f"cannot delete {queue.definition.resource}. queue.delete operations with {flag} flag "
            f"set are not supported by {queue.kind} queues",
        )


def _again(channel: Channel, call: Callable[[], object], done: Done) -> None:
    """Ask what has taken the place of the queue; nobody is there to catch what that raises."""
    if not channel.is_open:
        done(None)
        return
    try:
        call()
    except AmqpError as error:
        done(error)
