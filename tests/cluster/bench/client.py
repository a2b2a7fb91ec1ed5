"""A blocking AMQP client for loads, and loads as processes of their own.

    python -m tests.cluster.bench.client publish HOST PORT QUEUE SIZE WINDOW SECONDS
    python -m tests.cluster.bench.client consume HOST PORT QUEUE SECONDS

Each prints one line of JSON. Decides how loads are made; never starts a broker.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

from tests.protocol import wire

_FRAME_MAX = 131_072
_ACK, _NACK, _DELIVER = bytes((0, 60, 0, 80)), bytes((0, 60, 0, 120)), bytes((0, 60, 0, 60))


class Refused(Exception):
    """The broker closed the channel or the connection."""


class Client:
    """One connection with channel 1 open. Raises OSError when it is gone."""

    def __init__(self, address: tuple[str, int], timeout_s: float = 60.0) -> None:
        self._socket = socket.create_connection(address, 5)
        self._socket.settimeout(timeout_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""
        self._queue: list[tuple[int, bytes]] = []
        self._tag = 0
        self.write(wire.PROTOCOL_HEADER)
        self.wait("connection.start")
        self._send(
            0,
            "connection.start-ok",
            mechanism="PLAIN",
            response="\0guest\0guest",
            locale="en_US",
            client_properties={
                "capabilities": (
                    "F",
                    dict.fromkeys(("publisher_confirms", "basic.nack"), ("t", True)),
                )
            },
        )
        self.wait("connection.tune")
        self._send(0, "connection.tune-ok", channel_max=2047, frame_max=_FRAME_MAX, heartbeat=0)
        self._send(0, "connection.open", virtual_host="/")
        self.wait("connection.open-ok")
        self.call("channel.open")

    def write(self, data: bytes) -> None:
        self._socket.sendall(data)

    def _send(self, channel: int, name: str, **values: Any) -> None:
        self.write(wire.frame(wire.FRAME_METHOD, channel, wire.method_payload(name, values)))

    def send(self, name: str, **values: Any) -> None:
        self._send(1, name, **values)

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """(kind, payload) of what comes with the next read, and what was left over."""
        while not self._queue:
            data = self._socket.recv(262_144)
            if not data:
                raise ConnectionResetError("closed by the broker")
            data = self._rest + data
            at = 0
            while len(data) - at >= 8:
                end = at + 8 + int.from_bytes(data[at + 3 : at + 7], "big")
                if end > len(data):
                    break
                self._queue.append((data[at], data[at + 7 : end - 1]))
                at = end
            self._rest = data[at:]
        came, self._queue = self._queue, []
        yield from came

    def deliveries(self) -> Iterator[tuple[int, bytes]]:
        """(tag, body) of those that are complete with the next read; bodies of one frame."""
        for kind, payload in self.frames():
            if kind == wire.FRAME_METHOD and payload[:4] == _DELIVER:
                self._tag = _tag_of(payload)
            elif kind == wire.FRAME_BODY:
                yield self._tag, payload

    def wait(self, name: str) -> dict[str, Any]:
        """Until that method comes; others are passed over. Raises Refused."""
        while True:
            came = list(self.frames())
            for at, (kind, payload) in enumerate(came):
                if kind != wire.FRAME_METHOD:
                    continue
                spec, values = wire.read_method(payload)
                if spec.name == name:
                    self._queue = came[at + 1 :] + self._queue
                    return values
                if spec.name in ("channel.close", "connection.close"):
                    raise Refused(values["reply_text"])

    def call(self, method: str, **values: Any) -> dict[str, Any]:
        """Its ok. Raises Refused."""
        self.send(method, **values)
        return self.wait(f"{method}-ok")

    def declare(self, queue: str, kind: str = "classic", **values: Any) -> None:
        arguments = {"x-queue-type": ("S", "quorum")} if kind == "quorum" else {}
        self.call("queue.declare", queue=queue, arguments=arguments, **values)

    def hang_up(self) -> None:
        """Who reads, in another thread, is told that nothing more comes."""
        self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._socket.close()


def message(queue: str, body: bytes, mode: int = 2) -> bytes:
    """The frames of one publish."""
    method = wire.method_payload("basic.publish", {"routing_key": queue})
    header = wire.header_payload(len(body), {"delivery_mode": mode})
    return (
        wire.frame(wire.FRAME_METHOD, 1, method)
        + wire.frame(wire.FRAME_HEADER, 1, header)
        + wire.body_frames(1, body, _FRAME_MAX)
    )


def is_confirm(kind: int, payload: bytes) -> bool:
    return kind == wire.FRAME_METHOD and payload[:4] in (_ACK, _NACK)


def _tag_of(delivery: bytes) -> int:
    at = 5 + delivery[4]
    return int.from_bytes(delivery[at : at + 8], "big")


class Publisher:
    """Keeps a window of unconfirmed messages full."""

    def __init__(self, client: Client, queue: str, size: int, window: int, mode: int = 2) -> None:
        self._client = client
        self._one = message(queue, b"x" * size, mode)
        self._window = window
        self.sent = 0
        self.confirmed = 0
        self.nacked = 0
        client.call("confirm.select")

    def step(self) -> None:
        """Fill the window, and hear what has come."""
        room = self._window - (self.sent - self.confirmed)
        if room > 0:
            self._client.write(self._one * room)
            self.sent += room
        for kind, payload in self._client.frames():
            if is_confirm(kind, payload):
                tag = int.from_bytes(payload[4:12], "big")
                self.nacked += payload[:4] == _NACK
                # A single confirm may come out of order: then the window is not quite full.
                self.confirmed = tag if payload[12] & 1 else self.confirmed + 1


def publish(address: tuple[str, int], queue: str, size: int, window: int, seconds: float) -> None:
    client = Client(address)
    publisher = Publisher(client, queue, size, window)
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        publisher.step()
    passed = time.monotonic() - began
    print(json.dumps({"count": publisher.confirmed, "seconds": passed, "nacked": publisher.nacked}))


def consume(address: tuple[str, int], queue: str, seconds: float) -> None:
    """Acknowledges what came with one read in one."""
    client = Client(address, timeout_s=1.0)
    client.call("basic.qos", prefetch_count=500)
    client.call("basic.consume", queue=queue, consumer_tag="c")
    count, began = 0, time.monotonic()
    while time.monotonic() - began < seconds:
        tag = 0
        try:
            for kind, payload in client.frames():
                if kind == wire.FRAME_METHOD and payload[:4] == _DELIVER:
                    tag = _tag_of(payload)
                    count += 1
        except TimeoutError:
            continue
        if tag:
            client.send("basic.ack", delivery_tag=tag, multiple=True)
    print(json.dumps({"count": count, "seconds": time.monotonic() - began}))


def main() -> None:
    what, host, port, queue, *numbers = sys.argv[1:]
    address = host, int(port)
    if what == "publish":
        size, window, seconds = numbers
        publish(address, queue, int(size), int(window), float(seconds))
    else:
        consume(address, queue, float(numbers[0]))


if __name__ == "__main__":
    main()
