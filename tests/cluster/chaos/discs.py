"""A node's data on a disc so small that it can be filled (a tmpfs: root).

Decides its size and what fills it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

_BYTES = 512 << 20


class Disc:
    """Of the node with that index."""

    def __init__(self, directory: Path, index: int) -> None:
        self.index = index
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        size = f"size={_BYTES},mode=0755"
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", directory], check=True)

    @property
    def _ballast(self) -> Path:
        return self._directory / "of-others"

    def take(self) -> None:
        """All that is free, while the node goes on writing."""
        with self._ballast.open("ab") as file:
            for step in (1 << 20, 4096):
                with contextlib.suppress(OSError):
                    while True:
                        os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), step)

    def give_back(self) -> None:
        self._ballast.unlink(missing_ok=True)

    def unmount(self) -> None:
        subprocess.run(["umount", "-l", self._directory], check=True)
