"""A host drops off the network: no RST, no FIN, only silence.

    python -m tests.cluster.bench.cut TARGET

Prints one line of JSON. Three nodes in networks of their own; the host that leads a quorum queue
is cut off from the others while a publisher with confirms works on one of these and a consumer on
the other. Measured from the cut on: until a message that was published after it is confirmed, and
until it is delivered. A process of its own, since it enters the network of the hosts for good.

Decides how that is measured. What a kill does instead, `parts.failover` measures: the kernel of a
killed process closes its sockets, so the others are told at once.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.cluster.bench.client import Client, is_confirm, message
from tests.cluster.bench.parts import leader_of
from tests.cluster.trio import Member, Trio, why_no_cells
from tests.waiting import eventually

_QUEUE = "cut"
_PATIENCE_S = 120.0


class _Publisher(threading.Thread):
    """One message after the other, each with its number as its body."""

    def __init__(self, member: Member) -> None:
        super().__init__(daemon=True)
        self.sent: list[float] = []  # when, by number
        self.confirmed: list[float] = []
        self.stops = False
        self._client = Client((member.address, member.port), _PATIENCE_S)
        self._client.call("confirm.select")

    def run(self) -> None:
        while not self.stops:
            body = b"%08d" % len(self.sent)
            self.sent.append(time.monotonic())
            self._client.write(message(_QUEUE, body))
            while not any(is_confirm(*one) for one in self._client.frames()):
                pass
            self.confirmed.append(time.monotonic())
        self._client.close()


class _Consumer(threading.Thread):
    """Acknowledges all it gets."""

    def __init__(self, member: Member) -> None:
        super().__init__(daemon=True)
        self.got: dict[int, float] = {}  # when first, by number
        self._client = Client((member.address, member.port), _PATIENCE_S)
        self._client.call("basic.qos", prefetch_count=100)
        self._client.call("basic.consume", queue=_QUEUE, consumer_tag="c")

    def run(self) -> None:
        with contextlib.suppress(OSError):  # `stop`
            while True:
                for tag, body in self._client.deliveries():
                    self.got.setdefault(int(body), time.monotonic())
                    self._client.send("basic.ack", delivery_tag=tag)

    def stop(self) -> None:
        self._client.hang_up()
        self.join(_PATIENCE_S)
        self._client.close()


def cut(trio: Trio) -> dict[str, float]:
    """Seconds until confirms and deliveries. The host stays away: RabbitMQ may have given it up by
    then, and has to be restarted to take it back."""
    owner = Client((trio.members[0].address, trio.members[0].port))
    owner.declare(_QUEUE, "quorum", durable=True)
    owner.close()
    assert trio.lab is not None
    leader = leader_of(trio, _QUEUE)
    here, there = (member for member in trio if member is not leader)
    consumer, publisher = _Consumer(there), _Publisher(here)
    consumer.start()
    publisher.start()
    before = len(publisher.confirmed)
    eventually(lambda: len(publisher.confirmed) > before + 100, _PATIENCE_S)
    trio.lab.do("unplug", leader.cell)
    began = time.monotonic()

    def first_after() -> int | None:
        return next((n for n, at in enumerate(publisher.sent) if at > began), None)

    def is_over() -> bool:
        number = first_after()
        return number is not None and len(publisher.confirmed) > number and number in consumer.got

    eventually(is_over, _PATIENCE_S)
    number = first_after()
    assert number is not None
    publisher.stops = True
    publisher.join(_PATIENCE_S)
    consumer.stop()
    return {
        "confirm": publisher.confirmed[number] - began,
        "delivery": consumer.got[number] - began,
    }


def main() -> int:
    if why := why_no_cells():
        print(why, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="bench-cut-", ignore_cleanup_errors=True) as folder:
        trio = Trio(sys.argv[1], Path(folder), cells=True)
        try:
            trio.start()
            trio.await_whole()
            print(json.dumps(cut(trio)))
        finally:
            trio.end()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
