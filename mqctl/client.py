"""The connection to a node: cookie, deadline, one call at a time.

Decides where the node is reached and what a broken call means. Words nothing: it raises, the
pipeline says.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mqctl.wire.outcomes import Broken, Status
from mqd.rpc.socket_path import socket_path

if TYPE_CHECKING:
    from mqctl.wire.call import Call

PROGRAM = "mqctl/0.1"
DEADLINE_EXCEEDED = 4
DEADLINE_SLACK_S = 1.0  # the node's own deadline answer is waited for this long


class Unreachable(Exception):
    """Nobody answers for the node, or not to us."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TimedOut(Exception):
    """The verb's time is over."""


class Refused(Exception):
    """The node answered with a failure. code: name of an ErrorCode; detail: its text."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


def find_cookie(option: str | None, node: str = "") -> str | None:
    """--erlang-cookie, else RABBITMQ_ERLANG_COOKIE, else the file in the home directory.

    node: whose socket may tell that root acts for a service's user, see `_home`.
    """
    if option is not None:
        return option
    if given := os.environ.get("RABBITMQ_ERLANG_COOKIE"):
        return given
    path = os.path.join(_home(node), ".erlang.cookie")
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return None


def _home(node: str) -> str:
    """For root, the home of the user that the node runs as: RabbitMQ's packaged wrappers become
    that user (su rabbitmq), so runbooks typed as root expect it."""
    if node and os.geteuid() == 0:
        try:
            owner = os.stat(socket_path(node)).st_uid
            if owner:
                import pwd

                return pwd.getpwuid(owner).pw_dir
        except (OSError, KeyError):
            pass
    return os.environ.get("HOME") or os.path.expanduser("~")


class Reply:
    """A call that has been sent. Iterate it for the reply messages."""

    def __init__(self, call: Call, message_class: Any) -> None:
        self._call = call
        self._class = message_class

    def wait_ready(self) -> None:
        """Return once the node has admitted the call: cookie and the node's state are right."""
        with _translated():
            self._call.wait_ready()

    def __iter__(self) -> Iterator[Any]:
        with _translated():
            for data in self._call.messages():
                yield self._class.FromString(data)

    def one(self) -> Any:
        """The reply of a unary call."""
        message = None
        for item in self:
            message = item
        return self._class() if message is None else message


class _translated:
    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, value: Any, _traceback: object) -> None:
        if kind is None:
            return
        if issubclass(kind, TimeoutError):
            raise TimedOut from value
        if issubclass(kind, Status):
            raise _refusal(value) from None
        if issubclass(kind, (Broken, OSError)):
            raise Unreachable(str(value)) from value


def _refusal(status: Status) -> Exception:
    code = status.trailers.get("mqd-code", "")
    if code == "ACCESS_REFUSED" and status.code == 16:
        return Unreachable("the node refused this tool's cookie")
    if "mqd-down" in status.trailers:
        return Unreachable(status.message)
    if code:
        return Refused(code, status.message)
    if status.code == DEADLINE_EXCEEDED:
        return TimedOut()
    if status.code == 14:
        return Unreachable(status.message)
    return Refused("INTERNAL", status.message or "the node ended the call without a reason")


class Client:
    """Calls to one node. timeout_s None: wait as long as it takes."""

    def __init__(self, node: str, timeout_s: float | None, cookie: str | None) -> None:
        self.node = node
        self.timeout_s = timeout_s
        self.cookie = cookie
        self.path = socket_path(node)
        self._sockets: list[Any] = []

    def close(self) -> None:
        """Hang up."""
        for sock in self._sockets:
            sock.close()

    def call(self, path: str, request: Any, reply_class: Any) -> Reply:
        """Send a request. Raises Unreachable when there is nothing to send it to."""
        body = request.SerializeToString()
        with _translated():
            sock, is_local = self._connect()
            self._sockets.append(sock)
            from mqctl.wire.call import Link  # HTTP/2 costs time: only where a node answers

            link = Link(sock)
            actor = _actor()
            guard = self._cookie_hash() if is_local else self._vouch(link, path, actor, body)
            sock.settimeout(None if self.timeout_s is None else self.timeout_s + DEADLINE_SLACK_S)
            metadata = [(b"mqd-client", PROGRAM.encode()), (b"mqd-actor", actor.encode()), *guard]
            call = link.call(path, metadata, self.timeout_s, body)
        return Reply(call, reply_class)

    def _connect(self) -> tuple[Any, bool]:
        """The node's socket on this machine, else its port on the host that its name says."""
        import socket

        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        if self.timeout_s is not None:
            sock.settimeout(self.timeout_s + DEADLINE_SLACK_S)
        try:
            sock.connect(self.path)
        except OSError:  # not there, left behind by a node that died, or not for this user
            sock.close()
        else:
            return sock, True
        from mqctl.wire.reach import dial

        return dial(self.node), False

    def _vouch(self, link: Any, path: str, actor: str, body: bytes) -> list[tuple[bytes, bytes]]:
        from mqctl.wire.peer import introduce

        return introduce(link, self.node, self.cookie or "").vouch(path, actor, body)

    def _cookie_hash(self) -> list[tuple[bytes, bytes]]:
        if self.cookie is None:
            return []
        from hashlib import sha256

        return [(b"mqd-cookie-hash", sha256(self.cookie.encode()).hexdigest().encode())]


def _actor() -> str:
    """Who asks, for the node's log; empty when it cannot travel in a header."""
    actor = os.environ.get("SUDO_USER") or os.environ.get("USER") or ""
    return actor if actor.isascii() and actor.isprintable() else ""
