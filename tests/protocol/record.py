"""Rewrites the expectations of scenario files from a running broker: the judge, RabbitMQ 3.10.8.

    python -m tests.protocol.record --port 5672 --ctl "rabbitmqctl -q" [file ...]
    python -m tests.protocol.record --port 5672 --check [file ...]

The result is reviewed as a diff. --check changes nothing and prints what differs; run it twice
after recording to see that a scenario always ends the same way. Never run it against mqd: what
mqd does is not evidence.
"""

from __future__ import annotations

import argparse
import asyncio
import shlex
import sys
from pathlib import Path

from tests.protocol import script
from tests.protocol.player import Player, same

SCENARIOS = Path(__file__).parent / "scenarios"


def command_line(words: list[str]) -> script.ScriptFile | object:
    """An administration tool as a coroutine; see `player.Ctl`."""

    async def run(arguments: list[str]) -> str:
        process = await asyncio.create_subprocess_exec(
            *words, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, err = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"{' '.join(arguments)}: exit {process.returncode}: {err.decode()}")
        return out.decode()

    return run


async def run(options: argparse.Namespace) -> int:
    ctl = command_line(shlex.split(options.ctl)) if options.ctl else None
    wrong = 0
    for path in options.files or sorted(SCENARIOS.glob("*.txt")):
        source = script.load(Path(path))
        for scenario in source.scenarios:
            if options.only and options.only not in scenario.name:
                continue
            player = Player(
                "127.0.0.1",
                options.port,
                ctl,  # type: ignore[arg-type]
                record=not options.check,
                quiet=options.quiet,
                judge=True,
            )
            try:
                results = await player.play(scenario)
            except Exception as error:  # noqa: BLE001
                print(f"{source.path.name}:{scenario.line}: {scenario.name}: {error!r}")
                wrong += 1
                continue
            for step, lines in results:
                if not same(lines, step.expected):
                    wrong += options.check
                    print(f"{source.path.name}:{step.line}: {step.source}")
                    print("".join(f"  - {line}\n" for line in step.expected), end="")
                    print("".join(f"  + {line}\n" for line in lines), end="")
                if not options.check:
                    step.expected = lines
        if not options.check:
            source.path.write_text(source.dump())
    return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ctl", default="", help="administration tool, for scenarios with users")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--quiet", type=float, default=0.15)
    parser.add_argument("--only", default="", help="scenarios whose name contains this")
    parser.add_argument("files", nargs="*")
    return asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
