"""What readers of streams share: runs of messages in memory, the ones used last.

Decides which are forgotten when there are too many. Never reads a file.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from mqd.broker.message import Message

_OVERHEAD_BYTES = 120  # what a message object costs beside its content


@dataclass(frozen=True, slots=True)
class Page:
    """Messages of a stream without a gap, the offset of the first."""

    first: int
    messages: list[Message]

    @property
    def end(self) -> int:
        """The offset after the last."""
        return self.first + len(self.messages)


class Pages:
    """The pages of one vhost's streams, by stream and first offset."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._pages: OrderedDict[tuple[int, int], tuple[Page, int]] = OrderedDict()
        self.bytes = 0

    def put(self, stream: int, page: Page) -> None:
        key = (stream, page.first)
        self._remove(key)
        size = sum([len(message.content) for message in page.messages])
        size += _OVERHEAD_BYTES * len(page.messages)
        self._pages[key] = (page, size)
        self.bytes += size
        while self.bytes > self._bytes_max and len(self._pages) > 1:
            self._remove(next(iter(self._pages)))

    def get(self, stream: int, first: int) -> Page | None:
        """The page that begins there."""
        found = self._pages.get((stream, first))
        if found is None:
            return None
        self._pages.move_to_end((stream, first))
        return found[0]

    def forget(self, stream: int) -> None:
        for key in [key for key in self._pages if key[0] == stream]:
            self._remove(key)

    def _remove(self, key: tuple[int, int]) -> None:
        found = self._pages.pop(key, None)
        if found is not None:
            self.bytes -= found[1]
