"""What a channel asks of a queue that lives on another node.

Decides what is checked here, before the home is asked: what the queue is called, who may do that,
whether the home can be reached (in that order, as for a queue that is here). Everything else the
home decides, by the same rules and in the same words. Never asked for a queue that is here: see
`there`.

`done` gets the result, or an AmqpError; it may be called before the function returns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mqd.amqp.fields import Table
from mqd.amqp.replies import AmqpError
from mqd.broker import consume as consume_here
from mqd.broker.channel import Channel
from mqd.broker.consume import check_tag, new_tag
from mqd.broker.consumers import Consumer
from mqd.broker.homes import MOVED, Fetched, Unanswered
from mqd.broker.message import Message
from mqd.broker.queues.remote import RemoteQueue
from mqd.broker.topology import actual_name, find_queue, purge_queue
from mqd.names import Resource

Done = Callable[[Any], None]


def there(channel: Channel, name: str) -> RemoteQueue | None:
    """The queue that a client means, if it is one of another node."""
    queue = channel.vhost.queues.get(name or channel.last_queue)
    return queue if isinstance(queue, RemoteQueue) else None


def _readable(channel: Channel, name: str) -> RemoteQueue:
    vhost = channel.vhost
    name = actual_name(channel, name)
    vhost.require(channel.user, Resource("queue", vhost.name, name), "read")
    queue = find_queue(channel, name)
    assert isinstance(queue, RemoteQueue)
    return queue


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
    queue = _readable(channel, name)
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
    queue = _readable(channel, name)

    def got(result: Fetched | AmqpError | Unanswered | None) -> None:
        if result is MOVED:
            _here(done, lambda: done(consume_here.get(channel, queue.name, no_ack=no_ack)))
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


def purge(channel: Channel, name: str, done: Done) -> None:
    """queue.purge; done(how many messages went)."""
    queue = _readable(channel, name)

    def purged(result: int | AmqpError | Unanswered) -> None:
        if result is MOVED:
            _here(done, lambda: done(purge_queue(channel, queue.name)))
        else:
            done(result)

    queue.ask(channel, lambda home, then: home.ask(channel, queue, "purge", 0, then), purged)


def _here(done: Done, call: Callable[[], object]) -> None:
    """Ask the queue that is here by now; nobody is there to catch what it raises."""
    try:
        call()
    except AmqpError as error:
        done(error)
