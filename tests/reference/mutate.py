"""Takes behaviours out of a copy of mqd, one at a time, and sees whether a row's proof fails.

    python -m tests.reference.mutate [--only words]

Prints a line for each mutation of mutations.txt: caught by which proof, or not. Exit 1 when one is
not caught or does not apply. Takes minutes; nothing is changed here, the copy is under TMPDIR.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.reference import index

ROOT = Path(__file__).parents[2]
_PROOF_S_MAX = 120
MUTATIONS = Path(__file__).parent / "mutations.txt"


@dataclass
class Mutation:
    """`old` of `path` is replaced by `new`; both without their indentation."""

    row: str
    path: str = ""
    old: str = ""
    new: str = ""


def load(path: Path = MUTATIONS) -> list[Mutation]:
    found: list[Mutation] = []
    for line in path.read_text().splitlines():
        if line.startswith("== "):
            found.append(Mutation(line[3:]))
        elif line.startswith("- "):
            found[-1].old = line[2:]
        elif line.startswith("+"):
            found[-1].new = line[2:]
        elif line and not line.startswith("#"):
            found[-1].path = line
    return found


def apply(mutation: Mutation, copy: Path) -> bool:
    """False when the line is not there."""
    path = copy / mutation.path
    lines = (ROOT / mutation.path).read_text().splitlines()
    hits = [at for at, line in enumerate(lines) if line.strip() == mutation.old]
    for at in hits:
        indent = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
        lines[at] = indent + mutation.new
    path.write_text("\n".join(lines) + "\n")
    return bool(hits)


def fails(proof: str, copy: Path, *, is_test: bool) -> bool:
    """Whether that proof notices: it fails, or never ends."""
    if is_test:
        words = ["pytest", "-q", "-x", "-p", "no:randomly", f"tests/{proof}"]
    else:
        file = f"tests/protocol/scenarios/{proof.partition(': ')[0]}.txt"
        words = ["tests.protocol.replay", "--slow", "--only", proof, file]
    try:
        done = subprocess.run(
            [sys.executable, "-m", *words],
            cwd=copy,
            env={**os.environ, "PYTHONPATH": str(copy)},
            capture_output=True,
            timeout=_PROOF_S_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return True
    return done.returncode != 0


def caught(mutation: Mutation, row: index.Row, copy: Path) -> str:
    """The first proof that fails; empty for none."""
    tests = set(row.tests)
    for proof in (*row.scenarios, *row.tests):
        if fails(proof, copy, is_test=proof in tests):
            return proof
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="")
    only = parser.parse_args().only
    rows = {row.label: row for row in index.load()}
    wrong = 0
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory)
        for name in ("mqd", "mqctl", "tests", "man"):
            shutil.copytree(ROOT / name, copy / name)
        shutil.copy(ROOT / "pyproject.toml", copy)
        for mutation in load():
            if only not in mutation.row:
                continue
            if mutation.row in rows and caught(Mutation(mutation.row), rows[mutation.row], copy):
                told = "FAILS AS IT IS"
            elif mutation.row not in rows or not apply(mutation, copy):
                told = "DOES NOT APPLY"
            else:
                told = caught(mutation, rows[mutation.row], copy) or "NOT CAUGHT"
                shutil.copy(ROOT / mutation.path, copy / mutation.path)
            wrong += told.isupper()
            print(f"{mutation.row}\n    {mutation.path}: {mutation.old}\n    {told}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
