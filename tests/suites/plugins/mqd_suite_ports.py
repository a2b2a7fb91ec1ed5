"""A pytest plugin for suites that know only the well-known ports: connects go where we say.

Decides nothing else. MQD_SUITE_PORTS is a list such as `5672=40001,5671=40002`; loaded by
`-p mqd_suite_ports` in the interpreter of the suites, so it imports nothing of mqd.
"""

from __future__ import annotations

import os
import socket
from typing import Any

_HTTP_TIMEOUT_S = 60

_pairs = (pair.partition("=") for pair in os.environ["MQD_SUITE_PORTS"].split(","))
_PORTS = {int(known): int(actual) for known, _, actual in _pairs}
_connect = socket.socket.connect
_connect_ex = socket.socket.connect_ex


def _mapped(address: Any) -> Any:
    if isinstance(address, tuple) and address[1] in _PORTS:
        return (address[0], _PORTS[address[1]], *address[2:])
    return address


setattr(socket.socket, "connect", lambda self, to: _connect(self, _mapped(to)))  # noqa: B010
setattr(socket.socket, "connect_ex", lambda self, to: _connect_ex(self, _mapped(to)))  # noqa: B010


def pytest_configure(config: Any) -> None:
    """amqpstorm gives the management API one second; a control program may take longer."""
    try:
        import requests
    except ImportError:
        return
    request = requests.Session.request

    def patient(self: Any, *words: Any, **options: Any) -> Any:
        options["timeout"] = _HTTP_TIMEOUT_S
        return request(self, *words, **options)

    setattr(requests.Session, "request", patient)  # noqa: B010
