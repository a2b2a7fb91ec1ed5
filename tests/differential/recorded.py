"""Programs with the answers RabbitMQ gave to them, kept in `recorded.jsonl`.

    python -m tests.differential.recorded                          record anew, from 3.10.8
    python -m tests.differential.recorded --set classic,stream     that set; others are kept

Decides which programs are kept: drawn as in the search, per set of features; those that show
something no program before them showed, and to which RabbitMQ answers the same three times. Never
looks at mqd: what mqd does is not evidence. The first line of the file says who answered.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.differential import brokers
from tests.differential.programs import programs
from tests.differential.runner import Said, play
from tests.protocol import wire
from tests.protocol.peer import Peer

FILE = Path(__file__).with_name("recorded.jsonl")
# Each set is drawn apart, so that every feature meets every other one it may have to do with.
SETS: dict[str, int] = {
    "classic": 30,
    "classic,tx": 30,
    "classic,ttl,dlx": 40,
    "classic,length,dlx": 40,
    "classic,dlx,death,cc": 30,
    "classic,priority,length": 30,
    "classic,sac,priority": 30,
    "classic,e2e,ae,cc": 30,
    "classic,reply,cc": 15,
    "classic,bad,lazy": 25,
    "classic,quorum,dlx,length": 40,
    "classic,stream": 20,
    "classic,stream,ttl,sac,tx": 15,
    "classic,policy,length,dlx,ttl": 40,
    "classic,policy,ae,e2e,lazy,bad": 20,
    "classic,policy,quorum,dlx,length": 20,
    "classic,policy,stream,length": 15,
}
_TIMES = 3
_BYTES_MAX = 3500  # of one program with its answers


@dataclass(frozen=True)
class Record:
    """One program and what RabbitMQ said at each of its steps."""

    features: str
    program: list[str]
    said: Said


def load() -> tuple[dict[str, str], list[Record]]:
    """Who answered, and the records."""
    head, *rest = FILE.read_text().splitlines()
    records = []
    for line in rest:
        features, program, said = json.loads(line)
        records.append(Record(features, program, [part.splitlines() for part in said]))
    return json.loads(head), records


def dump(who: dict[str, str], records: list[Record]) -> str:
    """The file's text; answers of a step are one string."""
    lines = [json.dumps(who)]
    for record in records:
        said = ["\n".join(part) for part in record.said]
        row = [record.features, record.program, said]
        lines.append(json.dumps(row, separators=(",", ":")))
    return "\n".join(lines) + "\n"


async def who_answers(port: int) -> dict[str, str]:
    """What the broker calls itself in connection.start."""
    peer = Peer("who", asyncio.Event())
    await peer.open("127.0.0.1", port)
    await peer.send(wire.PROTOCOL_HEADER)
    event = await peer.next(0)
    await peer.disconnect()
    assert event is not None, "no connection.start"
    properties = event.values["server_properties"]
    return {name: properties[name][1] for name in ("product", "version")}


def _drawn(features: str, number: int, count: int) -> list[list[str]]:
    found: list[list[str]] = []

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(programs(features.split(",")))
    def draw(program: list[str]) -> None:
        if program not in found:
            found.append(program)

    draw()
    return found


def _shown(record: Record) -> set[tuple[str, ...]]:
    """What a program shows: which steps brought which kinds of lines, with which properties."""
    steps = [*record.program, "all: leave", "all: empty"]
    return {
        (step.split(" ")[1], *sorted({_kind(line) for line in said}))
        for step, said in zip(steps, record.said, strict=False)
    }


def _kind(line: str) -> str:
    words = line.split(" ")[1:]
    properties = [name for name in ("x-death", "expiration", "priority", "CC") if name in line]
    return " ".join((words[0], words[1] if words[0].endswith(".close") else "", *properties))


def record(
    broker: brokers.Broker, first_seed: int, chosen: Container[str], kept: Sequence[Record]
) -> Iterator[Record]:
    """Records of every set: new ones of those that are chosen."""
    for index, (features, wanted) in enumerate(SETS.items()):
        if features not in chosen:
            yield from (one for one in kept if one.features == features)
            continue
        seen: set[tuple[str, ...]] = set()
        count = 0
        for program in _drawn(features, first_seed * 1000 + index, wanted * 6):
            if count == wanted:
                break
            made = Record(features, program, play(broker, program))
            shown = _shown(made)
            if shown <= seen or len(dump({}, [made])) > _BYTES_MAX:
                continue
            if all(play(broker, program) == made.said for _ in range(_TIMES - 1)):
                seen |= shown
                count += 1
                yield made
        print(f"{features}: {count}", file=sys.stderr)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--set", action="append", choices=SETS)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as directory,
        brokers.rabbitmq(Path(directory) / "rabbitmq") as broker,
    ):
        who = asyncio.run(who_answers(broker.port))
        records = record(broker, options.seed, options.set or SETS, load()[1])
        FILE.write_text(dump(who, list(records)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
