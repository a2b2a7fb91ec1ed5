"""basic.publish: from a method frame to the queues.

Theory. A publisher repeats itself, so what can be decided once a (channel, exchange, routing key,
flags) is decided once, in a Target: that the exchange exists and may be written to, and which
queues the key leads to. A target keeps that until `VHost.version` moves, which every change of
bindings, queues, exchanges and permissions does. What depends on the message itself (`_special`)
is decided for each: headers that route, CC and BCC, user-id, expiration, reply-to, mandatory,
transactions.

Decides checks and their order (RabbitMQ: rabbit_channel, handle_method basic.publish). Never
keeps a message: queues do.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pamqp import commands

from mqd import limits
from mqd.amqp import properties
from mqd.amqp.codec import encode_method
from mqd.amqp.fields import FieldError
from mqd.amqp.replies import ChannelError, ConnectionError_, ReplyCode
from mqd.broker import headers as said
from mqd.broker.consumers import readdress
from mqd.broker.exchanges.base import Exchange, Offered, Taker
from mqd.broker.message import names_of, replace_header
from mqd.broker.reply import PREFIX, PSEUDO_SHORTSTR, REPLIES
from mqd.broker.routing import route, route_by_key
from mqd.names import Resource

if TYPE_CHECKING:
    from mqd.broker.channel import Channel

_HEADERS, _DELIVERY_MODE, _REPLY_TO, _EXPIRATION, _USER_ID = 0x2000, 0x1000, 0x0200, 0x0100, 0x0010
_BEFORE_DELIVERY_MODE = 0xE000
_LOOKED_AT = _HEADERS | _REPLY_TO | _EXPIRATION | _USER_ID | 3
_DELIVERY_MODE_AT = 7 + 14  # in `Message.content`, when no property stands before it
_SIZE = struct.Struct(">I")


class Target:
    """One basic.publish frame of one channel, resolved."""

    __slots__ = (
        "_channel",
        "_exchange",
        "_mandatory",
        "_queues",
        "_routing_key",
        "_special",
        "_unusual",
        "_version",
        "_wide",
        "channel_id",
        "names",
    )

    def __init__(self, channel: Channel, exchange: str, routing_key: str, mandatory: bool) -> None:
        self._channel = channel
        self.channel_id = channel.number
        self._exchange = exchange
        self._routing_key = routing_key
        self._mandatory = mandatory
        self._queues: Sequence[Taker] = ()
        self._special = False
        self._wide = 0  # how many queues, when they are many
        self._unusual = False  # either
        self.names = names_of(exchange, routing_key)
        self._version = -1
        self._resolve()

    def publish(self, content: bytes, flags: int) -> None:
        """Publish a message. Raises ChannelError for what is wrong with it."""
        channel = self._channel
        if self._version != channel.vhost.version:
            self._resolve()
        looked_at = flags & _LOOKED_AT
        if looked_at or self._unusual or channel.tx is not None:
            if self._wide:
                channel.connection.peer.charge(self._wide)
            if (looked_at and looked_at != _REPLY_TO) or self._special or channel.tx is not None:
                self._publish_special(content, flags)
                return
            if looked_at:
                content = self._replace_reply_to(content)
        persistent = False
        if flags & _DELIVERY_MODE:
            if flags & _BEFORE_DELIVERY_MODE:
                persistent = _is_persistent(content)
            else:
                mode = content[_DELIVERY_MODE_AT]
                persistent = mode == 2
                if mode != 1 and not persistent:
                    raise _unknown_mode(mode)
        batch = 0
        rejected = False
        names = self.names
        for queue in self._queues:
            waits_for = queue.publish(names, content, persistent)
            if waits_for > batch:
                batch = waits_for
            elif waits_for < 0:
                rejected = True
        confirms = channel.confirms
        if confirms is not None:
            if rejected:
                confirms.rejected()
            else:
                confirms.published(batch)

    # -- once a target ------------------------------------------------------------------------

    def _resolve(self) -> None:
        channel = self._channel
        vhost = channel.vhost
        name = self._exchange
        resource = Resource("exchange", vhost.name, name)
        vhost.require(channel.user, resource, "write")
        exchange = vhost.exchanges.get(name)
        if exchange is None:
            raise ChannelError(ReplyCode.NOT_FOUND, f"no {resource}")
        if exchange.definition.internal:
            raise ChannelError(ReplyCode.ACCESS_REFUSED, f"cannot publish to internal {resource}")
        if exchange.definition.type == "topic":
            vhost.require_topic(channel.user, name, "write", self._routing_key)
        queues = self._route(exchange)
        # A reply consumer is no queue: mandatory is returned all the same (observed: 3.10.8).
        nowhere = not queues or isinstance(queues[0], REPLIES)
        self._special = queues is None or (self._mandatory and nowhere) or vhost.tracing
        self._queues = queues or ()
        self._wide = len(self._queues) if len(self._queues) >= limits.COPIES_WIDE else 0
        self._queues = vhost.dead_letters.after_all(self._queues)
        self._unusual = self._special or self._wide > 0
        self._version = vhost.version
        if vhost.alarms:
            channel.connection.hold("low on " + " & ".join(sorted(vhost.alarms, reverse=True)))

    def _route(self, exchange: Exchange) -> list[Taker] | None:
        """Where the key leads, or None when it is not the key alone that decides."""
        vhost = self._channel.vhost
        key = self._routing_key
        if not self._exchange and key.startswith(PREFIX):
            reply = vhost.replies.get(key) or vhost.broker.homes.reply_to(key)
            return [reply] if reply is not None else []
        found = route_by_key(vhost.exchanges, exchange, key)
        return None if found is None else vhost.reach(found)

    # -- for every message --------------------------------------------------------------------

    def _publish_special(self, content: bytes, flags: int) -> None:
        channel = self._channel
        try:
            if flags & _REPLY_TO:
                content = self._replace_reply_to(content)
            header = content[7 : 7 + _SIZE.unpack_from(content, 3)[0]]
            keys = self._check(header, flags)
            persistent = bool(flags & _DELIVERY_MODE) and _is_persistent(content)
            names = self.names
            if len(keys) > 1:
                names = names_of(self._exchange, keys[0], said.hidden_keys(header))
                content = replace_header(content, properties.strip_header(header, "BCC"))
            queues = self._queues
            vhost = channel.vhost
            exchange = vhost.exchanges[self._exchange]
            if len(keys) > 1 or (self._special and exchange.name):
                offered = Offered(names, content, persistent)
                queues = vhost.reach(route(vhost.exchanges, exchange, keys, offered))
        except FieldError as error:
            raise ConnectionError_(
                ReplyCode.FRAME_ERROR, f"cannot decode content header: {error}"
            ) from error
        if vhost.tracing:
            vhost.tracer.published(channel, names, content, queues)
        if channel.tx is not None:
            channel.tx.publishes.append(lambda: self._commit(queues, names, content, persistent))
            return
        batch = self._deliver(queues, names, content, persistent)
        if channel.confirms is not None:
            if batch < 0:
                channel.confirms.rejected()
            else:
                channel.confirms.published(batch)

    def _check(self, header: bytes, flags: int) -> list[str]:
        """Refuse what the message says of itself wrongly; returns its routing keys."""
        user = self._channel.user
        if flags & _USER_ID:
            claimed = properties.user_id(header)
            if claimed != user.name and not user.is_impersonator:
                raise ChannelError(
                    ReplyCode.PRECONDITION_FAILED,
                    f"user_id property set to '{claimed}' but authenticated user was '{user.name}'",
                )
        if flags & _EXPIRATION:
            said.expiration_ms(properties.expiration(header) or "")
        return said.routing_keys(self._routing_key, header)

    def _replace_reply_to(self, content: bytes) -> bytes:
        """Where the pseudo-queue is asked to be answered to, write the name it stands for."""
        size = _SIZE.unpack_from(content, 3)[0]
        found = content.find(PSEUDO_SHORTSTR, _DELIVERY_MODE_AT, 7 + size)
        if found < 0:
            return content
        at = properties.reply_to_at(content[7 : 7 + size])
        assert at is not None, "the flag was looked at"
        at += 7
        if not content.startswith(PSEUDO_SHORTSTR, at):
            return content
        consumer = self._channel.reply_consumer
        if consumer is None:
            raise ChannelError(ReplyCode.PRECONDITION_FAILED, "fast reply consumer does not exist")
        name = consumer.shortstr
        longer = len(name) - len(PSEUDO_SHORTSTR)
        return b"".join(
            (
                content[:3],
                _SIZE.pack(size + longer),
                content[7:at],
                name,
                content[at + len(PSEUDO_SHORTSTR) :],
            )
        )

    def _commit(
        self, queues: Sequence[Taker], names: bytes, content: bytes, persistent: bool
    ) -> int:
        """Routed when it was published, delivered now: a queue may have gone since."""
        return self._deliver([q for q in queues if not q.deleted], names, content, persistent)

    def _deliver(
        self, queues: Sequence[Taker], names: bytes, content: bytes, persistent: bool
    ) -> int:
        """The batch to wait for; below 0 when a queue rejected it."""
        if self._mandatory and (not queues or isinstance(queues[0], REPLIES)):
            self._return(content)
        vhost = self._channel.vhost
        queues = vhost.dead_letters.after_all(queues)
        results = [queue.publish(names, content, persistent) for queue in queues]
        return vhost.tickets.all_of(results)

    def _return(self, content: bytes) -> None:
        outlet = self._channel.outlet
        method = commands.Basic.Return.__new__(commands.Basic.Return)  # takes any exchange name
        method.reply_code, method.reply_text = int(ReplyCode.NO_ROUTE), "NO_ROUTE"
        method.exchange, method.routing_key = self._exchange, self._routing_key
        outlet.write(encode_method(self.channel_id, method))
        outlet.write(readdress(content, self.channel_id, outlet.frame_bytes_max))


def target_of(channel: Channel, method: commands.Basic.Publish) -> Target:
    """The target of a basic.publish method. Raises what 3.10.8 answers to a bad one."""
    if method.immediate:
        raise ConnectionError_(ReplyCode.NOT_IMPLEMENTED, "immediate=true")
    return Target(channel, method.exchange, method.routing_key, method.mandatory)


def _is_persistent(content: bytes) -> bool:
    header = content[7 : 7 + _SIZE.unpack_from(content, 3)[0]]
    try:
        mode = properties.delivery_mode(header)
    except FieldError as error:
        raise ConnectionError_(
            ReplyCode.FRAME_ERROR, f"cannot decode content header: {error}"
        ) from error
    if mode not in (1, 2):
        raise _unknown_mode(mode)
    return mode == 2


def _unknown_mode(mode: int | None) -> ChannelError:
    return ChannelError(
        ReplyCode.PRECONDITION_FAILED, f"invalid message: {{delivery_mode_unknown,{mode}}}"
    )
