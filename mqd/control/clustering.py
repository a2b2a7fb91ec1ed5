"""The port on which other nodes and tools on other machines reach a node.

Decides which address that is, how it is shown and what is said when it cannot be had. Never
listens (`server` does) and imports no gRPC: the daemon asks before it starts anything.
"""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import dataclass
from typing import Final

from mqd.admin.context import ListenerInfo
from mqd.config.parse import ConfigError
from mqd.config.variables import Variable
from mqd.errors import ErrorCode, MqdError

PROTOCOL: Final = "clustering"
PURPOSE: Final = "inter-node and CLI tool communication"
EVERYWHERE: Final = "[::]"  # observed: 3.10.8 shows it so, with and without IPv6
_AMQP_PORT: Final = 5672
_PORT_OFFSET: Final = 20_000  # RabbitMQ: rabbit_env, erlang_dist_tcp_port
_PORT_MAX: Final = 65_535


@dataclass(frozen=True, slots=True)
class Clustering:
    """interface as it is shown and as gRPC takes it: IPv6 addresses in brackets."""

    interface: str
    port: int

    @property
    def info(self) -> ListenerInfo:
        return ListenerInfo(self.interface, self.port, PROTOCOL, PURPOSE)

    def check_free(self) -> None:
        """Raises MqdError when somebody listens there, or when there is no such address.

        Two sockets may be bound to one port as long as none listens (SO_REUSEADDR), so looking
        takes nothing from another node that starts.
        """
        family = socket.AF_INET6 if self.interface.startswith("[") else socket.AF_INET
        try:
            with socket.socket(family) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                probe.bind((self.interface.strip("[]"), self.port))
        except OSError as error:
            without_ipv6 = error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
            if self.interface == EVERYWHERE and without_ipv6:
                return Clustering("0.0.0.0", self.port).check_free()  # noqa: S104
            raise self.unusable(error) from error

    def unusable(self, error: OSError | None = None) -> MqdError:
        """What to say when it cannot be listened on."""
        number = error.errno if error is not None else errno.EADDRINUSE
        reason = os.strerror(number) if number and number > 0 else str(error)
        remedy = "set RABBITMQ_DIST_PORT to a free port"
        if number != errno.EADDRINUSE:
            remedy = "check RABBITMQ_DIST_PORT and distribution.listener.interface"
        return MqdError(
            ErrorCode.UNAVAILABLE,
            f"cannot listen for other nodes and tools on {self.interface}:{self.port}: {reason}; "
            f"{remedy}",
        )


def clustering(
    port: Variable | None, amqp_port: Variable | None, interface: str | None
) -> Clustering:
    """From RABBITMQ_DIST_PORT, else RABBITMQ_NODE_PORT, and distribution.listener.interface.

    As in RabbitMQ, ports of AMQP listeners in the configuration do not count. Raises ConfigError.
    """
    if port is not None:
        number = _number(port, _PORT_MAX)
    elif amqp_port is not None:
        number = _number(amqp_port, _PORT_MAX - _PORT_OFFSET) + _PORT_OFFSET
    else:
        number = _AMQP_PORT + _PORT_OFFSET
    host = (interface or EVERYWHERE).strip("[]")
    return Clustering(f"[{host}]" if ":" in host else host, number)


def _number(variable: Variable, largest: int) -> int:
    if variable.value.isascii() and variable.value.isdigit() and 0 < int(variable.value) <= largest:
        return int(variable.value)
    text = f"{variable.origin}: '{variable.value}' leaves no port for other nodes: "
    raise ConfigError([text + "set RABBITMQ_DIST_PORT to a number from 1 to 65535"])
