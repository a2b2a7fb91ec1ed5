"""The following half: entries that this node lacks, from a node that has them.

Decides which node is asked, and that what it sends is given to the store in order. Never decides
where proposals go, though they go to the same node: `mqd.cluster.ledger.follower`.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Sequence

from mqd.cluster.ledger import wire
from mqd.cluster.ledger.members import history_of
from mqd.cluster.ledger.timers import Cancel, Later
from mqd.cluster.ports import Mesh
from mqd.errors import MqdError
from mqd.limits import FEED_HELLO_S
from mqd.metadata.store import MetadataStore

_log = logging.getLogger(__name__)

Sources = Callable[[], Sequence[str]]


def _ignore(_source: str | None) -> None:
    pass


class Intake:
    """One node's, as long as it is a member; idle until told to follow.

    on_progress() is called after entries or a snapshot were given to the store; on_current() when
    all was that a source had when it answered.
    """

    def __init__(self, mesh: Mesh, store: MetadataStore, later: Later, sources: Sources) -> None:
        self.source: str | None = None
        self.is_current = False
        self.on_progress: Callable[[], None] = lambda: None
        self.on_current: Callable[[], None] = lambda: None
        self._mesh = mesh
        self._store = store
        self._later = later
        self._sources = sources
        self._on_source: Callable[[str | None], None] = _ignore
        self._wanted = False
        self._heard = True  # the last hello was answered
        self._tokens = itertools.count(1)
        self._token = 0
        self._parts: list[bytes] = []
        self._stuck = False
        self._cancel_watch: Cancel = lambda: None
        self._stops = [
            mesh.take(wire.ENTRIES, self._entries),
            mesh.take(wire.SNAPSHOT, self._snapshot),
            mesh.on_change(lambda _node, _is_up: self.look()),
        ]

    def close(self) -> None:
        self.stop()
        for stop in self._stops:
            stop()

    def follow(self, on_source: Callable[[str | None], None]) -> None:
        """Take what a source has and what comes. on_source(node): it is asked from now on; None:
        nobody can be."""
        self.stop()
        self._wanted, self._on_source = True, on_source
        self._choose()

    @property
    def follows(self) -> bool:
        """Whether a source is wanted."""
        return self._wanted

    def stop(self) -> None:
        """Take nothing more."""
        if self.source is not None:
            self._say(wants=False)
        self._wanted = False
        self._cancel_watch()
        self._on_source = _ignore
        self.source = None
        self._token = next(self._tokens)

    def names(self) -> Sequence[str]:
        """Of the nodes that can be asked, if they are linked."""
        return self._sources()

    def turn_to_another(self) -> None:
        """The source does not have what is missing."""
        usable = [node for node in self._sources() if node in self._mesh.up]
        if self.source in usable and len(usable) > 1:
            other = usable[(usable.index(self.source) + 1) % len(usable)]
            self._say(wants=False)
            self.source = other
            self._hello()
            self._on_source(other)

    def look(self) -> None:
        """Links or members are others now."""
        if self._wanted:
            self._choose()

    def _choose(self) -> None:
        up = self._mesh.up
        usable = [node for node in self._sources() if node in up]
        if self.source in usable:
            return
        before = self.source
        if before in up:
            self._say(wants=False)
        self.source = usable[0] if usable else None
        self._token = next(self._tokens)
        if self.source is not None:
            self._hello()
        if self.source is not None or before is not None:
            self._on_source(self.source)

    def _hello(self) -> None:
        self._token = next(self._tokens)
        self._parts.clear()
        self._heard = self.is_current = False
        self._say(wants=True)
        self._cancel_watch()
        self._cancel_watch = self._later(FEED_HELLO_S, self._watch)

    def _say(self, *, wants: bool) -> None:
        store = self._store
        hello = wire.Hello(self._token, store.last_number, history_of(store.state), wants)
        if self.source is not None:
            self._mesh.send(self.source, wire.HELLO, wire.pack_hello(hello))

    def _watch(self) -> None:
        if self._wanted and not self._heard and not self._stuck:
            self._hello()

    def _entries(self, node: str, payload: bytes) -> None:
        entries = wire.unpack_entries(payload)
        if node != self.source or entries.token != self._token or self._stuck:
            return
        self._heard = True
        for number, line in enumerate(entries.lines, entries.first):
            if not self._take(number, line):
                return
        if not self.is_current and self._store.last_number >= entries.head:
            self.is_current = True
            self.on_current()
        self._went_on()

    def _went_on(self) -> None:
        self.on_progress()
        self.look()

    def _take(self, number: int, line: str) -> bool:
        try:
            if self._store.take(number, line):
                return True
            self._hello()
        except MqdError as error:
            self._stuck = True
            _log.critical("the metadata of %s cannot be followed: %s", self.source, error)
        return False

    def _snapshot(self, node: str, payload: bytes) -> None:
        part = wire.unpack_part(payload)
        if node != self.source or part.token != self._token or self._stuck:
            return
        self._heard = True
        if part.start == 0:
            self._parts.clear()
        self._parts.append(part.data)
        if not part.is_last:
            return
        lines = b"".join(self._parts).decode().splitlines()
        self._parts.clear()
        _log.info("metadata as of entry %d comes from %s", part.number, node)
        try:
            self._store.load_snapshot(part.number, lines)
        except MqdError as error:
            self._stuck = True
            _log.critical("the metadata of %s cannot be followed: %s", node, error)
            return
        self._went_on()
