"""Several files of definitions as one, so that all of them come in or none does.

Decides how they are put together, in the order they are given, and from which file and place in it
an object came. Never decides what is wrong with one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from mqd.definitions.faults import Fault, Refused, place
from mqd.definitions.parse import lines_of
from mqd.definitions.plan import SECTIONS

Json = Any


def _same_place(number: int, at: tuple[str, int]) -> tuple[int, int]:
    return number, at[1]


def _is_whole(document: Json) -> bool:
    return isinstance(document, dict) and all(
        isinstance(document.get(section, []), list) for section in SECTIONS
    )


class Merged:
    """One document out of several. sources: name and bytes of each, in the same order.

    One that is no object, or a section of which is no list, stands for all: it is refused.
    """

    def __init__(self, documents: Sequence[Json], sources: Sequence[tuple[str, bytes]]) -> None:
        self.document: Json = documents[0] if len(documents) == 1 else {}
        self._documents = documents
        self._sources = sources
        self._origin: Callable[[tuple[str, int]], tuple[int, int]] = lambda at: (0, at[1])
        if len(documents) > 1:
            origins: dict[tuple[str, int], tuple[int, int]] = {}
            self._origin = origins.__getitem__
            for number, document in enumerate(documents):
                if not _is_whole(document):
                    self.document = document
                    self._origin = partial(_same_place, number)
                    break
                self._add(number, document, origins)

    def _add(
        self, number: int, document: Json, origins: dict[tuple[str, int], tuple[int, int]]
    ) -> None:
        for key, value in document.items():
            if key not in SECTIONS:
                self.document.setdefault(key, value)
                continue
            items = self.document.setdefault(key, [])
            for index, item in enumerate(value):
                origins[key, len(items)] = (number, index)
                items.append(item)

    def told(self, refused: Refused) -> list[str]:
        """A line for every fault: file, line, object, what is wrong."""
        lines = [self._told(fault) for fault in refused.faults]
        if refused.more:
            lines.append("and more; nothing was imported")
        return lines

    def _told(self, fault: Fault) -> str:
        section = fault.at[0]
        number, local = self._origin(fault.at)
        name, data = self._sources[number]
        where = fault.place
        if section and local >= 0:
            where = place(section, local, self._documents[number][section][local])
        line = lines_of(data).get((section, local))
        shown = name if line is None else f"{name}:{line}"
        return f"{shown}: {where}: {fault.reason}"
