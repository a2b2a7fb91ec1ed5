"""Reads rows.txt: what RabbitMQ does, row by row, and the proofs that mqd does it.

Decides the form of the index; see the head of rows.txt. Knows where proofs are to be found and
never runs one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

HERE = Path(__file__).parent
ROWS = HERE / "rows.txt"
TESTS = HERE.parent
MANUAL = HERE.parents[1] / "man" / "mqd-differences.7"
_TEST = re.compile(r"[\w/]+\.py::\w+(\[.+\])?")


@dataclass
class Row:
    """One row, `proofs` as they stand below it."""

    section: str
    name: str
    line: int
    proofs: list[str] = field(default_factory=list)

    @property
    def label(self) -> str:
        return f"{self.section.split()[0]}: {self.name}"

    @property
    def tests(self) -> list[str]:
        """Node ids below tests/, of one case or without parameters."""
        return [proof for proof in self.proofs if _TEST.fullmatch(proof)]

    @property
    def differences(self) -> list[str]:
        """Terms of mqd-differences(7)."""
        return [p.removeprefix("man: ") for p in self.proofs if p.startswith("man: ")]

    @property
    def scenarios(self) -> list[str]:
        """Labels of recorded conversations."""
        others = (*self.tests, *(p for p in self.proofs if p.startswith(("man: ", "later: "))))
        return [proof for proof in self.proofs if proof not in others]


def load(path: Path = ROWS) -> list[Row]:
    """Every row, in order. Raises ValueError for a line that stands nowhere."""
    rows: list[Row] = []
    section = ""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        if line.startswith("== "):
            section = line[3:]
        elif not line.startswith(" "):
            rows.append(Row(section, line, number))
        elif rows and rows[-1].section == section:
            rows[-1].proofs.append(line.strip())
        else:
            raise ValueError(f"{path.name}:{number}: a proof of nothing: {line!r}")
    return rows


def terms(manual: Path = MANUAL) -> list[str]:
    """The differences that the manual names: what stands behind each .TP."""
    lines = manual.read_text().splitlines()
    return [after for line, after in pairwise(lines) if line == ".TP"]
