"""Who a client is: from its first credentials to the vhost that it opens.

Decides who may log in, by which mechanism and from where, and what is said to who may not. Never
touches the socket, and closes nothing: what is refused is raised.
"""

from __future__ import annotations

import asyncio
import ipaddress
from typing import Any

from mqd.amqp.connection import Connection
from mqd.amqp.fields import Table
from mqd.amqp.replies import ConnectionError_, ReplyCode
from mqd.auth import sasl
from mqd.auth.access import LoginRefused
from mqd.auth.users import User
from mqd.broker.broker import Broker
from mqd.broker.entries import ConnectionEntry, Peer
from mqd.names import Pid
from mqd.transport.journal import Journal


class Login:
    """Of one connection. name: RabbitMQ's, of both ends of its socket. mechanism: empty until
    something was tried."""

    __slots__ = ("_broker", "_ours", "_peer", "_user", "journal", "mechanism", "name", "properties")

    def __init__(self, broker: Broker, pid: Pid, transport: asyncio.Transport) -> None:
        self._broker = broker
        self._peer = _address(transport.get_extra_info("peername"))
        self._ours = _address(transport.get_extra_info("sockname"))
        self._user: User | None = None
        self.mechanism = ""
        self.properties: Table = {}
        self.name = f"{_shown(self._peer)} -> {_shown(self._ours)}"
        self.journal = Journal(pid, self.name)

    def start(
        self, version: tuple[int, int, int], mechanism: str, response: bytes, properties: Table
    ) -> None:
        """connection.start-ok. Raises ConnectionError_."""
        broker = self._broker
        self.mechanism = mechanism
        self.properties = properties
        if mechanism not in broker.settings.auth_mechanisms:
            raise ConnectionError_(
                ReplyCode.COMMAND_INVALID, f"unknown authentication mechanism '{mechanism}'"
            )
        who = (mechanism, version, self.name, self._peer)
        try:
            credentials = sasl.parse(mechanism, response)
            address = self._peer[0]
            self._user = broker.auth.authenticate(credentials, _is_loopback(address), address)
            broker.events.authentication(self._user.name, None, *who)
        except LoginRefused as refused:
            broker.events.authentication(refused.username, refused.detail, *who)
            self.journal.refused(mechanism, refused.detail)
            text = (
                f"Login was refused using authentication mechanism {mechanism}. "
                "For details see the broker logfile."
            )
            # Only a client that says it can is told why (RabbitMQ: authentication_failure_close).
            capable = _can(properties, "authentication_failure_close")
            code = ReplyCode.ACCESS_REFUSED if capable else ReplyCode.NOT_ALLOWED
            raise ConnectionError_(code, text, (0, 0)) from refused

    def open(
        self, vhost: str, pid: Pid, connection: Connection, peer: Peer, now_ms: int
    ) -> ConnectionEntry:
        """connection.open: the connection as the broker knows it from now on. now_ms: since the
        epoch. Raises ConnectionError_."""
        assert self._user is not None
        found = self._broker.open_vhost(vhost, self._user)
        (peer_host, peer_port), (host, port) = self._peer, self._ours
        entry = ConnectionEntry(
            pid=pid,
            name=self.name,
            outlet=connection.outlet,
            peer=peer,
            user=self._user,
            vhost=found,
            host=host,
            port=port,
            peer_host=peer_host,
            peer_port=peer_port,
            protocol=connection.version,
            auth_mechanism=self.mechanism,
            frame_max=connection.frame_bytes_max,
            channel_max=connection.channel_max,
            timeout=connection.heartbeat_s,
            client_properties=self.properties,
            connected_at=now_ms,
        )
        self._broker.add_connection(entry)
        self.journal.opened(entry)
        return entry


def _address(raw: Any) -> tuple[str, int]:
    if not raw:
        return "unknown", 0
    host: str = raw[0]
    if host.startswith("::ffff:"):
        host = host[7:]  # an IPv4 peer on a dual-stack listener
    return host, raw[1]


def _shown(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _can(properties: Table, capability: str) -> bool:
    declared = properties.get("capabilities")
    return (
        declared is not None
        and declared[0] == "table"
        and declared[1].get(capability) == ("bool", True)
    )
