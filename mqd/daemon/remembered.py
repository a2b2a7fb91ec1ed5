"""What a disc member remembers of its copies of quorum queues' logs while its app does not run.

Decides how it is written down: a file beside the copies, so that a new incarnation has neither; the
time of the file is when the app ran last. Never finds anything out (`mqd.daemon.wholeness` does).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

LACKS_FILE: Final = "lacks"


@dataclass(frozen=True, slots=True)
class Remembered:
    """lacks: logs of which the copy was not whole when the app ran last, which was at that time of
    the wall clock, or a little later."""

    lacks: tuple[str, ...]
    at_ms: int


def remembered(folder: Path) -> Remembered | None:
    """folder: of the engine. None: it was never known."""
    path = folder / LACKS_FILE
    try:
        return Remembered(tuple(path.read_text().split()), path.stat().st_mtime_ns // 1_000_000)
    except OSError:
        return None
