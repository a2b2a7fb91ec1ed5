"""What is wrong with a file of definitions.

Decides how a place in it is named and what a refusal holds. Never decides what is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from mqd.errors import ErrorCode

Json = Any

FAULTS_MAX: Final = 20  # that are told of at once


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong. place: `queues[17] 'orders' in vhost 'v'`. recorded: what 3.10.8
    prints for it, where that is text and not a crash; code: what chooses its exit code; at: its
    section and its number there."""

    place: str
    reason: str
    recorded: str | None = None
    code: ErrorCode = ErrorCode.INVALID_ARGUMENT
    at: tuple[str, int] = ("", 0)

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


class Refused(Exception):
    """Nothing of the file was applied. more: faults beyond those that are listed."""

    def __init__(self, faults: Sequence[Fault], more: bool = False) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = tuple(faults)
        self.more = more


def place(section: str, index: int, item: Json) -> str:
    """Which object: its number in its section, counted from 0, and its names."""
    where = f"{section}[{index}]"
    if not isinstance(item, dict):
        return where
    words = _SHAPES.get(section, ("{name}", "vhost"))
    name = words[0].format_map(_Quoted(item))
    vhost = item.get("vhost") if len(words) > 1 else None
    return f"{where} {name}" + (f" in vhost {_quoted(vhost)}" if vhost is not None else "")


class _Quoted(dict[str, str]):
    def __init__(self, item: dict[str, Json]) -> None:
        super().__init__({str(key): _quoted(value) for key, value in item.items()})
        self["kind"] = str(item.get("destination_type", "queue"))

    def __missing__(self, key: str) -> str:
        return "''"


def _quoted(value: Json) -> str:
    text = value if isinstance(value, str) else repr(value)
    return f"'{text if len(text) <= 80 else text[:77] + '...'}'"


_SHAPES: Final[dict[str, tuple[str, ...]]] = {
    "vhosts": ("{name}",),
    "users": ("{name}",),
    "permissions": ("of user {user}", "vhost"),
    "topic_permissions": ("of user {user} on exchange {exchange}", "vhost"),
    "parameters": ("{component} {name}", "vhost"),
    "global_parameters": ("{name}",),
    "bindings": ("from {source} to {kind} {destination}", "vhost"),
}
