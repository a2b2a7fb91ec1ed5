"""The stream: a log that consumers read, each from where it likes, and that nobody empties.

Decides where a reader begins (x-stream-offset), what it is sent and when it is sent more, and in
which words a stream refuses what it cannot do (RabbitMQ: streams documentation; observed: 3.10.8).
Never decides how the log lies on disc or how much of it is kept: that is behind ports.StreamLog.

A reader's prefetch count is credit: an acknowledgement, of whatever delivery, gives one back and
takes nothing from the stream. There is no handing back: what a channel held when it went is simply
read again by whoever wants it. Readers see what is on disc and not before, so an offset that was
seen stays that message's. What they have not acknowledged is not kept for them.

A message is kept as it came, transient or not. 3.10.8 turns it into AMQP 1.0 and back, and loses
what does not fit (headers that are arrays or tables, cluster-id); here nothing is lost.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NoReturn

from mqd.amqp import properties
from mqd.amqp.fields import FieldError, Table, encode_table
from mqd.amqp.replies import ChannelError, ConnectionError_, ReplyCode
from mqd.broker.consumers import Consumer
from mqd.broker.definitions import QueueDefinition
from mqd.broker.message import Message, replace_header
from mqd.broker.ports import StreamLog, StreamPage
from mqd.broker.queue_arguments import INTEGERS
from mqd.broker.queues.base import Queue
from mqd.broker.queues.rules import QueueRules
from mqd.names import Pid
from mqd.policies.applied import Applied
from mqd.policies.values import age_s

if TYPE_CHECKING:
    from mqd.broker.channel import Channel
    from mqd.broker.entries import ConnectionEntry
    from mqd.broker.vhost import VHost

_TURN_MESSAGES_MAX: Final = 512  # what one reader gets before others have their turn
_TURN_BYTES_MAX: Final = 1_048_576
_OFFSET: Final = "x-stream-offset"
_NO_PROPERTIES: Final = b"\0\0"
_ONLY_HEADERS: Final = struct.pack(">H", properties.HEADERS)
_ENTRY: Final = encode_table({_OFFSET: ("long", 0)})[:-8]
_LONG: Final = struct.Struct(">q")
_READ: Final = Message(b"", bytes(21))  # what a reader holds: nothing, whatever it was sent


class Reader:
    """A consumer and where it is: `following` is the offset it is sent next."""

    __slots__ = ("consumer", "following", "later", "page")

    def __init__(self, consumer: Consumer, following: int) -> None:
        self.consumer = consumer
        self.following = following
        self.page: StreamPage | None = None
        self.later = False  # it goes on in the next turn


class StreamQueue(Queue):
    """See the file's charter. All messages are ready, and count as nothing else, whoever holds
    some of them (observed: 3.10.8)."""

    kind = "stream"
    takes_global_prefetch = False
    knows_exclusive = False
    ignores_conditions = True
    takes_back = False

    __slots__ = ("_readers", "log")

    def __init__(
        self,
        definition: QueueDefinition,
        vhost: VHost,
        pid: Pid,
        owner: ConnectionEntry | None,
        policy: Applied | None = None,
    ) -> None:
        super().__init__(definition, vhost, pid, owner, policy)
        self._readers: dict[Consumer, Reader] = {}
        self.log: StreamLog = vhost.store.stream(definition.id)
        self.log.on_growth = self._grown
        self.rules_changed(self.rules)

    @property
    def ready_count(self) -> int:
        return self.log.next_offset - self.log.first_offset

    @property
    def gone_count(self) -> int:
        return 0  # observed: 3.10.8 counts none at queue.delete

    @property
    def ready_bytes(self) -> int:
        return self.log.bytes

    def told(self) -> Mapping[str, int]:
        """What is in the log counts as published, whenever that was."""
        return {"publish": self.log.next_offset}

    def rules_changed(self, before: QueueRules) -> None:
        rules = self.rules
        max_age_s = self.definition.max_age_s
        if max_age_s is None:
            max_age_s = rules.max_age_s
        self.log.keep(rules.max_length_bytes, max_age_s, rules.segment_bytes)

    # -- in -----------------------------------------------------------------------------------

    def publish(self, names: bytes, content: bytes, persistent: bool) -> int:
        """Whatever the publisher says, the message is kept."""
        return self.log.append(Message(names, content, persistent))

    def _grown(self) -> None:
        if not self.deleted:
            self.drain()
            self.vhost.turn.end_soon()

    # -- out ----------------------------------------------------------------------------------

    def check_arguments(self, arguments: Table) -> None:
        self._begin(arguments)

    def check_consumer(self, channel: Channel, arguments: Table, *, no_ack: bool) -> None:
        resource = self.definition.resource
        if not channel.prefetch_count:
            raise ChannelError(
                ReplyCode.PRECONDITION_FAILED,
                f"consumer prefetch count is not set for '{resource}'",
            )
        if no_ack:
            self._refuse("automatic acknowledgement")
        super().check_consumer(channel, arguments, no_ack=no_ack)

    def _begin(self, arguments: Table) -> int:
        """The offset that a new reader is sent first. Raises ChannelError 406."""
        kind, value = arguments.get(_OFFSET, ("longstr", b"next"))
        log = self.log
        if kind in INTEGERS:
            return max(int(value), 0)
        if kind == "timestamp":
            return log.offset_of(1000 * int(value))
        if kind == "longstr":
            found = {
                b"first": log.first_offset,
                b"last": log.last_chunk_offset,
                b"next": log.next_offset,
            }.get(value)
            if found is not None:
                return found
            age = age_s(value.decode("utf-8", "replace"))
            if age is not None:
                return log.offset_of(self.vhost.broker.clock.wall_ms() - 1000 * age)
        raise ChannelError(
            ReplyCode.PRECONDITION_FAILED,
            f"invalid arg '{_OFFSET}' for {self.definition.resource}: "
            f"{{invalid_stream_offset_arg,{{{kind},{_term(value)}}}}}",
        )

    def add_consumer(self, consumer: Consumer) -> None:
        self._readers[consumer] = Reader(consumer, self._begin(consumer.arguments))
        super().add_consumer(consumer)

    def remove_consumer(self, consumer: Consumer) -> None:
        self._readers.pop(consumer, None)
        super().remove_consumer(consumer)

    def offer_again(self, consumer: Consumer) -> None:
        """The consumer may be able to take messages again."""
        reader = self._readers.get(consumer)
        if reader is not None and not self.deleted:
            self._serve(reader)

    def drain(self) -> None:
        end = self.log.next_offset
        for reader in list(self._readers.values()):
            if reader.following < end:
                self._serve(reader)

    def _serve(self, reader: Reader) -> None:
        """Send a reader what it may have, at most a turn's share of it."""
        if reader.later:
            return
        consumer = reader.consumer
        channel = consumer.channel
        unacked = channel.unacked
        count = size = 0
        while reader.following < self.log.next_offset and consumer.active:
            if consumer.is_full():
                return
            if consumer.outlet.congested:
                if not consumer.parked:
                    consumer.parked = True
                    consumer.outlet.park(self.resumer(consumer))
                return
            if count >= _TURN_MESSAGES_MAX or size >= _TURN_BYTES_MAX:
                reader.later = True
                self.vhost.turn.later.append(lambda: self._go_on(reader))
                return
            page = reader.page
            if page is None or not page.first <= reader.following < page.end:
                page = reader.page = self.log.read(reader.following)
                if page is None:
                    return
                reader.following = max(reader.following, page.first)
            offset = reader.following
            message = page.messages[offset - page.first]
            content = with_offset(message.content, offset)
            tag = consumer.send(message.names, content, False)
            unacked[tag] = (self, _READ, offset, consumer)
            consumer.unacked += 1
            reader.following = offset + 1
            count += 1
            size += len(content)

    def _go_on(self, reader: Reader) -> None:
        reader.later = False
        if not self.deleted:
            self._serve(reader)

    def get(self) -> NoReturn:
        self._refuse("basic.get")

    def purge(self) -> NoReturn:
        self._refuse("queue.purge")

    def refuse_return(self) -> NoReturn:
        self._refuse("basic.nack and basic.reject")

    def _refuse(self, what: str) -> NoReturn:
        raise ConnectionError_(
            ReplyCode.NOT_IMPLEMENTED,
            f"{what} not supported by stream queues {self.definition.resource}",
        )

    # -- credit -------------------------------------------------------------------------------

    def acked(self, message: Message, consumer: Consumer | None, *, drain: bool = True) -> None:
        if consumer is not None:
            consumer.unacked -= 1
            if drain:
                self.offer_again(consumer)

    def refused(self, message: Message, consumer: Consumer | None, *, drain: bool = True) -> None:
        self.acked(message, consumer, drain=drain)

    def returned(
        self, position: int, message: Message, consumer: Consumer | None, *, lost: bool = False
    ) -> None:
        """Its channel is gone."""
        self.acked(message, consumer, drain=False)

    def discard(self) -> None:
        self.log.delete()
        self._readers.clear()


def with_offset(content: bytes, offset: int) -> bytes:
    """`Message.content` with the offset in its headers, which are sorted by name then (as 3.10.8
    leaves them)."""
    if content[19:21] == _NO_PROPERTIES:  # the most usual header, by hand: it takes 1 us, not 6
        return b"".join(
            (
                content[:3],
                _BARE_BYTES,
                content[7:19],
                _ONLY_HEADERS,
                _ENTRY,
                _LONG.pack(offset),
                content[21:],
            )
        )
    header = content[7 : 7 + int.from_bytes(content[3:7], "big")]
    try:
        header = properties.with_header(header, _OFFSET, ("long", offset))
    except FieldError:
        return content  # nobody can read these headers
    return replace_header(content, header)


_BARE_BYTES: Final = struct.pack(">I", properties.FIRST_AT + len(_ENTRY) + _LONG.size)


def _term(value: object) -> str:
    """As Erlang writes it."""
    if isinstance(value, bytes):
        text = value.decode("utf-8", "replace")
        return f'<<"{text}">>' if re.fullmatch(r"[ -~]+", text) else str(list(value))
    return str(value).lower()
