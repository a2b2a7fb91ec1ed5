"""Definitions that the configuration names, imported while the application starts.

Decides which files are read (a file, or all files of a folder, in order of their names; observed:
3.10.8), when they are what was imported last, and what a bad one does: the node does not start, and
says in which file, on which line and in which object. Never applies part of them.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Sequence
from pathlib import Path

from mqd.admin.importing import Import, read
from mqd.broker.broker import Broker
from mqd.config.settings import DefinitionsSettings
from mqd.definitions.faults import Refused
from mqd.definitions.merge import Merged
from mqd.errors import ErrorCode, MqdError
from mqd.metadata.store import MetadataStore

Source = tuple[str, bytes]  # name and content of a file

IMPORTED_FILE = "imported_definitions"  # in the data folder: digest of what was imported last

_log = logging.getLogger(__name__)


def sources(settings: DefinitionsSettings) -> Sequence[Source]:
    """The files, read; none when the configuration names none. Raises MqdError."""
    if settings.path is None:
        return ()
    if settings.backend not in ("local_filesystem", "classic"):
        raise _unusable(
            f"definitions.import_backend = {settings.backend}: mqd imports from files alone, "
            "local_filesystem"
        )
    path = Path(settings.path)
    try:
        if path.is_dir():
            files = sorted(each for each in path.iterdir() if each.is_file())
            return [(str(each), each.read_bytes()) for each in files]
        return [(str(path), path.read_bytes())]
    except OSError as error:
        where = error.filename or str(path)
        raise _unusable(f"definitions {where} cannot be read: {error.strerror}") from error


def _unusable(text: str) -> MqdError:
    return MqdError(ErrorCode.PRECONDITION_FAILED, text)


async def load(
    found: Sequence[Source],
    settings: DefinitionsSettings,
    data: Path,
    metadata: MetadataStore,
    broker: Broker,
) -> None:
    """Import them, all or none; permanent on return. Raises MqdError."""
    if not found:
        return
    digest, imported = _digest(found, settings.hashing), data / IMPORTED_FILE
    names = ", ".join(name for name, _ in found)
    if settings.skips_unchanged and not metadata.state.is_virgin and _is_in(imported, digest):
        _log.info("Definitions in %s are those that were imported last: skipped", names)
        return
    _log.info("Applying definitions from %s", names)
    documents = [read(content, "json", name, located=True) for name, content in found]
    merged = Merged(documents, found)
    try:
        async for _ in Import(merged.document, metadata, broker).steps():
            pass
    except Refused as refused:
        raise _unusable("\n".join(merged.told(refused))) from refused
    if settings.skips_unchanged:
        imported.write_text(digest)


def _digest(found: Sequence[Source], algorithm: str) -> str:
    whole = hashlib.new(algorithm, usedforsecurity=False)
    for _, content in found:
        whole.update(len(content).to_bytes(8, "big") + content)
    return f"{algorithm} {whole.hexdigest()}\n"


def _is_in(path: Path, digest: str) -> bool:
    try:
        return hmac.compare_digest(path.read_text(), digest)
    except (OSError, ValueError):
        return False
