"""What the API does as an AMQP client would: declare, delete, bind, publish, get, purge.

Decides how a request becomes a channel of the user who sends it, on which the broker's own rules
and words apply, and how a fault of that channel is answered (RabbitMQ: rabbit_mgmt_util,
with_channel; observed: 3.10.8). The connection behind it has no socket and is listed nowhere.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Final

from mqd import limits
from mqd.amqp.outlet import Outlet, Turn
from mqd.amqp.replies import AmqpError, ConnectionError_, ReplyCode
from mqd.broker.channel import Channel
from mqd.broker.entries import ConnectionEntry
from mqd.broker.nobody import Nobody
from mqd.management.calls import Call, Refused, bad_request, not_authorised, not_found

ACCESS_REFUSED: Final = "Access refused."


class ApiChannel(Channel):
    """Of one request. Nobody hears of its end, for nobody heard of its begin."""

    __slots__ = ()

    def close(self) -> None:
        """What it holds goes back, as from any channel that is gone."""
        self._hand_back("lost")
        self.connection.channels.clear()
        remotes, self.remotes = self.remotes, {}
        for hold in remotes.values():
            hold.close()


@contextlib.contextmanager
def opened(call: Call) -> Iterator[Channel]:
    """A channel in the vhost of the path, as long as it takes; what it holds goes back then.

    Raises Refused for whoever may not enter the vhost, and for what the channel was closed for.
    """
    broker = call.broker
    vhost = broker.vhosts.get(call.names["vhost"])
    if vhost is None or not broker.auth.vhost_allowed(call.user.name, vhost.name):
        raise not_authorised(ACCESS_REFUSED)
    outlet = Outlet(Turn(), _nothing)
    outlet.frame_bytes_max = 0
    pid = broker.pids.new()
    entry = ConnectionEntry(pid, "", outlet, Nobody(), call.user, vhost)
    channel = ApiChannel(1, entry, broker.pids.new())
    entry.channels[1] = channel
    broker.served.add(entry)  # what it holds counts as unacknowledged
    try:
        yield channel
    except AmqpError as error:
        raise refused(error) from error
    finally:
        broker.served.discard(entry)
        channel.close()
        broker.turn.end()


def _nothing() -> None:
    """What it is sent stays in the outlet."""


def refused(error: AmqpError) -> Refused:
    """What the client of that channel would be told, as a status."""
    if isinstance(error, ConnectionError_):
        return bad_request(f"{int(error.code)} {error.text}")
    text = f"{error.code.name} - {error.text}"
    if error.code is ReplyCode.ACCESS_REFUSED:
        return not_authorised(text)
    if error.code is ReplyCode.NOT_FOUND:
        return not_found(text)
    return bad_request(f"{int(error.code)} {text}")


@contextlib.contextmanager
def plainly() -> Iterator[None]:
    """For what 3.10.8 does without a channel: texts alone, a missing thing is not found."""
    try:
        yield
    except AmqpError as error:
        if error.code is ReplyCode.ACCESS_REFUSED:
            raise not_authorised(ACCESS_REFUSED) from error
        if error.code is ReplyCode.NOT_FOUND:
            raise not_found(error.text) from error
        raise bad_request(error.text) from error


async def answered(channel: Channel, begin: Callable[[Callable[[Any], None]], None]) -> Any:
    """Begin something that tells its end to a callback; its result. Raises the AmqpError it was
    told, or the one that `begin` raises; TimeoutError. What was begun is carried out."""
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def done(result: Any) -> None:
        if not future.done():
            future.set_result(result)

    vhost = channel.vhost
    with vhost.events.by(channel.user.name):
        begin(done)
    vhost.turn.end()
    async with asyncio.timeout(limits.HTTP_CHANNEL_S):
        result = await future
    if isinstance(result, AmqpError):
        raise result
    return result


def not_alarmed(channel: Channel) -> None:
    """Raise where a publisher would have to wait."""
    alarms = channel.vhost.alarms
    if alarms:
        text = "publishers wait: low on " + " & ".join(sorted(alarms, reverse=True))
        raise ConnectionError_(ReplyCode.INTERNAL_ERROR, text)
