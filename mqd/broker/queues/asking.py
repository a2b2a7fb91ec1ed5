"""What channels have asked of a queue that has no home now.

Theory. Whoever asks waits for `done`, and may hold up a connection, or what is told of a deletion,
until it comes. So it always comes: from the next home, or when the channel that asked has gone. A
channel ends what it has elsewhere as it closes (`Channel.remotes`); this is among it.

Decides when a question ends because nobody asks it any more. Never asks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mqd.amqp.replies import ChannelError, ReplyCode
from mqd.names import Pid

if TYPE_CHECKING:
    from mqd.broker.channel import Channel

Again = Callable[[], None]


def gone() -> ChannelError:
    """What is said to a channel that is closed, where nobody hears it."""
    return ChannelError(ReplyCode.CHANNEL_ERROR, "the channel is closed")


class Asked:
    """Of one queue."""

    __slots__ = ("_pid", "_waiting")

    def __init__(self, pid: Pid) -> None:
        self._pid = pid
        self._waiting: list[tuple[Channel | None, Again]] = []

    def put(self, channel: Channel | None, again: Again) -> None:
        """again(): asks once more, or ends it when the channel has gone by then."""
        self._waiting.append((channel, again))
        if channel is not None:
            channel.remotes[self._pid] = _Question(self, channel)

    def take(self) -> list[Again]:
        """All of it."""
        waiting, self._waiting = self._waiting, []
        for channel, _ in waiting:
            if channel is not None:
                channel.remotes.pop(self._pid, None)
        return [again for _, again in waiting]

    def leave(self, channel: Channel) -> None:
        """It has gone."""
        ended = [again for who, again in self._waiting if who is channel]
        self._waiting = [each for each in self._waiting if each[0] is not channel]
        for again in ended:
            again()


class _Question:
    """A channel's, among what it has elsewhere: `mqd.broker.homes.Hold`."""

    __slots__ = ("_asked", "_channel")

    def __init__(self, asked: Asked, channel: Channel) -> None:
        self._asked = asked
        self._channel = channel

    def settle(self, tag: int, how: str) -> None:
        """It has delivered nothing."""

    def limit(self, count: int) -> None:
        """The home is told when it is asked."""

    def close(self) -> None:
        self._asked.leave(self._channel)
