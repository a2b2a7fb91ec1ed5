"""The table of configuration keys: what exists, and how a written key is found in it.

Decides how a key with variable parts (`listeners.tcp.$name`) matches and which known key is meant
by a misspelt one. Never reads a file. The rows are in `keys` (those that do something) and
`accepted` (those that RabbitMQ 3.10 has and this version only checks).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from mqd.config.values import Kind, Value


@dataclass(frozen=True, slots=True)
class Key:
    """One row. `default` is None where nothing is set by default; `unit` may be empty. `reason`
    says of a key that does not work why it changes nothing. `live`: a new value counts without a
    restart."""

    name: str
    kind: Kind
    default: Value
    doc: str
    unit: str = ""
    works: bool = True
    reason: str = ""
    live: bool = False


def segments(name: str) -> tuple[str, ...]:
    """a.b\\.c has two parts, a and b.c (cuttlefish's escape for a dot inside a part)."""
    if "\\" not in name:
        return tuple(name.split("."))
    return tuple(part.replace("\\.", ".") for part in re.split(r"(?<!\\)\.", name))


class Schema:
    """All rows, for look-up by what somebody wrote."""

    def __init__(self, keys: tuple[Key, ...]) -> None:
        self.keys = keys
        self._exact = {key.name: key for key in keys if "$" not in key.name}
        self._variable: dict[int, list[tuple[tuple[str, ...], Key]]] = {}
        for key in keys:
            if "$" in key.name:
                parts = segments(key.name)
                self._variable.setdefault(len(parts), []).append((parts, key))

    def find(self, name: str) -> Key | None:
        """The row that a written key belongs to."""
        if (key := self._exact.get(name)) is not None:
            return key
        written = segments(name)
        for pattern, key in self._variable.get(len(written), ()):
            if all(p == w or (p[0] == "$" and w) for p, w in zip(pattern, written, strict=True)):
                return key
        return None

    def nearest(self, name: str) -> str | None:
        """The known key that looks most like an unknown one."""
        import difflib  # only on the way to an error message

        found = difflib.get_close_matches(name, [key.name for key in self.keys], 1, 0.6)
        return found[0] if found else None


@cache
def working() -> Schema:
    """The keys that do something."""
    from mqd.config.keys import WORKING

    return Schema(WORKING)


@cache
def schema() -> Schema:
    """Every key that is known; takes long enough to be asked for only when `working` says no."""
    from mqd.config.accepted import ACCEPTED

    return Schema(working().keys + ACCEPTED)


def find(name: str) -> Key | None:
    """The row of a written key, or None when there is no such key."""
    return working().find(name) or schema().find(name)
