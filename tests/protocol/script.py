"""Scenario files: what a transcript says, line by line.

Decides the form of a file and keeps everything a person wrote when the expectations are
recorded again. Knows nothing of sockets; `player` gives the steps their meaning.

    == name of the scenario            begins a scenario
    # remark                           kept
    # pending: why                     mqd does not do this yet; comes off when it does
    a/1: queue.declare queue=q         a step: connection a, channel 1
      a/1 queue.declare-ok queue='q'   what the server then sends, recorded

      ! a/1 ...                        where mqd answers otherwise on purpose: its whole answer,
      # because ...                    and why

Expectations of one step are grouped by connection and channel: the order between two channels
means nothing to a client.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

_STEP = re.compile(r"([a-z]+)(?:/(\d+)(!?))?:\s*([\w.-]*)\s*(.*)")

_PENDING = "# pending: "


@dataclass
class Step:
    """One line of the script and what is expected after it."""

    source: str
    line: int
    who: str  # connection, or "ctl", "kick", "wait", "cleanup"
    channel: int | None
    bare: bool  # a/1!: do not open the channel first
    verb: str
    rest: str
    expected: list[str] = field(default_factory=list)
    ours: list[str] | None = None  # mqd's answer, where it differs on purpose
    why: str = ""

    def dump(self) -> list[str]:
        """The step as it stands in the file."""
        lines = [self.source, *("  " + line for line in self.expected)]
        if self.ours is not None:
            lines += [f"  ! {line}".rstrip() for line in self.ours or [""]]
            lines.append(f"  # {self.why}")
        return lines

    def take(self, line: str) -> None:
        """An indented line below the step."""
        if line.startswith("! ") or line == "!":
            self.ours = (self.ours or []) + ([line[2:]] if line != "!" else [])
        elif line.startswith("# "):
            self.why = line[2:]
        else:
            self.expected.append(line)


@dataclass
class Scenario:
    """A story with connections of its own; leaves nothing behind on the broker."""

    name: str
    path: Path
    line: int
    parts: list[Step | str] = field(default_factory=list)  # steps, and remarks as they stand

    @property
    def steps(self) -> list[Step]:
        return [part for part in self.parts if isinstance(part, Step)]

    @property
    def label(self) -> str:
        return f"{self.path.stem}: {self.name}"

    @property
    def pending(self) -> str:
        """Why mqd is known to differ from the whole scenario; empty when it should not."""
        remarks = [part for part in self.parts if isinstance(part, str)]
        return "".join(r.removeprefix(_PENDING) for r in remarks if r.startswith(_PENDING))

    def settle(self) -> None:
        """It comes right."""
        self.parts = [p for p in self.parts if not (isinstance(p, str) and p.startswith(_PENDING))]

    @property
    def waits(self) -> bool:
        """Whether it contains a wait for something the server does by the clock."""
        return any(step.who == "wait" for step in self.steps)

    @property
    def uses_ctl(self) -> bool:
        return any(step.who in ("ctl", "kick") for step in self.steps)


class ScriptError(ValueError):
    """A line of a scenario file that is none of the known kinds."""


@dataclass
class ScriptFile:
    path: Path
    preamble: list[str]
    scenarios: list[Scenario]

    def dump(self) -> str:
        """The file's text with the expectations the steps hold now."""
        lines = list(self.preamble)
        for scenario in self.scenarios:
            lines.append(f"== {scenario.name}")
            for part in scenario.parts:
                if isinstance(part, str):
                    lines.append(part)
                else:
                    lines += part.dump()
        return "\n".join(lines).rstrip() + "\n"


def load(path: Path) -> ScriptFile:
    """Read a scenario file; ScriptError names file and line."""
    result = ScriptFile(path, [], [])
    last: Step | None = None
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.startswith("== "):
            result.scenarios.append(Scenario(line[3:].strip(), path, number))
            last = None
        elif not result.scenarios:
            result.preamble.append(line)
        elif line.startswith("  ") and last is not None:
            last.take(line[2:])
        elif not line.strip() or line.startswith("#"):
            result.scenarios[-1].parts.append(line)
        else:
            last = step(line, path, number)
            result.scenarios[-1].parts.append(last)
    return result


def step(line: str, path: Path, number: int) -> Step:
    """One line of a scenario that is a step; ScriptError when it is not."""
    match = _STEP.fullmatch(line.rstrip())
    if match is None:
        raise ScriptError(f"{path.name}:{number}: neither step, remark nor scenario: {line!r}")
    who, channel, bare, verb, rest = match.groups()
    return Step(
        line.rstrip(), number, who, int(channel) if channel else None, bool(bare), verb, rest
    )


def load_all(directory: Path) -> list[ScriptFile]:
    """Every scenario file, by name."""
    return [load(path) for path in sorted(directory.glob("*.txt"))]
