"""A cluster's life, as the tutorial tells it, typed on three booted hosts.

    python -m tests.cluster.story [--target mqd|rabbitmq] [--sections D16,C1,...] [--keep]

Every section starts from hosts of which nothing is left but the installation. Prints each line that
is typed, and what it took; exit 1 when one was not answered as the script says. Wants root and
systemd-nspawn.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.cluster.story.sections import SECTIONS
from tests.cluster.story.stage import Stage, Wrong
from tests.cluster.trio import TARGETS, why_no_hosts


def tell(line: str) -> None:
    print(line, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", choices=TARGETS, default="mqd")
    parser.add_argument("--sections", default="")
    parser.add_argument("--keep", action="store_true", help="leave the hosts for a look")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started is ended too
    if why := why_no_hosts():
        print(f"skipped: {why}")
        return 0
    wanted = options.sections.split(",") if options.sections else [*SECTIONS]
    directory = Path(tempfile.mkdtemp(prefix="story-"))
    stage = Stage(options.target, directory, tell)
    wrong: list[str] = []
    try:
        began = time.monotonic()
        stage.build()
        tell(f"three hosts with {options.target} after {time.monotonic() - began:.1f} s")
        for name in wanted:
            section = SECTIONS[name]
            began = time.monotonic()
            tell(f"{name}: {(section.__doc__ or '').strip()}")
            try:
                section(stage)
            except Exception as error:  # noqa: BLE001 - one section's fault does not hide the next one's
                shown = str(error) if isinstance(error, Wrong) else repr(error)
                tell(f"  WRONG: {shown}")
                wrong.append(name)
            verdict = "WRONG" if name in wrong else "as told"
            tell(f"{name}: {verdict}, {time.monotonic() - began:.1f} s")
    finally:
        if options.keep:
            tell(f"kept: LAB_DIR={stage.lab.directory} tests/cluster/lab.sh down ends it")
        else:
            stage.down()
    tell(f"{len(wanted) - len(wrong)} of {len(wanted)} sections as told; wrong: {wrong or 'none'}")
    for note in stage.notes:
        tell(f"differs on purpose: {note}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
