"""`make scale`: many queues, bindings, connections and messages, beside RabbitMQ's in one run.

Decides what is measured, step by step: how long a broker takes to have so many of each declared,
published, listed and recovered after an orderly stop, and how much memory it has then. Both brokers
are started on free ports of 127.0.0.1 with folders of their own and ended by pid; RabbitMQ is left
out where it is not installed. Figures of one run may be compared with each other only.

The client is the same for both and waits for nothing but the broker: declares go out in windows,
so that the broker always has one to work on; messages are persistent, and counted by confirms.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pamqp import base, commands, frame
from pamqp.header import ContentHeader, ProtocolHeader

from tests.nodes import Node, await_amqp
from tests.ports import control_port, free_ports
from tests.suites.brokers import rabbitmq_folder

_WINDOW = 200  # declares on their way at a time
_PUBLISH_WINDOW = 5_000
_BOOT_S = 300.0
_STOP_S = 120.0
_ANSWER_S = 120.0
_BODY_BYTES = 100
_ACK = struct.Struct(">BHIIQBB")  # envelope, basic.ack, end of frame
_CTL = "from mqctl.main import main; raise SystemExit(main())"


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many of each. A message goes to every queue in turn; bindings lead to one exchange."""

    queues: int = 10_000
    bindings: int = 5_000
    connections: int = 1_000
    messages: int = 1_000_000


FULL = Sizes()
SMOKE = Sizes(queues=300, bindings=300, connections=50, messages=6_000)


class Measured(Protocol):
    """A broker under measurement, stopped at first."""

    title: str
    port: int

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def ctl(self, *words: str) -> int:
        """Run a verb; returns how many lines it printed."""

    def rss_mb(self) -> float: ...


class Mqd:
    """The daemon of this checkout."""

    title = "mqd"

    def __init__(self, directory: Path) -> None:
        self._node = Node(directory, "scale")
        self.port = self._node.port

    def start(self) -> None:
        self._node.launch()
        await_amqp(self.port, _BOOT_S)
        self._node.await_control()

    def stop(self) -> None:
        process = self._node.process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(_STOP_S)

    def ctl(self, *words: str) -> int:
        return _lines([sys.executable, "-c", _CTL, *words], self._node.environment)

    def rss_mb(self) -> float:
        return self._node.rss_mb


class RabbitMQ:
    """The one that is installed."""

    title = "RabbitMQ"

    def __init__(self, directory: Path, folder: Path) -> None:
        (self.port,), dist_port = free_ports(1), control_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._output = directory / "output"
        (directory / "home").mkdir(parents=True)
        (directory / "enabled_plugins").write_text("[].\n")
        (directory / "rabbitmq.conf").write_text(f"listeners.tcp.local = 127.0.0.1:{self.port}\n")
        (directory / "env.conf").write_text("")
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory / "home"),
            "RABBITMQ_CONF_ENV_FILE": str(directory / "env.conf"),
            "RABBITMQ_NODENAME": f"scale{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(dist_port),
            "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(directory / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "enabled_plugins"),
            "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
            "RABBITMQ_PID_FILE": str(directory / "pid"),
        }

    def start(self) -> None:
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                [self._folder / "rabbitmq-server"],
                env=self._environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        await_amqp(self.port, _BOOT_S)
        self.ctl("await_startup")

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(_STOP_S)

    def ctl(self, *words: str) -> int:
        return _lines([str(self._folder / "rabbitmqctl"), *words], self._environment)

    def rss_mb(self) -> float:
        assert self._process is not None
        return sum(map(_rss_mb, _tree(self._process.pid)))


def _lines(command: list[str], environment: dict[str, str]) -> int:
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=300, check=True
    )
    return len(done.stdout.splitlines())


def _tree(pid: int) -> Iterator[int]:
    yield pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for child in children:
        yield from _tree(int(child))


def _rss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


class Link:
    """A client connection with one channel, blocking, without a heartbeat."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), _ANSWER_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unread = b""
        self._send(ProtocolHeader(0, 9, 1), 0)
        self.read()
        self._send(commands.Connection.StartOk({}, "PLAIN", "\0guest\0guest", "en_US"), 0)
        tune = self.read()
        self._send(commands.Connection.TuneOk(tune.channel_max, tune.frame_max, 0), 0)
        self.call(commands.Connection.Open("/"), 0)
        self.call(commands.Channel.Open())

    def _send(self, method: Any, channel: int = 1) -> None:
        self._socket.sendall(frame.marshal(method, channel))

    def send_raw(self, data: bytes) -> None:
        self._socket.sendall(data)

    def read(self) -> Any:
        """The next frame."""
        while True:
            size, _, piece = frame.unmarshal(self._unread) if self._unread else (0, 0, None)
            if piece is not None:
                self._unread = self._unread[size:]
                return piece
            more = self._socket.recv(65_536)
            if not more:
                raise ConnectionError("the broker closed the connection")
            self._unread += more

    def receive(self, size: int) -> bytes:
        """What comes next, as it comes."""
        data, self._unread = self._unread, b""
        data = data or self._socket.recv(size)
        if not data:
            raise ConnectionError("the broker closed the connection")
        return data

    def drop(self) -> None:
        """Go without a word."""
        self._socket.close()

    def acks(self) -> list[tuple[int, bool]]:
        """The acks that come next, (tag, multiple). By hand: they may come one by one."""
        while len(self._unread) < _ACK.size:
            self._unread += self._socket.recv(65_536)
        end = len(self._unread) // _ACK.size * _ACK.size
        rows, self._unread = self._unread[:end], self._unread[end:]
        frames = list(_ACK.iter_unpack(rows))
        assert all(row[:4] == (1, 1, 13, 0x3C0050) for row in frames), frames
        return [(tag, bool(bits & 1)) for *_, tag, bits, _ in frames]

    def call(self, method: base.Frame, channel: int = 1) -> Any:
        self._send(method, channel)
        return self.read()

    def call_all(self, methods: Sequence[base.Frame]) -> None:
        """Windows of methods, each of which is answered by one frame."""
        for at in range(0, len(methods), _WINDOW):
            window = methods[at : at + _WINDOW]
            self._socket.sendall(b"".join(frame.marshal(method, 1) for method in window))
            for method in window:
                answer = self.read()
                assert answer.name == f"{method.name}Ok", answer

    def close(self) -> None:
        self.call(commands.Connection.Close(200, "", 0, 0), 0)
        self._socket.close()


def queue_name(index: int) -> str:
    return f"scale-{index:05}"


def declare(port: int, sizes: Sizes) -> None:
    link = Link(port)
    link.call_all(
        [commands.Queue.Declare(0, queue_name(i), durable=True) for i in range(sizes.queues)]
    )
    link.close()


def bind(port: int, sizes: Sizes) -> None:
    link = Link(port)
    link.call_all(
        [
            commands.Queue.Bind(0, queue_name(i % sizes.queues), "amq.direct", f"key.{i}")
            for i in range(sizes.bindings)
        ]
    )
    link.close()


def publish(port: int, sizes: Sizes) -> None:
    """Persistent messages to all queues in turn; returns when all are confirmed."""
    link = Link(port)
    link.call(commands.Confirm.Select())
    header = ContentHeader(0, _BODY_BYTES, commands.Basic.Properties(delivery_mode=2))
    content = frame.marshal(header, 1) + b"\x03\x00\x01" + _BODY_BYTES.to_bytes(4, "big")
    content += b"." * _BODY_BYTES + b"\xce"
    published = [
        frame.marshal(commands.Basic.Publish(0, "", queue_name(i)), 1) + content
        for i in range(sizes.queues)
    ]
    unconfirmed: set[int] = set()
    sent = 0
    while sent < sizes.messages or unconfirmed:
        count = min(1_000, sizes.messages - sent)
        link.send_raw(b"".join(published[(sent + i) % sizes.queues] for i in range(count)))
        unconfirmed.update(range(sent + 1, sent + count + 1))
        sent += count
        while len(unconfirmed) > (_PUBLISH_WINDOW if sent < sizes.messages else 0):
            for tag, multiple in link.acks():
                if multiple:
                    unconfirmed = {each for each in unconfirmed if each > tag}
                else:
                    unconfirmed.discard(tag)
    link.close()


def connect(port: int, sizes: Sizes, links: list[Link]) -> None:
    """Connections with a channel each and nothing else."""
    links.extend(Link(port) for _ in range(sizes.connections))


Figures = dict[str, float]


def measure(broker: Measured, sizes: Sizes) -> Figures:
    """Seconds by step and MB by moment. The broker is stopped in the end."""
    figures: Figures = {}

    def timed(step: str, call: Callable[[], object]) -> object:
        began = time.monotonic()
        result = call()
        figures[f"{step} s"] = time.monotonic() - began
        return result

    def listed(step: str, at_least: int, *words: str) -> None:
        count = timed(step, lambda: broker.ctl("-q", *words))
        assert isinstance(count, int)
        assert count >= at_least, f"{step}: {count} lines"

    links: list[Link] = []
    try:
        timed("start empty", broker.start)
        figures["empty MB"] = broker.rss_mb()
        timed("declare queues", lambda: declare(broker.port, sizes))
        timed("bind", lambda: bind(broker.port, sizes))
        figures["declared MB"] = broker.rss_mb()
        timed("publish", lambda: publish(broker.port, sizes))
        figures["published MB"] = broker.rss_mb()
        timed("connect", lambda: connect(broker.port, sizes, links))
        figures["connected MB"] = broker.rss_mb()
        listed("list queues", sizes.queues, "list_queues", "name", "messages")
        columns = ("name", "messages", "message_bytes", "memory", "consumers", "policy")
        listed("list queues, more columns", sizes.queues, "list_queues", *columns)
        listed("list bindings", sizes.queues + sizes.bindings, "list_bindings")
        listed("list connections", sizes.connections, "list_connections", "name", "state")
        for link in links:
            link.close()
        links.clear()
        timed("stop", broker.stop)
        timed("recover", broker.start)
        figures["recovered MB"] = broker.rss_mb()
        listed("list queues after recovery", sizes.queues, "list_queues", "name", "messages")
        check_recovered(broker.port, sizes)
    finally:
        for link in links:
            link.drop()
        broker.stop()
    return figures


def check_recovered(port: int, sizes: Sizes) -> None:
    """Every queue has its share, no more and no less."""
    link = Link(port)
    count = 0
    for i in range(sizes.queues):
        count += link.call(commands.Queue.Declare(0, queue_name(i), passive=True)).message_count
    link.close()
    assert count == sizes.messages, f"{count} of {sizes.messages} messages recovered"


def table(rows: dict[str, Figures]) -> str:
    """A line for each step, a column for each broker."""
    titles = list(rows)
    steps = next(iter(rows.values()))
    lines = ["| | " + " | ".join(titles) + " |", "|---" * (len(titles) + 1) + "|"]
    for step in steps:
        cells = " | ".join(f"{rows[title][step]:.2f}" for title in titles)
        lines.append(f"| {step} | {cells} |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Print one table; 1 when mqd is worse than RabbitMQ anywhere, RabbitMQ being there."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    for name in ("queues", "bindings", "connections", "messages"):
        parser.add_argument(f"--{name}", type=int, default=getattr(FULL, name))
    parser.add_argument("--only", choices=("mqd", "rabbitmq"))
    options = parser.parse_args(argv)
    sizes = Sizes(options.queues, options.bindings, options.connections, options.messages)
    work = Path(tempfile.mkdtemp(prefix="mqd-scale-"))
    folder = rabbitmq_folder()
    brokers: list[Measured] = []
    if options.only != "rabbitmq":
        brokers.append(Mqd(work / "mqd"))
    if options.only != "mqd" and folder is not None:
        brokers.append(RabbitMQ(work / "rabbitmq", folder))
    try:
        rows = {}
        for broker in brokers:
            rows[broker.title] = measure(broker, sizes)
            print(table({broker.title: rows[broker.title]}), flush=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(f"{sizes}\n\n{table(rows)}")
    if len(rows) < 2:
        return 0
    worse = [step for step in rows["mqd"] if rows["mqd"][step] > rows["RabbitMQ"][step]]
    if worse:
        print(f"\nworse than RabbitMQ: {', '.join(worse)}")
    return bool(worse)


if __name__ == "__main__":
    raise SystemExit(main())
