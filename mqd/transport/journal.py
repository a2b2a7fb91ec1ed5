"""What the log says of one connection, in RabbitMQ's words (observed: 3.10.8).

Decides words and levels. Never decides that something has happened: the session does.
"""

from __future__ import annotations

import logging
from typing import Any

from pamqp import commands

from mqd.amqp.replies import AmqpError, ChannelError, ReplyCode
from mqd.amqp.states import Phase
from mqd.broker.entries import ConnectionEntry
from mqd.names import Pid

log = logging.getLogger("mqd.connection")


class Journal:
    """Of a connection by that pid and name. entry: what it is, once it is open."""

    __slots__ = ("_name", "_pid", "entry")

    def __init__(self, pid: Pid, name: str) -> None:
        self._pid = pid
        self._name = name
        self.entry: ConnectionEntry | None = None

    def accepted(self) -> None:
        log.info("accepting AMQP connection %s (%s)", self._pid, self._name)

    def refused(self, mechanism: str, detail: str) -> None:
        """A login failed."""
        log.error(
            "Error on AMQP connection %s (%s, state: starting):\n%s login refused: %s",
            self._pid,
            self._name,
            mechanism,
            detail,
        )

    def opened(self, entry: ConnectionEntry) -> None:
        self.entry = entry
        given = entry.user_provided_name
        log.info(
            "connection %s (%s%s): user '%s' authenticated and granted access to vhost '%s'",
            self._pid,
            self._name,
            f" - {given}" if given else "",
            entry.user.name,
            entry.vhost.name,
        )

    def renewed(self) -> None:
        log.info("connection %s (%s): user's secret was updated", self._pid, self._name)

    def fault_of_ours(self) -> None:
        """With the exception that is being handled."""
        log.exception("connection %s (%s): internal error", self._pid, self._name)

    def failed(self, error: AmqpError, channel_id: int, phase: Phase) -> None:
        """A fault of the client ends the channel or the connection, which was in that phase, or
        is in it by now."""
        where = f"{self._pid} ({self._name}{self._who()}"
        if phase in (Phase.REFUSED, Phase.CLOSING):  # in the handshake
            if error.code is not ReplyCode.ACCESS_REFUSED:
                log.error("closing AMQP connection %s):\n%s", where, error.text)
            return
        class_id, method_id = error.method or (0, 0)
        method: Any = commands.INDEX_MAPPING.get(class_id << 16 | method_id)
        operation = method.name.lower() if method is not None else "none"
        told = (where, channel_id, operation, error.code.name.lower(), error.text)
        if isinstance(error, ChannelError):
            log.error(
                "Channel error on connection %s), channel %d:\n"
                " operation %s caused a channel exception %s: %s",
                *told,
            )
        else:
            log.error(
                "Error on AMQP connection %s, state: running), channel %d:\n"
                " operation %s caused a connection exception %s: %s",
                *told,
            )

    def unfinished(self, phase: Phase) -> None:
        """A handshake takes too long."""
        log.error(
            "closing AMQP connection %s (%s):\n{handshake_timeout,%s}",
            self._pid,
            self._name,
            phase.name.lower(),
        )

    def silent(self, timeout_s: int) -> None:
        """No heartbeat came."""
        log.error(
            "closing AMQP connection %s (%s%s):\nmissed heartbeats from client, timeout: %ds",
            self._pid,
            self._name,
            self._who(),
            timeout_s,
        )

    def overdue(self, channel_id: int, delivery_tag: int, timeout_ms: int) -> str:
        """A delivery was not acknowledged in time; what the client is told."""
        hint = "This timeout value can be configured, see consumers doc guide to learn more"
        log.warning(
            "Consumer %d on channel %d has timed out waiting for delivery acknowledgement. "
            "Timeout used: %d ms. %s",
            delivery_tag,
            channel_id,
            timeout_ms,
            hint,
        )
        return (
            f"delivery acknowledgement on channel {channel_id} timed out. "
            f"Timeout value used: {timeout_ms} ms. {hint}"
        )

    def ended(self, phase: Phase, reason: Exception | None) -> None:
        """The socket is gone; phase: until then."""
        where = f"{self._pid} ({self._name}{self._who()})"
        if phase in (Phase.CLOSED, Phase.CLOSING):
            log.info("closing AMQP connection %s", where)
        elif phase is Phase.RUNNING:
            log.warning(
                "closing AMQP connection %s:\nclient unexpectedly closed TCP connection%s",
                where,
                f": {reason}" if reason else "",
            )
        elif phase is not Phase.REFUSED:
            log.warning("closing AMQP connection %s:\nconnection_closed_abruptly", where)

    def _who(self) -> str:
        if self.entry is None:
            return ""
        given = self.entry.user_provided_name
        name = f" - {given}" if given else ""
        return f"{name}, vhost: '{self.entry.vhost.name}', user: '{self.entry.user.name}'"
