"""Socket options as Erlang lists have them: [{nodelay,true},{raw,6,18,<<5000:64/native>>}].

Decides what each means to setsockopt, and which mean nothing here. The raw form is passed on as it
is: level, name, bytes. Never opens a socket.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from mqd.config.erlang import Term
from mqd.config.terms import as_text

RAW_BYTES_MAX = 256


@dataclass(frozen=True, slots=True)
class SocketOption:
    """One call of setsockopt."""

    level: int
    name: int
    value: int | bytes


@dataclass(frozen=True, slots=True)
class OptionList:
    """Options in order, and the text they were written as."""

    text: str
    options: tuple[SocketOption, ...]

    def __str__(self) -> str:
        return self.text


class OptionError(ValueError):
    """What is wrong, and on which line of the term."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line


_TCP = socket.IPPROTO_TCP
_SOCKET = socket.SOL_SOCKET
# name: (level, option, kind); kinds: flag, number, linger
NAMED: dict[str, tuple[int, int, str]] = {
    "nodelay": (_TCP, socket.TCP_NODELAY, "flag"),
    "keepalive": (_SOCKET, socket.SO_KEEPALIVE, "flag"),
    "dontroute": (_SOCKET, socket.SO_DONTROUTE, "flag"),
    "sndbuf": (_SOCKET, socket.SO_SNDBUF, "number"),
    "recbuf": (_SOCKET, socket.SO_RCVBUF, "number"),
    "priority": (_SOCKET, socket.SO_PRIORITY, "number"),
    "tos": (socket.IPPROTO_IP, socket.IP_TOS, "number"),
    "linger": (_SOCKET, socket.SO_LINGER, "linger"),
}
# options of Erlang's own buffers and of its driver, which has no counterpart here
_WITHOUT_EFFECT_WORDS = """
    active binary buffer delay_send exit_on_close fd header high_msgq_watermark high_watermark
    ifaddr inet inet6 ip ipv6_v6only list low_msgq_watermark low_watermark mode packet packet_size
    port reuseaddr send_timeout send_timeout_close show_econnreset backlog
"""
WITHOUT_EFFECT = frozenset(_WITHOUT_EFFECT_WORDS.split())


def linger(on: bool, seconds: int) -> SocketOption:
    """struct linger of the platform."""
    return SocketOption(_SOCKET, socket.SO_LINGER, struct.pack("ii", int(on), seconds))


def option_list(term: Term) -> OptionList:
    """Raises OptionError for what is no option at all."""
    if term.kind != "list":
        raise OptionError(term.line, "must be a list of socket options")
    found = []
    for item in term.value:
        option = _option(item)
        if option is not None:
            found.append(option)
    return OptionList(as_text(term.plain()), tuple(found))


def raw_only(items: Iterable[Term]) -> list[Term]:
    """The elements that have no name of their own."""
    return [item for item in items if item.kind == "tuple" and len(item.value) == 4]


def _option(item: Term) -> SocketOption | None:
    if item.kind == "tuple" and len(item.value) == 4 and item.value[0].value == "raw":
        return _raw(item)
    pair = item.pair
    if pair is None:
        raise OptionError(item.line, f"no socket option: {as_text(item.plain())}")
    name, value = pair
    if name.value in WITHOUT_EFFECT:
        return None
    if name.value not in NAMED:
        raise OptionError(item.line, f"no socket option: {as_text(item.plain())}")
    level, number, kind = NAMED[name.value]
    if kind == "flag" and value.value in ("true", "false"):
        return SocketOption(level, number, int(value.value == "true"))
    if kind == "number" and type(value.value) is int and 0 <= value.value < 1 << 31:
        return SocketOption(level, number, value.value)
    if kind == "linger":
        parts = value.plain()
        if isinstance(parts, tuple) and len(parts) == 2 and parts[0] in ("true", "false"):
            if type(parts[1]) is int and 0 <= parts[1] < 1 << 31:
                return linger(parts[0] == "true", parts[1])
    raise OptionError(item.line, f"no value of {name.value}: {as_text(value.plain())}")


def _raw(item: Term) -> SocketOption:
    _, level, name, data = (part.value for part in item.value)
    numbers = all(type(n) is int and 0 <= n < 1 << 31 for n in (level, name))
    if not numbers or not isinstance(data, bytes) or not 0 < len(data) <= RAW_BYTES_MAX:
        raise OptionError(item.line, "must be {raw,Level,Option,<<Bytes>>}")
    return SocketOption(level, name, data)
