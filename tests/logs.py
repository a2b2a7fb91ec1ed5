"""What the nodes of a test wrote, for the report of its failure.

Decides which files those are and how much of them is told: the last lines of each, of those that
were written to since the test began. Never fails: a file that cannot be read is not told of.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

_FILES_MAX = 6
_LINES_MAX = 15
_LINE_CHARACTERS_MAX = 300
_READ_BYTES = 32_768

_places: set[Path] = set()


def note(folder: Path) -> None:
    """A node lives there: its logs are under it, or will be."""
    _places.add(folder)


def ends(since_s: float, own: Path | None) -> list[tuple[str, str]]:
    """Title and text of each.

    since_s: seconds since 1970. own: a folder that only this test had; all in it is told of.
    """
    found: dict[Path, float] = {}
    for folder in (*([own] if own else []), *_places):
        for pattern in ("**/*.log", "**/output"):
            with contextlib.suppress(OSError):
                for path in folder.glob(pattern):
                    status = path.stat()
                    ours = own is not None and path.is_relative_to(own)
                    if status.st_size and (ours or status.st_mtime >= since_s):
                        found[path] = status.st_mtime
    latest = sorted(found, key=lambda path: found[path], reverse=True)[:_FILES_MAX]
    return [(f"end of {path}", _end(path)) for path in sorted(latest)]


def _end(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _READ_BYTES))
            lines = file.read().decode(errors="backslashreplace").splitlines()
    except OSError as error:
        return str(error)
    return "\n".join(line[:_LINE_CHARACTERS_MAX] for line in lines[-_LINES_MAX:])
