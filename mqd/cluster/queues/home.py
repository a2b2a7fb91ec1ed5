"""The home of queues on another node, from here: what is sent to it and what comes back.

Theory. One `PeerHome` stands for a node; what it has of a link ends with it. Publishes to the
queues of one vhost go in one stream, numbered by both ends by counting, and are confirmed by number
as a client's are: up to one, or one by one. A channel that has consumers or holds messages there is
opened there once (`ChannelHold`) and known by a number. What a channel settles gathers for a turn
and goes before whatever is sent next, so that the node sees it in order. Deliveries are credited
when the client's own socket takes more, so that no more than a window is on its way.

Decides that. Never decides what becomes of a queue whose home is lost: `RemoteQueue` does.
"""

from __future__ import annotations

import json
import struct
from collections import deque
from typing import TYPE_CHECKING, Any

from mqd import limits
from mqd.amqp.fields import to_json
from mqd.broker.channel import Channel
from mqd.broker.consumers import Consumer
from mqd.broker.homes import LOST, Arrival, Done, Fetched
from mqd.broker.queues.remote import RemoteQueue
from mqd.cluster.queues import wire
from mqd.cluster.queues.line import Line
from mqd.cluster.queues.wire import Kind, record, told

if TYPE_CHECKING:
    from mqd.broker.broker import Broker

_NAMES_MAX = 4096  # remembered, so that equal ones are the same object
_HOW = {how: number for number, how in enumerate(wire.HOWS)}


class _Stream:
    """Publishes of one vhost on their way."""

    __slots__ = ("number", "open", "order", "sent")

    def __init__(self, number: int) -> None:
        self.number = number
        self.sent = 0
        self.order: deque[int] = deque()
        self.open: dict[int, tuple[RemoteQueue, int, int]] = {}  # queue, ticket, bytes

    def upto(self, number: int) -> list[tuple[RemoteQueue, int, int]]:
        """Those up to a number that are open; they are no more."""
        found = []
        while self.order and self.order[0] <= number:
            one = self.open.pop(self.order.popleft(), None)
            if one is not None:
                found.append(one)
        return found


class ChannelHold:
    """What one channel has at one node: `mqd.broker.homes.Hold`."""

    def __init__(self, home: PeerHome, channel: Channel, number: int) -> None:
        self.number = number
        self.channel = channel
        self.consumers: dict[int, Consumer] = {}
        self.is_open = True
        self._home = home
        self._settled: list[tuple[str, list[int]]] = []
        self._taken = 0
        self._taken_bytes = 0
        self._parked = False

    def settle(self, tag: int, how: str) -> None:
        if not self.is_open:
            return
        settled = self._settled
        if not settled:
            self._home.dirty(self)
        if settled and settled[-1][0] == how:
            settled[-1][1].append(tag)
        else:
            settled.append((how, [tag]))

    def flush(self) -> None:
        """Write what gathered."""
        settled, self._settled = self._settled, []
        for how, tags in settled:
            head = wire.SETTLE.pack(self.number, _HOW[how])
            body = head + struct.pack(f">{len(tags)}Q", *tags)
            self._home.line.write(record(Kind.SETTLE, body))

    def limit(self, count: int) -> None:
        if self.is_open:
            self._home.write(record(Kind.LIMIT, wire.PAIR.pack(self.number, count)))

    def close(self) -> None:
        if self.is_open:
            self._home.write(record(Kind.CLOSE, wire.PAIR.pack(self.number, 0)))
            self._home.closed(self)
            self.is_open = False

    def took(self, size: int) -> None:
        """A delivery reached the channel: allow for others when the client takes them."""
        self._taken += 1
        self._taken_bytes += size
        if (
            self._taken * 2 >= limits.REMOTE_WINDOW_MESSAGES
            or self._taken_bytes * 2 >= limits.REMOTE_WINDOW_BYTES
        ):
            if not self.channel.outlet.congested:
                self._credit()
            elif not self._parked:
                self._parked = True
                self.channel.outlet.park(self._unpark)

    def _unpark(self) -> None:
        self._parked = False
        self._credit()

    def _credit(self) -> None:
        if self.is_open:
            body = wire.CREDIT.pack(self.number, self._taken, self._taken_bytes)
            self._taken = self._taken_bytes = 0
            self._home.write(record(Kind.CREDIT, body))


class PeerHome:
    """See the file's charter. `mqd.broker.homes.Home`."""

    def __init__(self, broker: Broker, line: Line) -> None:
        self.node = line.node
        self.line = line
        self.is_up = False
        self._broker = broker
        self._forget()

    def _forget(self) -> None:
        self._streams: dict[str, _Stream] = {}
        self._by_number: list[_Stream] = []
        self._refs: dict[RemoteQueue, bytes] = {}
        self._begun: set[RemoteQueue] = set()  # of which the node heard `again`
        self._holds: dict[int, ChannelHold] = {}
        self._hold_number = 0
        self._questions: dict[int, Done] = {}
        self._question = 0
        self._consumer_number = 0
        self._numbers: dict[Consumer, tuple[ChannelHold, int]] = {}
        self._dirty: list[ChannelHold] = []
        self._open_bytes = 0
        self._pressed = False
        self._awaits_relief = False
        self._names: dict[bytes, bytes] = {}

    # -- the link -----------------------------------------------------------------------------

    def up(self) -> None:
        """There is a link, and nothing went over it yet. The caller tells the queues."""
        self.is_up = True

    def down(self) -> None:
        """It is gone: everything asked is answered by LOST, what a queue that does not survive was
        sent is rejected. The caller tells the queues, then ends the turn."""
        self.is_up = False
        self.line.drop()
        streams, questions = self._by_number, self._questions
        for hold in self._holds.values():
            hold.is_open = False
            hold.channel.remotes.pop(self.node, None)
        pressed = self._pressed
        self._forget()
        for stream in streams:
            for queue, ticket, _ in stream.open.values():
                queue.unanswered(ticket)
        for done in questions.values():
            done(LOST)
        if pressed:
            self._broker.flow.relieve()

    # -- out ----------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Behind all that was settled."""
        if self._dirty:
            self._write_settled()
        self.line.write(data)

    def dirty(self, hold: ChannelHold) -> None:
        """It has something to settle."""
        if not self._dirty:
            self._broker.turn.confirms.append(self._write_settled)
        self._dirty.append(hold)

    def _write_settled(self) -> None:
        dirty, self._dirty = self._dirty, []
        for hold in dirty:
            hold.flush()

    def _ref(self, queue: RemoteQueue) -> bytes:
        ref = self._refs.get(queue)
        if ref is None:
            if len(self._refs) > _NAMES_MAX:
                self._refs.clear()
            ref = self._refs[queue] = wire.queue_ref(queue.vhost.name, queue.name)
        return ref

    def publish(
        self,
        queue: RemoteQueue,
        ticket: int,
        names: bytes,
        content: bytes,
        persistent: bool,
        returns: int = 0,
    ) -> None:
        stream = self._stream(queue.vhost.name)
        if queue.survives and queue not in self._begun:
            self.again(queue)
        number = stream.sent = stream.sent + 1
        size = len(content)
        stream.order.append(number)
        stream.open[number] = (queue, ticket, size)
        ref = self._ref(queue)
        flags = wire.PERSISTENT if persistent else 0
        if queue.survives:
            flags |= wire.NUMBERED
        if returns:
            flags |= min(returns, wire.RETURNS_MAX) << wire.RETURNS_SHIFT
        head = wire.PUBLISH.pack(stream.number, flags, ticket, len(ref), len(names))
        self.write(record(Kind.PUBLISH, b"".join((head, ref, names, content))))
        self._open_bytes += size
        if self._open_bytes > limits.REMOTE_UNANSWERED_BYTES_MAX or self.line.congested:
            self._broker.flow.hits += 1
            self._pressed = True
            self._await_relief()

    def again(self, queue: RemoteQueue) -> None:
        stream = self._stream(queue.vhost.name)
        if len(self._begun) > _NAMES_MAX:
            self._begun = {one for one in self._begun if not one.deleted}
        self._begun.add(queue)
        self.write(record(Kind.AGAIN, wire.AGAIN.pack(stream.number) + self._ref(queue)))

    def _stream(self, vhost: str) -> _Stream:
        stream = self._streams.get(vhost)
        if stream is None:
            stream = self._streams[vhost] = _Stream(len(self._by_number))
            self._by_number.append(stream)
            origin = self._broker.origin.hex()
            self.line.write(told(Kind.STREAM, stream.number, vhost, origin))
        return stream

    def _await_relief(self) -> None:
        if self.line.congested and not self._awaits_relief:
            self._awaits_relief = True
            self.line.on_relief(self._relieved)

    def _relieved(self) -> None:
        self._awaits_relief = False
        self._relieve()

    def _relieve(self) -> None:
        """If what was too much is so no more."""
        if not self._pressed:
            return
        if self.line.congested:
            self._await_relief()
        elif self._open_bytes <= limits.REMOTE_UNANSWERED_BYTES_MAX // 2:
            self._pressed = False
            self._broker.flow.relieve()
            self._broker.turn.end_soon()

    # -- asking -------------------------------------------------------------------------------

    def _ask(self, done: Done) -> int:
        self._question += 1
        self._questions[self._question] = done
        return self._question

    def hold(self, channel: Channel) -> ChannelHold:
        """What the channel has there; opened when it has nothing yet."""
        found = channel.remotes.get(self.node)
        if isinstance(found, ChannelHold) and found.is_open:
            return found
        self._hold_number += 1
        hold = ChannelHold(self, channel, self._hold_number)
        self._holds[hold.number] = channel.remotes[self.node] = hold
        entry = channel.connection
        who = (channel.vhost.name, channel.user.name, entry.pid, entry.name, channel.pid)
        what = (channel.number, channel.global_prefetch_count)
        self.write(told(Kind.OPEN, hold.number, *who, *what))
        return hold

    def closed(self, hold: ChannelHold) -> None:
        """It is no more."""
        self._holds.pop(hold.number, None)
        for consumer in hold.consumers.values():
            self._numbers.pop(consumer, None)

    def consume(self, consumer: Consumer, done: Done) -> None:
        hold = self.hold(consumer.channel)
        self._consumer_number += 1
        number = self._consumer_number
        hold.consumers[number] = consumer
        self._numbers[consumer] = (hold, number)

        def answered(result: Any) -> None:
            if result is not None:
                hold.consumers.pop(number, None)
                self._numbers.pop(consumer, None)
            done(result)

        who = (self._ask(answered), hold.number, number, consumer.tag, consumer.queue.name)
        how = (consumer.no_ack, consumer.exclusive, consumer.prefetch)
        self.write(told(Kind.CONSUME, *who, *how, to_json(consumer.arguments)))

    def cancel(self, consumer: Consumer, done: Done) -> None:
        found = self._numbers.pop(consumer, None)
        if found is None or not found[0].is_open:
            done(None)
            return
        hold, number = found

        def answered(result: object) -> None:
            hold.consumers.pop(number, None)
            done(None)

        self.write(told(Kind.CANCEL, self._ask(answered), hold.number, consumer.tag))

    def leave(self, consumer: Consumer) -> None:
        found = self._numbers.get(consumer)
        self.forget(consumer)
        if found is not None and found[0].is_open:
            question = self._ask(lambda _: None)
            self.write(told(Kind.CANCEL, question, found[0].number, consumer.tag))

    def forget(self, consumer: Consumer) -> None:
        hold, number = self._numbers.pop(consumer, (None, 0))
        if hold is not None:
            hold.consumers.pop(number, None)

    def get(self, channel: Channel, queue: RemoteQueue, no_ack: bool, done: Done) -> None:
        hold = self.hold(channel)
        self.write(told(Kind.GET, self._ask(done), hold.number, queue.name, no_ack))

    def ask(
        self, channel: Channel | None, queue: RemoteQueue, what: str, flags: int, done: Done
    ) -> None:
        number = self.hold(channel).number if channel is not None else 0
        about = (queue.vhost.name, queue.name, what, flags)
        self.write(told(Kind.ASK, self._ask(done), number, *about))

    def question(self, kind: Kind, values: list[Any], done: Done) -> None:
        """Ask what is no matter of queues."""
        self.write(told(kind, self._ask(done), *values))

    # -- in -----------------------------------------------------------------------------------

    def take(self, kind: int, body: bytes) -> bool:
        """A record from the node; False when it is no answer to anything here."""
        match kind:
            case Kind.DELIVER:
                self._deliver(body)
            case Kind.CONFIRM:
                self._confirm(*wire.CONFIRM.unpack(body))
            case Kind.ANSWER:
                question, value = json.loads(body)
                self._answered(question, wire.answer_of(value))
            case Kind.GOT:
                self._got(body)
            case Kind.MISPLACED:
                number, at = wire.MISPLACED.unpack(body)
                self._done_with(self._by_number[number].open.pop(at, None))
            case _:
                return False
        return True

    def _answered(self, question: int, result: Any) -> None:
        done = self._questions.pop(question, None)
        if done is not None:
            done(result)

    def _known(self, names: bytes) -> bytes:
        if len(self._names) > _NAMES_MAX:
            self._names.clear()
        return self._names.setdefault(names, names)

    def _deliver(self, body: bytes) -> None:
        number, consumer_number, tag, redelivered, size = wire.DELIVER.unpack_from(body)
        hold = self._holds.get(number)
        if hold is None:
            return  # closed: the node takes it back
        at = wire.DELIVER.size
        names, content = self._known(body[at : at + size]), body[at + size :]
        consumer = hold.consumers.get(consumer_number)
        arrival = Arrival(hold, tag, names, content, bool(redelivered))
        queue = consumer.queue if consumer is not None else None
        if consumer is None or not isinstance(queue, RemoteQueue) or queue.at is not self:
            hold.settle(tag, "lost")
        else:
            queue.arrive(consumer, arrival)
        hold.took(len(content))

    def _got(self, body: bytes) -> None:
        question, number, tag, redelivered, left, size = wire.GOT.unpack_from(body)
        hold = self._holds.get(number)
        if hold is None:
            self._answered(question, LOST)  # the channel is closed: the node takes it back
            return
        at = wire.GOT.size
        names, content = body[at : at + size], body[at + size :]
        self._answered(
            question, Fetched(Arrival(hold, tag, names, content, bool(redelivered)), left)
        )

    def _confirm(self, stream_number: int, number: int, flags: int) -> None:
        stream = self._by_number[stream_number]
        if flags & wire.MULTIPLE:
            found = stream.upto(number)
        else:
            one = stream.open.pop(number, None)
            found = [one] if one is not None else []
        accepted = not flags & wire.REFUSED
        for queue, ticket, size in found:
            self._open_bytes -= size
            queue.answered(ticket, accepted)
        if self._pressed:
            self._relieve()

    def _done_with(self, one: tuple[RemoteQueue, int, int] | None) -> None:
        """The node is not its queue's home."""
        if one is not None:
            queue, ticket, size = one
            self._open_bytes -= size
            queue.missing(ticket)
