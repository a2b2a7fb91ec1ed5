"""What other nodes' channels have here: the other end of `mqd.cluster.queues.home`.

Theory. For every channel of another node that has something here there is a channel of ours, on a
connection that no listing shows: consumers, unacknowledged messages, prefetch and locks are kept by
the same code as for clients of this node, and in the same words. What such a consumer is sent goes
into the link. When the link ends everything of that node is closed, as if its clients had gone:
what they held goes back and is redelivered, its consumers make room for others.

Publishes are confirmed by the same `Confirms` as a client's, one for each stream. A queue that has
another home by now is not published to: the sender is told so, and finds out. Nor is one that came
here since the sender said what it sends (AGAIN): what is under way may have something before it
that was lost. Nor is one that is not there at all: this node may hear of it later.

Decides that. Never decides what a queue does.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from mqd.amqp.fields import from_json
from mqd.amqp.outlet import Outlet
from mqd.amqp.replies import AmqpError, ChannelError, ReplyCode
from mqd.auth.users import User
from mqd.broker import consume, elsewhere, topology
from mqd.broker.confirms import Confirms
from mqd.broker.entries import ConnectionEntry
from mqd.broker.homes import ELSEWHERE
from mqd.broker.message import shown_bytes
from mqd.broker.nobody import Nobody
from mqd.broker.queues.base import Queue
from mqd.broker.queues.remote import RemoteQueue
from mqd.broker.vhost import VHost
from mqd.cluster.queues import wire
from mqd.cluster.queues.line import Line
from mqd.cluster.queues.served_channel import ServedChannel, ServedConsumer
from mqd.cluster.queues.wire import Kind, record, told
from mqd.names import Pid

if TYPE_CHECKING:
    from mqd.broker.broker import Broker

_NAMES_MAX = 4096
_MISSED_MAX = 65_536  # who publishes to another one is told too late
_ANSWER = struct.Struct(">HH")  # class and method of a confirm, behind an envelope of 7 bytes


class _Answers(Outlet):
    """Where a stream's `Confirms` write: each frame becomes a record."""

    __slots__ = ("_line",)

    def __init__(self, broker: Broker, line: Line) -> None:
        super().__init__(broker.turn, lambda: None)
        self._line = line

    def write(self, data: bytes) -> None:
        number = int.from_bytes(data[1:3], "big")
        flags = wire.MULTIPLE if data[19] else 0
        if _ANSWER.unpack_from(data, 7)[1] == 120:  # basic.nack
            flags |= wire.REFUSED
        (tag,) = wire.NUMBER.unpack_from(data, 11)
        self._line.write(record(Kind.CONFIRM, wire.CONFIRM.pack(number, tag, flags)))


class _Stream:
    """Publishes of another node to one vhost."""

    __slots__ = ("begun", "confirms", "number", "origin", "vhost")

    def __init__(
        self,
        number: int,
        vhost: VHost,
        origin: bytes,
        answers: Outlet,
        misplaced: Callable[[int], None],
    ) -> None:
        self.number = number
        self.vhost = vhost
        self.origin = origin
        self.confirms = Confirms(number, answers, vhost.waiting.add, vhost.tickets, misplaced)
        self.begun: dict[bytes, Pid] = {}  # queues that are here, for which AGAIN came


@dataclass(slots=True)
class _Announced:
    """A stream that the other node has. passed: how many of its publishes were for nobody here."""

    vhost: str
    origin: bytes
    passed: int = 0


class Served:
    """All that one node has here."""

    def __init__(self, broker: Broker, line: Line) -> None:
        self._broker = broker
        self._line = line
        self._answers = _Answers(broker, line)
        self._channels: dict[int, ServedChannel] = {}
        self._streams: dict[int, _Stream] = {}
        self._announced: dict[int, _Announced] = {}
        self._found: dict[bytes, Queue] = {}
        self._names: dict[bytes, bytes] = {}
        self._link = 0
        self.missed: set[bytes] = set()  # queues that were published to and are not here

    def down(self) -> None:
        """The link is gone. The caller ends the turn."""
        self._link += 1
        channels, self._channels = self._channels, {}
        for channel in channels.values():
            channel.stop_consuming()
        for channel in channels.values():
            self._close(channel)
        for stream in self._streams.values():
            stream.confirms.close()
            stream.vhost.waiting.discard(stream.confirms)
        self._streams.clear()
        self._announced.clear()
        self.missed.clear()
        self._found.clear()

    def _close(self, channel: ServedChannel) -> None:
        channel.close()
        self._broker.served.discard(channel.connection)

    def take(self, kind: int, body: bytes) -> bool:
        """A record from the node; False when it asks nothing of queues."""
        match kind:
            case Kind.PUBLISH:
                self._publish(body)
            case Kind.SETTLE:
                self._settle(body)
            case Kind.CREDIT:
                number, count, size = wire.CREDIT.unpack(body)
                if (channel := self._channels.get(number)) is not None:
                    channel.credit(count, size)
            case Kind.LIMIT:
                number, count = wire.PAIR.unpack(body)
                if (channel := self._channels.get(number)) is not None:
                    channel.set_prefetch(count, for_channel=True)
            case Kind.CLOSE:
                channel = self._channels.pop(wire.PAIR.unpack(body)[0], None)
                if channel is not None:
                    self._close(channel)
            case _:
                return self._take_rare(kind, body)
        return True

    def _take_rare(self, kind: int, body: bytes) -> bool:
        match kind:
            case Kind.AGAIN:
                self._again(body)
            case Kind.OPEN:
                self._open(*json.loads(body))
            case Kind.STREAM:
                number, vhost, origin = json.loads(body)
                self._announced[number] = _Announced(vhost, bytes.fromhex(origin))
            case Kind.CONSUME:
                question, *values = json.loads(body)
                self._consume(question, *values)
            case Kind.CANCEL:
                question, number, tag = json.loads(body)
                channel = self._channels.get(number)
                if channel is not None:
                    consume.cancel(channel, tag)
                self._answer(question, None)
            case Kind.GET:
                self._get(*json.loads(body))
            case Kind.ASK:
                self._ask(*json.loads(body))
            case _:
                return False
        return True

    # -- publishes ----------------------------------------------------------------------------

    def _queue(self, ref: bytes) -> Queue | None:
        queue = self._found.get(ref)
        if queue is None or queue.deleted:
            vhost, name = wire.read_ref(ref)
            found = self._broker.vhosts.get(vhost)
            queue = found.queues.get(name) if found is not None else None
            if queue is not None:
                if len(self._found) > _NAMES_MAX:
                    self._found.clear()
                self._found[ref] = queue
        return queue

    def _publish(self, body: bytes) -> None:
        number, flags, ticket, ref_size, names_size = wire.PUBLISH.unpack_from(body)
        at = wire.PUBLISH.size + ref_size
        ref, end = body[wire.PUBLISH.size : at], at + names_size
        stream = self._streams.get(number)
        if stream is None or self._broker.vhosts.get(stream.vhost.name) is not stream.vhost:
            stream = self._begin_stream(number)
            if stream is None:
                self._miss(ref)
                return
        if len(self._names) > _NAMES_MAX:
            self._names.clear()
        names = body[at:end]
        names = self._names.setdefault(names, names)
        confirms = stream.confirms
        queue = self._queue(ref)
        if (
            queue is None
            or isinstance(queue, RemoteQueue)
            or (flags & wire.NUMBERED and stream.begun.get(ref) != queue.pid)
        ):
            if queue is None:
                self._miss(ref)
            self._misplaced(number, confirms.seqno + 1)
            confirms.published(0)
            return
        content, persistent = body[end:], bool(flags & wire.PERSISTENT)
        if flags & wire.NUMBERED:
            returns = flags >> wire.RETURNS_SHIFT
            which = (stream.origin, ticket)
            result = queue.publish_once(*which, names, content, persistent, returns)
        else:
            result = queue.publish(names, content, persistent)
        if result < 0:
            confirms.rejected()
        else:
            confirms.published(result)

    def _miss(self, ref: bytes) -> None:
        """It is gone, or this node has not heard of it yet."""
        if len(self.missed) < _MISSED_MAX:
            self.missed.add(ref)

    def _begin_stream(self, number: int) -> _Stream | None:
        """In the vhost as it is now, which may have come later than who publishes to it, or have
        been deleted and made again. None: it is not there; so the publish is not taken."""
        announced, old = self._announced[number], self._streams.pop(number, None)
        if old is not None:
            self._found.clear()
            old.confirms.close()
            announced.passed = old.confirms.seqno
            body = wire.CONFIRM.pack(number, announced.passed, wire.MULTIPLE | wire.REFUSED)
            self._line.write(record(Kind.CONFIRM, body))
        found = self._broker.vhosts.get(announced.vhost)
        if found is None:
            announced.passed += 1
            self._misplaced(number, announced.passed)
            return None
        misplaced = partial(self._misplaced, number)
        stream = _Stream(number, found, announced.origin, self._answers, misplaced)
        stream.confirms.seqno = announced.passed
        self._streams[number] = stream
        return stream

    def _misplaced(self, stream: int, number: int) -> None:
        """The sender asks who is the home now."""
        self._line.write(record(Kind.MISPLACED, wire.MISPLACED.pack(stream, number)))

    def _again(self, body: bytes) -> None:
        number = wire.AGAIN.unpack_from(body)[0]
        stream = self._streams.get(number)
        if stream is None or self._broker.vhosts.get(stream.vhost.name) is not stream.vhost:
            if self._announced[number].vhost not in self._broker.vhosts:
                return
            stream = self._begin_stream(number)
            assert stream is not None
        begun, ref = stream.begun, body[wire.AGAIN.size :]
        if len(begun) > max(_NAMES_MAX, 2 * len(stream.vhost.queues)):
            stream.begun = {one: pid for one, pid in begun.items() if self._queue(one) is not None}
        queue = self._queue(ref)
        if queue is not None:
            stream.begun[ref] = queue.pid

    # -- channels -----------------------------------------------------------------------------

    def _open(
        self,
        number: int,
        vhost: str,
        user: str,
        connection_pid: str,
        connection_name: str,
        pid: str,
        channel_number: int,
        prefetch_count: int,
    ) -> None:
        found = self._broker.vhosts.get(vhost)
        if found is None:
            return
        entry = ConnectionEntry(
            pid=Pid(connection_pid),
            name=connection_name,
            outlet=Outlet(self._broker.turn, lambda: None),
            peer=Nobody(),
            user=User(user),
            vhost=found,
        )
        channel = ServedChannel(channel_number, entry, Pid(pid), self._line, number)
        channel.global_prefetch_count = prefetch_count
        entry.channels[channel_number] = channel
        self._channels[number] = channel
        self._broker.served.add(entry)

    def _settle(self, body: bytes) -> None:
        number, how = wire.SETTLE.unpack_from(body)
        channel = self._channels.get(number)
        if channel is None:
            return
        size = wire.SETTLE.size
        tags = struct.unpack_from(f">{(len(body) - size) // 8}Q", body, size)
        channel.settle_all(tags, wire.HOWS[how])

    def _consume(
        self,
        question: int,
        number: int,
        consumer_number: int,
        tag: str,
        name: str,
        no_ack: bool,
        exclusive: bool,
        prefetch: int,
        arguments: dict[str, list[Any]],
    ) -> None:
        channel = self._channels.get(number)
        if channel is None:
            self._answer(question, _no_vhost())
            return
        if self._is_elsewhere(question, channel, name):
            return
        channel.prefetch_count = prefetch
        try:
            _, queue = consume.consume(
                channel,
                name,
                tag,
                no_ack=no_ack,
                exclusive=exclusive,
                arguments=from_json(arguments),
            )
        except AmqpError as error:
            self._answer(question, error)
            return
        consumer = channel.consumers[tag]
        assert isinstance(consumer, ServedConsumer)
        consumer.link_number = consumer_number
        self._answer(question, None)
        if queue is not None:
            queue.drain()

    def _is_elsewhere(self, question: int, channel: ServedChannel, name: str) -> bool:
        """Whether the queue has another home; that is said then."""
        queue = channel.vhost.queues.get(name)
        if queue is None or not queue.is_remote:
            return False
        self._answer(question, ELSEWHERE)
        return True

    def _get(self, question: int, number: int, name: str, no_ack: bool) -> None:
        channel = self._channels.get(number)
        if channel is None:
            self._answer(question, _no_vhost())
            return
        if self._is_elsewhere(question, channel, name):
            return
        link = self._link

        def got(result: Any) -> None:
            if link != self._link:
                return
            if not isinstance(result, tuple):
                self._answer(question, result)
                return
            tag, redelivered, message, content, left = result
            names = message.names[: shown_bytes(message.names)]
            head = wire.GOT.pack(question, number, tag, redelivered, left, len(names))
            self._line.write(record(Kind.GOT, b"".join((head, names, content))))

        try:
            elsewhere.get_here(channel, name, no_ack=no_ack, done=got)
        except AmqpError as error:
            got(error)

    def _ask(
        self, question: int, number: int, vhost: str, name: str, what: str, flags: int
    ) -> None:
        link = self._link

        def done(result: Any) -> None:
            if link != self._link:
                return
            if isinstance(result, topology.QueueState):
                result = [result.ready_count, result.consumer_count]
            self._answer(question, result)

        try:
            if number == 0:
                self._ask_itself(vhost, name, done)
                return
            channel = self._channels[number]
            if self._is_elsewhere(question, channel, name):
                return
            if what == "state":
                topology.declare_passive(channel, name, done)
            elif what == "purge":
                elsewhere.purge_here(channel, name, done)
            else:
                elsewhere.delete(
                    channel, name, if_unused=bool(flags & 1), if_empty=bool(flags & 2), done=done
                )
        except AmqpError as error:
            done(error)
        except KeyError:
            done(_no_vhost())

    def _ask_itself(self, vhost: str, name: str, done: Any) -> None:
        """Deletion by an operator."""
        found = self._broker.vhosts[vhost]
        queue = found.queues.get(name)
        if queue is None or queue.is_remote:
            done(0)
            return
        count = queue.gone_count
        found.delete_queue(queue, lambda error: done(count))

    def _answer(self, question: int, result: Any) -> None:
        value: list[Any] = ["ok", result]
        if isinstance(result, AmqpError):
            value = wire.fault(result)
        elif result is ELSEWHERE:
            value = ["elsewhere"]
        self._line.write(told(Kind.ANSWER, question, value))


def _no_vhost() -> ChannelError:
    return ChannelError(ReplyCode.NOT_FOUND, "the virtual host is not there")
