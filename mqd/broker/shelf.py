"""Contents of messages that are on disc while nobody looks at them: of those that are delivered
and not acknowledged, or were handed back.

Theory. A message that is put on the shelf stays the object it is, with its place in the store and
its position; only `content` becomes a reference, `Shelved`, some 20 bytes that still tell the size
of the body and which properties there are. Whoever wants all of it calls `restore`. An
acknowledgement, which wants nothing of it, does not know: a reference that nobody holds any more
gives back its part of the page by itself. So the hot path is what it was.

Pages lie in the node's spool, whether or not the store has the message as well: reading back there
is one read of the message's own bytes, while the store would have to find it in rows that it
rewrites and unpack all of them.

Decides how a reference looks and when a page is forgotten. Never which messages are put there
(`mqd.broker.held`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import ClassVar

from mqd import limits
from mqd.broker.message import Message
from mqd.broker.ports import Spool

_KEPT_BYTES = 21  # of the content: as far as its first flags
_PLACE = struct.Struct(">QII")  # handle, first byte in the page, bytes
_REFERENCE_BYTES = _KEPT_BYTES + _PLACE.size
_WORTH_BYTES = 256  # contents below it would cost as much as what stands for them


class Shelved(bytes):
    """Stands for a content; see the module. The first octet is of no frame."""

    __slots__ = ()
    shelf: ClassVar[Shelf]

    def __del__(self) -> None:
        # Perhaps in the middle of anything, on any thread: only noted.
        self.shelf.gone.append(_PLACE.unpack_from(self, _KEPT_BYTES)[0])


class Shelf:
    """See the file's charter. gone: a handle for every reference that is held no more."""

    def __init__(self, spool: Spool) -> None:
        self.gone: list[int] = []
        self._spool = spool
        self._counts: dict[int, int] = {}  # references to a page, by handle
        self._reference = type("Shelved", (Shelved,), {"__slots__": (), "shelf": self})

    def put(self, messages: Sequence[Message]) -> None:
        """Write these out, as one page. None of them is there already."""
        self.tidy()
        handle = self._spool.write(b"".join([message.content for message in messages]))
        self._counts[handle] = len(messages)
        start = 0
        for message in messages:
            content = message.content
            size = len(content)
            place = _PLACE.pack(handle, start, size)
            message.content = self._reference(b"\0" + content[1:_KEPT_BYTES] + place)
            start += size

    def put_all(self, messages: Iterable[Message]) -> int:
        """Those of them that are worth it, in pages; returns how many bytes of memory that frees.

        What the store has still to write is not worth it: the store wants all of it.
        """
        page: list[Message] = []
        freed = size = 0
        for message in filter(is_worth, messages):
            page.append(message)
            size += len(message.content)
            if size >= limits.PAGE_BYTES_MAX or len(page) >= limits.PAGE_MESSAGES_MAX:
                freed += size - _REFERENCE_BYTES * len(page)
                self.put(page)
                page, size = [], 0
        if page:
            freed += size - _REFERENCE_BYTES * len(page)
            self.put(page)
        return freed

    def read(self, reference: bytes) -> bytes:
        """The content it stands for."""
        handle, start, size = _PLACE.unpack_from(reference, _KEPT_BYTES)
        return self._spool.read(handle, start, size)

    def tidy(self) -> None:
        """Forget pages to which nothing refers any more."""
        while self.gone:
            handle = self.gone.pop()
            count = self._counts[handle] = self._counts[handle] - 1
            if not count:
                del self._counts[handle]
                self._spool.drop(handle)

    @property
    def page_count(self) -> int:
        return len(self._counts)


def is_worth(message: Message) -> bool:
    """Whether it is large, in memory, and nobody is about to want all of it."""
    content = message.content
    if len(content) < _WORTH_BYTES or isinstance(content, Shelved):
        return False
    return not message.stored or message.segment != 0


def restore(message: Message) -> None:
    """Have all of its content in memory."""
    content = message.content
    if isinstance(content, Shelved):
        message.content = content.shelf.read(content)
