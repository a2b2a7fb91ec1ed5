"""The two brokers a program is played on, and how each says that it has nothing left to do.

Decides what "at rest" means. mqd works off what it has read before it reads on, so that an answer
on a connection is enough. RabbitMQ is hundreds of processes that tell each other things: one
answer says nothing of the others, and asking a queue is no help either, since such questions
overtake what was published. Its node is asked instead, through `barrier.erl`.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.nodes import Node, free_ports
from tests.suites import brokers as suites

_SOURCE = Path(__file__).with_name("barrier.erl")
_EVAL = (
    '{{ok, M, Code}} = compile:file("{source}", [binary]),'
    ' {{module, M}} = code:load_binary(M, "barrier", Code), M:start({port}).'
)
VERSION = "3.10.8"


class Broker(Protocol):
    """What the runner needs of a broker that answers AMQP on `port`."""

    @property
    def port(self) -> int: ...

    def rest(self) -> None:
        """Return when everything that was sent so far has had its effects."""


@dataclass(frozen=True, slots=True)
class Mqd:
    """mqd: at rest as soon as the connections have been answered."""

    port: int

    def rest(self) -> None:
        return


class RabbitMQ:
    """RabbitMQ with the barrier loaded into it."""

    def __init__(self, port: int, barrier_port: int) -> None:
        self.port = port
        self._link = socket.create_connection(("127.0.0.1", barrier_port), 60)
        self._link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, request: str) -> str:
        """The answer to `quiet` or to a call {Module, Function, Arguments}."""
        data = request.encode()
        self._link.sendall(struct.pack(">I", len(data)) + data)
        (size,) = struct.unpack(">I", self._read(4))
        return self._read(size).decode()

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self._link.recv(size - len(data))
            if not piece:
                raise RuntimeError("the node closed the barrier's connection")
            data += piece
        return data

    def rest(self) -> None:
        answer = self.ask("quiet")
        assert answer == "ok", answer

    def close(self) -> None:
        self._link.close()


@contextlib.contextmanager
def mqd(directory: Path) -> Iterator[Mqd]:
    """The daemon of this checkout."""
    with Node(directory, "differential") as node:
        yield Mqd(node.port)


@contextlib.contextmanager
def rabbitmq(directory: Path) -> Iterator[RabbitMQ]:
    """A RabbitMQ 3.10.8 of its own. Raises RuntimeError when there is none."""
    folder = suites.rabbitmq_folder()
    if folder is None:
        raise RuntimeError("no rabbitmq-server found: set RABBITMQ_BIN")
    with suites.rabbitmq(folder, directory, None) as running:
        version = _ctl(running, "version").strip()
        if version != VERSION:
            raise RuntimeError(f"RabbitMQ {VERSION} is the judge, this is {version}")
        (barrier_port,) = free_ports(1)
        _ctl(running, "eval", _EVAL.format(source=_SOURCE, port=barrier_port))
        broker = RabbitMQ(running.port, barrier_port)
        try:
            yield broker
        finally:
            broker.close()


def _ctl(running: suites.Running, *words: str) -> str:
    done = subprocess.run(
        [*running.ctl, "-q", *words],
        env=running.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{words[0]}: exit {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout
