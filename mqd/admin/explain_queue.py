"""Why a queue does not drain.

Decides by the live queue, its consumers and what they hold; reads, and changes nothing. What each
consumer waits for is looked at in the order in which the broker asks (`Ring.next`), so that the
reason told is the one that counts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from shlex import quote

from mqd.admin.explaining import Answer, Reason, at, many
from mqd.broker.consumers import Consumer
from mqd.broker.exchanges.delayed_message import DelayedMessageExchange
from mqd.broker.queues.base import Queue
from mqd.broker.queues.quorum import QuorumQueue
from mqd.broker.queues.rules import Overflow
from mqd.broker.queues.stream import StreamQueue

SHOWN_MAX = 10  # consumers that are told of one by one


def explain(queue: Queue, alarms: Collection[str]) -> Answer:
    """alarms: in effect on the node."""
    answer = Answer("queue", queue.name, queue.vhost.name, "", "")
    ready, unacked = queue.ready_count, queue.unacked_count
    stalled = [(consumer, reason) for consumer in queue.consumers if (reason := _stall(consumer))]
    late = {consumer for consumer, _ in stalled}
    ready_ones = [consumer for consumer in queue.consumers if consumer not in late]
    able = len(ready_ones)
    name = f"queue '{queue.name}'"
    waiting = f"{many(ready, 'message')} {'waits' if ready == 1 else 'wait'}"
    answer.reasons += [reason for _, reason in stalled[:SHOWN_MAX]]
    if len(stalled) > SHOWN_MAX:
        answer.reasons.append(
            Reason("more_consumers", f"{len(stalled) - SHOWN_MAX} more consumers take nothing")
        )
    if isinstance(queue, StreamQueue):
        answer.outcome = "stream"
        answer.says = (
            f"{name} is a stream: its {many(ready, 'message')} stay when they were read, until "
            "retention (x-max-age, x-max-length-bytes) drops them"
        )
    elif not ready and not unacked:
        answer.outcome, answer.says = "empty", f"{name} is empty: nothing waits in it"
        answer.reasons.clear()
    elif not ready:
        answer.outcome = "unacknowledged"
        answer.says = (
            f"{name} has given out all it has; {many(unacked, 'message')} "
            f"{'is' if unacked == 1 else 'are'} not acknowledged"
        )
    elif not queue.consumers:
        answer.outcome = "stuck"
        answer.says = f"{name} does not drain: {waiting} and it has no consumer"
        answer.reasons.insert(0, _no_consumer(queue))
    elif not able:
        answer.outcome = "stuck"
        count = len(queue.consumers)
        none = f"none of its {count} consumers takes" if count > 1 else "its only consumer takes no"
        answer.says = f"{name} does not drain: {waiting} and {none} more"
    else:
        answer.outcome = "draining"
        answer.says = (
            f"{name} drains: {waiting}, and {able} of {many(len(queue.consumers), 'consumer')} "
            f"{'takes' if able == 1 else 'take'} more"
        )
    answer.reasons += _ranked(ready_ones)
    answer.reasons += _beside(queue, alarms)
    return answer


def _no_consumer(queue: Queue) -> Reason:
    if queue.exclusive_consumer is None and queue.had_consumer:
        return Reason(
            "no_consumers",
            "it had consumers, which have gone: they were cancelled, or their connections closed",
            f"mqctl list_consumers {at(queue.vhost.name)}; mq-diagnostics log_tail",
        )
    return Reason(
        "no_consumers",
        "nobody consumes from it: start the consumer, and see that it names this queue and this "
        "virtual host",
        f"mqctl list_consumers {at(queue.vhost.name)}",
    )


def _who(consumer: Consumer) -> str:
    entry = consumer.channel.connection
    given = entry.user_provided_name
    return f"consumer '{consumer.tag}' of {given or entry.name}"


def _close(consumer: Consumer, why: str) -> str:
    return f"mqctl close_connection {quote(consumer.channel.connection.pid)} {quote(why)}"


def _stall(consumer: Consumer) -> Reason | None:
    """What keeps it from taking a message; None when nothing does."""
    entry = consumer.channel.connection
    who = _who(consumer)
    if consumer.waiting:
        active = consumer.queue.active_consumer
        tag = f"'{active.tag}'" if active is not None else "another one"
        return Reason(
            "single_active_consumer",
            f"{who} waits: the queue has a single active consumer, {tag}",
            _close(active, "hand over") if active is not None else "",
        )
    if entry.held:
        return Reason(
            "consumer_blocked",
            f"{who} published while an alarm was on: its connection is blocked, and its "
            "acknowledgements are not read",
            f"mqctl explain connection {quote(entry.pid)}",
        )
    if consumer.outlet.congested:
        return Reason(
            "consumer_unreachable",
            f"{who} does not read: what it was sent waits in the connection",
            _close(consumer, "does not read"),
        )
    if consumer.prefetch and consumer.unacked >= consumer.prefetch:
        return Reason(
            "prefetch_exhausted",
            f"{who} holds {many(consumer.unacked, 'message')} that it has not acknowledged, and "
            f"its prefetch is {consumer.prefetch}",
            _close(consumer, "does not acknowledge"),
        )
    if consumer.channel.is_full():
        held = len(consumer.channel.unacked)
        return Reason(
            "channel_prefetch_exhausted",
            f"{who}: its channel holds {many(held, 'message')} that it has not acknowledged, and "
            f"the channel's prefetch is {consumer.channel.global_prefetch_count}",
            _close(consumer, "does not acknowledge"),
        )
    return None


def _beside(queue: Queue, alarms: Collection[str]) -> Iterator[Reason]:
    """What else happens to its messages."""
    yield from owned(queue)
    yield from _got(queue)
    yield from _delayed(queue)
    yield from _dead_letters(queue)
    yield from _rules(queue)
    if alarms:
        names = " and ".join(sorted(alarms))
        yield Reason(
            "alarm",
            f"an alarm is on ({names}): nobody can publish, but consumers are served",
            "mq-diagnostics alarms",
        )


def owned(queue: Queue) -> Iterator[Reason]:
    """Who alone may use it."""
    if queue.owner is not None:
        yield Reason(
            "exclusive",
            f"it belongs to connection {queue.owner.name} alone: others are refused with 405 "
            "(RESOURCE_LOCKED)",
            f"mqctl explain connection {quote(queue.owner.pid)}",
        )
    if queue.exclusive_consumer is not None:
        yield Reason(
            "exclusive_consumer",
            f"{_who(queue.exclusive_consumer)} is exclusive: others are refused with 403",
            _close(queue.exclusive_consumer, "let others consume"),
        )


def _got(queue: Queue) -> Iterator[Reason]:
    """Messages that nobody consumes, but somebody has asked for."""
    taken: dict[str, int] = {}
    for entry in queue.vhost.broker.connections.values():
        for channel in entry.channels.values():
            count = sum(
                1 for holder, _, _, by in channel.unacked.values() if holder is queue and by is None
            )
            if count:
                taken[entry.pid] = taken.get(entry.pid, 0) + count
    for pid, count in taken.items():
        yield Reason(
            "got_unacknowledged",
            f"connection {pid} has got {many(count, 'message')} with basic.get and has not "
            "acknowledged them",
            f"mqctl close_connection {quote(pid)} 'does not acknowledge'",
        )


def _ranked(able: list[Consumer]) -> Iterator[Reason]:
    ranks = {one.priority for one in able}
    if len(ranks) > 1:
        lesser = sum(1 for one in able if one.priority < max(ranks))
        yield Reason(
            "consumer_priority",
            f"{many(lesser, 'consumer')} of lesser priority are given nothing while one of "
            f"priority {max(ranks)} takes more",
        )


def _delayed(queue: Queue) -> Iterator[Reason]:
    count = len(queue.vhost.delays)
    if not count:
        return
    exchanges = queue.vhost.exchanges
    sources = [b.source for b in queue.vhost.bindings.of_destination("queue", queue.name)]
    names = [name for name in sources if isinstance(exchanges.get(name), DelayedMessageExchange)]
    if names:
        yield Reason(
            "delayed",
            f"{many(count, 'message')} in this virtual host are not due yet, perhaps for this "
            f"queue: exchange '{names[0]}' delays",
        )


def _dead_letters(queue: Queue) -> Iterator[Reason]:
    rules, vhost = queue.rules, queue.vhost
    name = rules.dead_letter_exchange
    if name and name not in vhost.exchanges:
        yield Reason(
            "dead_letter_exchange_missing",
            f"its dead-letter exchange '{name}' is not there: messages that it rejects, expires or "
            "has no room for are lost",
            f"mqctl list_exchanges {at(vhost.name)} name type",
        )
    if isinstance(queue, QuorumQueue) and queue.owed_count:
        yield Reason(
            "dead_letters_owed",
            f"{many(queue.owed_count, 'dead letter')} stay here until a queue takes them "
            "(dead-letter-strategy at-least-once)",
            f"mqctl explain publish {at(vhost.name)} {quote(name or '')} "
            f"{quote(rules.dead_letter_routing_key or queue.name)}",
        )


def _rules(queue: Queue) -> Iterator[Reason]:
    rules = queue.rules
    policy = queue.policy
    named = [f"policy '{policy.name}'"] if policy is not None and policy.name else []
    if policy is not None and policy.operator_name:
        named.append(f"operator policy '{policy.operator_name}'")
    source = f" ({' and '.join(named)}, or its arguments)" if named else " (its arguments)"
    if rules.message_ttl_ms is not None:
        yield Reason(
            "message_ttl", f"messages expire after {rules.message_ttl_ms} ms in it{source}"
        )
    if is_full(queue):
        what = (
            "refuses new messages"
            if rules.overflow is not Overflow.DROP_HEAD
            else ("drops its oldest message for each that comes")
        )
        yield Reason("full", f"it is full, and {what}{source}")


def is_full(queue: Queue) -> bool:
    """Whether one message more is one too many."""
    rules = queue.rules
    return not isinstance(queue, StreamQueue) and (
        (rules.max_length is not None and queue.ready_count >= rules.max_length)
        or (rules.max_length_bytes is not None and queue.ready_bytes >= rules.max_length_bytes)
    )
