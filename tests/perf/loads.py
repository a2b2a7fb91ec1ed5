"""`make loads`: what long streams and consumers that never acknowledge cost, beside RabbitMQ's.

Decides what is measured: how fast a stream is appended to, with confirms, and read from its first
message on, and what memory that takes; what memory a backlog takes that was sent to a consumer
without a prefetch count which acknowledges nothing, then and after it was handed back; and what a
fan-out takes to consumers that read nothing. Both brokers are started and ended as in
`tests.perf.scale`; the client is the same for both.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

from pamqp import commands, frame
from pamqp.header import ContentHeader

from tests.perf.scale import Figures, Link, Measured, Mqd, RabbitMQ, table
from tests.suites.brokers import rabbitmq_folder

_CHUNK = 1_000  # messages of one write
_WINDOW = 20_000  # unconfirmed
_READ_BYTES = 1 << 20
_PREFETCH = 20_000
_STREAM, _HELD, _SLOW = "loads-stream", "loads-held", "loads-slow"
_FANOUT = "amq.fanout"
_END = 0xCE


@dataclass(frozen=True, slots=True)
class Sizes:
    """Messages of each load, and their bytes."""

    streamed: int = 1_000_000
    stream_bytes: int = 100
    held: int = 1_000_000
    held_bytes: int = 1024
    slow: int = 500  # consumers that read nothing
    fanned: int = 3_000  # messages to all of them


FULL = Sizes()
SMOKE = Sizes(streamed=40_000, held=40_000, slow=40, fanned=3_000)


def publish(link: Link, key: str, count: int, body_bytes: int, *, exchange: str = "") -> None:
    """Persistent messages; returns when all are confirmed."""
    header = ContentHeader(0, body_bytes, commands.Basic.Properties(delivery_mode=2))
    one = frame.marshal(commands.Basic.Publish(0, exchange, key), 1) + frame.marshal(header, 1)
    one += b"\x03\x00\x01" + body_bytes.to_bytes(4, "big") + b"." * body_bytes + b"\xce"
    sent = confirmed = 0
    early: set[int] = set()  # confirmed one by one, ahead of others
    while confirmed < count:
        if sent < count and sent - confirmed <= _WINDOW - _CHUNK:
            step = min(_CHUNK, count - sent)
            link.send_raw(one * step)
            sent += step
            continue
        for tag, multiple in link.acks():
            if multiple:
                confirmed = max(confirmed, tag)
            else:
                early.add(tag)
            while confirmed + 1 in early:
                confirmed += 1
                early.discard(confirmed)
        early = {tag for tag in early if tag > confirmed}


def consume(link: Link, count: int, *, ack_every: int = 0) -> None:
    """Read so many deliveries, which the broker sends already, as raw bytes."""
    frames = bodies = tag = acked = 0
    data = b""
    while bodies < count:
        data += link.receive(_READ_BYTES)
        at = 0
        while at + 7 <= len(data):
            end = at + 8 + int.from_bytes(data[at + 3 : at + 7], "big")
            if end > len(data):
                break
            assert data[end - 1] == _END
            frames += 1
            bodies += data[at] == 3
            at = end
        data = data[at:]
        tag = bodies
        if ack_every and (tag - acked >= ack_every or bodies == count):
            link.send_raw(frame.marshal(commands.Basic.Ack(tag, True), 1))
            acked = tag
    assert frames == 3 * count, f"{frames} frames of {count} messages"


def _timed(figures: Figures, step: str, call: Callable[[], None]) -> None:
    began = time.monotonic()
    call()
    figures[f"{step} s"] = time.monotonic() - began


def stream(broker: Measured, sizes: Sizes, figures: Figures) -> None:
    link = Link(broker.port)
    link.call(
        commands.Queue.Declare(0, _STREAM, durable=True, arguments={"x-queue-type": "stream"})
    )
    link.call(commands.Confirm.Select())
    _timed(
        figures,
        "append to stream",
        lambda: publish(link, _STREAM, sizes.streamed, sizes.stream_bytes),
    )
    figures["stream appended MB"] = broker.rss_mb()
    link.close()
    link = Link(broker.port)
    link.call(commands.Basic.Qos(0, _PREFETCH))
    first = {"x-stream-offset": "first"}
    link.call(commands.Basic.Consume(0, _STREAM, "s", arguments=first))
    _timed(figures, "read stream", lambda: consume(link, sizes.streamed, ack_every=1_000))
    figures["stream read MB"] = broker.rss_mb()
    link.close()


def held(broker: Measured, sizes: Sizes, figures: Figures) -> None:
    link = Link(broker.port)
    link.call(commands.Queue.Declare(0, _HELD, durable=True))
    link.call(commands.Confirm.Select())
    publish(link, _HELD, sizes.held, sizes.held_bytes)
    figures["backlog MB"] = broker.rss_mb()
    link.close()
    link = Link(broker.port)
    link.call(commands.Basic.Consume(0, _HELD, "h"))
    _timed(figures, "deliver without acks", lambda: consume(link, sizes.held))
    figures["unacknowledged at once MB"] = broker.rss_mb()
    time.sleep(3)
    figures["unacknowledged MB"] = broker.rss_mb()
    link.drop()
    other = Link(broker.port)
    _timed(figures, "hand back", lambda: _until_ready(other, sizes.held))
    figures["handed back MB"] = broker.rss_mb()
    other.call(commands.Basic.Qos(0, 1_000))
    other.call(commands.Basic.Consume(0, _HELD, "h"))
    _timed(figures, "deliver again", lambda: consume(other, sizes.held, ack_every=500))
    other.close()


def slow(broker: Measured, sizes: Sizes, figures: Figures) -> None:
    links = []
    for number in range(sizes.slow):
        link = Link(broker.port)
        queue = f"{_SLOW}-{number}"
        link.call(commands.Queue.Declare(0, queue, exclusive=True))
        link.call(commands.Queue.Bind(0, queue, _FANOUT, ""))
        link.call(commands.Basic.Consume(0, queue, "s", no_ack=True))
        links.append(link)
    figures["slow consumers MB"] = broker.rss_mb()
    link = Link(broker.port)
    link.call(commands.Confirm.Select())
    load = partial(publish, link, "", sizes.fanned, sizes.held_bytes, exchange=_FANOUT)
    _timed(figures, "fan out", load)
    time.sleep(3)
    figures["fanned out MB"] = broker.rss_mb()
    for each in (link, *links):
        each.drop()


def _until_ready(link: Link, count: int) -> None:
    while link.call(commands.Queue.Declare(0, _HELD, passive=True)).message_count < count:
        time.sleep(0.05)


def measure(broker: Measured, sizes: Sizes) -> Figures:
    """Seconds by step and MB by moment. The broker is stopped in the end."""
    figures: Figures = {}
    for load in (stream, held, slow):
        try:
            broker.start()
            load(broker, sizes, figures)
        finally:
            broker.stop()
    return figures


def main(argv: Sequence[str] | None = None) -> int:
    """Print one table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    names = [each.name for each in fields(Sizes)]
    for name in names:
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=int, default=getattr(FULL, name))
    parser.add_argument("--only", choices=("mqd", "rabbitmq"))
    options = parser.parse_args(argv)
    sizes = Sizes(**{name: getattr(options, name) for name in names})
    work = Path(tempfile.mkdtemp(prefix="mqd-loads-"))
    folder = rabbitmq_folder()
    brokers: list[Measured] = []
    if options.only != "rabbitmq":
        brokers.append(Mqd(work / "mqd"))
    if options.only != "mqd" and folder is not None:
        brokers.append(RabbitMQ(work / "rabbitmq", folder))
    try:
        rows = {broker.title: measure(broker, sizes) for broker in brokers}
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(f"{sizes}\n\n{table(rows)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
