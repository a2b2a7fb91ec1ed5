"""Replays scenarios against an in-process mqd from the command line, for people at work.

    python -m tests.protocol.replay [--only words] [--pace 1] [--slow] [--settle] [file ...]

Prints each difference from what RabbitMQ 3.10.8 did: `-` expected, `+` actual. --settle takes the
`# pending:` out of every scenario that came right.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from tests.protocol import script
from tests.protocol.player import Player, same
from tests.protocol.record import SCENARIOS
from tests.protocol.stage import stage


def difference(scenario: script.Scenario, results: list[tuple[script.Step, list[str]]]) -> str:
    """Empty when every step brought what was recorded; else the first step that did not."""
    for step, lines in results:
        wanted = step.expected if step.ours is None else step.ours
        if not same(lines, wanted):
            out = [f"{scenario.path.name}:{step.line}: {scenario.name}\n    {step.source}"]
            out += [f"  - {line}" for line in wanted]
            out += [f"  + {line}" for line in lines]
            return "\n".join(out)
    return ""


async def _told(scenario: script.Scenario, pace: int) -> str:
    """The difference on a broker of its own."""
    async with stage() as broker:
        player = Player("127.0.0.1", broker.port, broker.ctl, pace=pace, patience=1.0)
        try:
            return difference(scenario, await player.play(scenario))
        except Exception as error:  # noqa: BLE001
            return f"{scenario.path.name}:{scenario.line}: {scenario.name}: {error!r}"


async def run(options: argparse.Namespace) -> int:
    wrong = total = 0
    paths = [Path(p) for p in options.files] or sorted(SCENARIOS.glob("*.txt"))
    for path in paths:
        source = script.load(path)
        for scenario in source.scenarios:
            if options.only not in scenario.label or (scenario.waits and not options.slow):
                continue
            total += 1
            told = await _told(scenario, options.pace)
            if told:
                wrong += 1
                print(told)
            elif options.settle:
                scenario.settle()
        if options.settle:
            path.write_text(source.dump())
    print(f"{total - wrong} of {total} scenarios as recorded")
    return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="")
    parser.add_argument("--pace", type=int, default=0)
    parser.add_argument("--slow", action="store_true", help="those that wait for timeouts too")
    parser.add_argument("--settle", action="store_true", help="what is right is pending no more")
    parser.add_argument("files", nargs="*")
    return asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
