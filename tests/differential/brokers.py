"""The two brokers a program is played on, and how each says that it has nothing left to do.

Decides what "at rest" means. mqd works off what it has read before it reads on, so that an answer
on a connection is enough. RabbitMQ is hundreds of processes that tell each other things: one
answer says nothing of the others, and asking a queue is no help either, since such questions
overtake what was published. Its node is asked instead, through `barrier.erl`.

Policies are set by the tool's verb on mqd, and on RabbitMQ by the call that its tool makes:
starting the tool takes a second there.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol
from unittest import mock

import pika

from mqctl.catalogue import CTL
from mqctl.pipeline import Pipeline
from tests.nodes import Node
from tests.ports import free_ports
from tests.suites import brokers as suites

_SOURCE = Path(__file__).with_name("barrier.erl")
_EVAL = (
    '{{ok, M, Code}} = compile:file("{source}", [binary]),'
    ' {{module, M}} = code:load_binary(M, "barrier", Code), M:start({port}).'
)
_ERROR = re.compile(r'\{error(?:_string)?,"(.*)"\}', re.DOTALL)
VERSION = "3.10.8"


class Broker(Protocol):
    """What the runner needs of a broker that answers AMQP on `port`."""

    @property
    def port(self) -> int: ...

    def rest(self, *, disc: bool) -> None:
        """Return when everything that was sent so far has had its effects. disc: also those that
        wait for the disc."""

    def control(self, words: list[str]) -> str:
        """A verb that sets or clears policies. Returns why it was refused, or nothing."""


class Mqd:
    """mqd: at rest as soon as the connections have been answered; with what is on disc, when what
    is published after it is on disc too."""

    def __init__(self, node: Node) -> None:
        self.port = node.port
        self._environment = node.environment
        self._confirming: Confirming | None = None

    def rest(self, *, disc: bool) -> None:
        if disc:
            self._confirming = self._confirming or Confirming(self.port)
            self._confirming.publish()

    def control(self, words: list[str]) -> str:
        out, err = io.StringIO(), io.StringIO()
        with mock.patch.dict(os.environ, self._environment):
            code = Pipeline("mqctl", CTL, out, err).run(
                ["-q", "-n", self._environment["RABBITMQ_NODENAME"], *words]
            )
        return err.getvalue().strip().removeprefix("Error:").strip() if code else ""

    def close(self) -> None:
        if self._confirming is not None:
            self._confirming.close()


class Confirming:
    """A publisher that waits until what it publishes is on disc, and everything before it. It uses
    a stream of its own: a stream refuses and drops nothing, whatever policies a program sets."""

    _QUEUE = "differential.disc"

    def __init__(self, port: int) -> None:
        parameters = pika.ConnectionParameters("127.0.0.1", port, heartbeat=0)
        self._connection = pika.BlockingConnection(parameters)
        self._channel = self._connection.channel()
        self._channel.queue_declare(self._QUEUE, durable=True, arguments={"x-queue-type": "stream"})
        self._channel.confirm_delivery()

    def publish(self) -> None:
        properties = pika.BasicProperties(delivery_mode=2)
        self._channel.basic_publish("", self._QUEUE, b"", properties)

    def close(self) -> None:
        self._connection.close()


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

    def rest(self, *, disc: bool) -> None:
        answer = self.ask("quiet")
        assert answer == "ok", answer

    def control(self, words: list[str]) -> str:
        answer = self.ask(_policy_call(words))
        told = _ERROR.fullmatch(answer)
        if told is None:
            assert answer == "ok", answer
            return ""
        text = told.group(1).encode().decode("unicode_escape").strip()
        return re.sub(r"\n +", "", text)  # terms are broken at 80 columns

    def close(self) -> None:
        self._link.close()


def _policy_call(words: list[str]) -> str:
    """The call that rabbitmqctl makes for the verb."""
    parser = argparse.ArgumentParser()
    parser.add_argument("-p", required=True)
    parser.add_argument("--priority", type=int, default=0)
    parser.add_argument("--apply-to", default="all")
    parser.add_argument("arguments", nargs="+")
    told = parser.parse_args(words[1:])
    verb, _, kind = words[0].partition("_")
    suffix = "_op" if kind == "operator_policy" else ""
    binaries = [_binary(word) for word in (told.p, *told.arguments)]
    if verb == "set":
        binaries += [str(told.priority), _binary(told.apply_to)]
        verb = "parse_set"
    else:
        verb = "delete"
    called = ",".join((*binaries, _binary("differential")))
    return f"{{rabbit_policy,{verb}{suffix},[{called}]}}."


def _binary(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'<<"{escaped}">>'


@contextlib.contextmanager
def mqd(directory: Path) -> Iterator[Mqd]:
    """The daemon of this checkout."""
    with Node(directory, "differential") as node:
        node.await_control()
        broker = Mqd(node)
        try:
            yield broker
        finally:
            broker.close()


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
