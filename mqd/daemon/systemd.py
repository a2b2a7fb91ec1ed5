"""What the service manager is told, by sd_notify's datagram.

Decides the messages (READY, STATUS, STOPPING, EXTEND_TIMEOUT_USEC, WATCHDOG) and how often the
watchdog wants one. Without NOTIFY_SOCKET everything here does nothing. Never raises: a node does
not fail because nobody listens.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Mapping


class Notifier:
    """sd_notify(3), by hand: one datagram."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        path = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self.watchdog_s = _watchdog_s(environ) if path else 0.0

    @property
    def is_active(self) -> bool:
        """Whether a service manager started us and waits for READY."""
        return bool(self._address)

    def ready(self, status: str) -> None:
        self._send(f"READY=1\nSTATUS={status}")

    def status(self, text: str, extend_s: int = 0) -> None:
        """Show a line in `systemctl status`; with extend_s also ask for that much more time."""
        more = f"\nEXTEND_TIMEOUT_USEC={extend_s * 1_000_000}" if extend_s else ""
        self._send(f"STATUS={text}{more}")

    def reloading(self) -> None:
        """Until the next READY=1."""
        self._send(
            f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}"
        )

    def stopping(self, status: str) -> None:
        self._send(f"STOPPING=1\nSTATUS={status}")

    def alive(self) -> None:
        """Feed the watchdog."""
        self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
            to.sendto(message.encode(), self._address)


def _watchdog_s(environ: Mapping[str, str]) -> float:
    """Half the time after which systemd kills us, as sd_watchdog_enabled(3) advises; 0 is off."""
    text = environ.get("WATCHDOG_USEC", "")
    return int(text) / 2_000_000 if text.isdigit() else 0.0
