"""What may stand right of the equals sign, and what it means.

Decides the kinds of values a configuration key can have and how each is read from text. Never
knows a key: `keys` gives each key its kind.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from mqd.config.socket_options import OptionError, OptionList, option_list


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen. An empty host is every address of the machine."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}" if self.host else str(self.port)


Value = str | int | float | bool | Address | OptionList | None


@dataclass(frozen=True, slots=True)
class Kind:
    """`label` completes the sentence "this is not ..."; `read` raises ValueError."""

    label: str
    read: Callable[[str], Value]


def _integer(text: str) -> int:
    if not re.fullmatch(r"[+-]?\d+", text, re.ASCII):  # int() would take 1_000 and spaces
        raise ValueError(text)
    return int(text)


def _natural(text: str) -> int:
    number = _integer(text)
    if number < 0:
        raise ValueError(text)
    return number


def _number(text: str) -> float:
    if not re.fullmatch(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?", text, re.ASCII):
        raise ValueError(text)
    return float(text)


def _boolean(text: str) -> bool:
    # `on` and `off` are what flags are written as.
    return {"true": True, "on": True, "false": False, "off": False}[text.lower()]


def _port(text: str) -> int:
    port = _natural(text)
    if port > 65535:
        raise ValueError(text)
    return port


def _address(text: str) -> Address:
    """5672, 127.0.0.1:5672, ::1:5672 (as RabbitMQ writes it), [::1]:5672, localhost:5672."""
    host, colon, port = text.rpartition(":")
    if not colon:
        return Address("", _port(text))
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if not re.fullmatch(r"[0-9A-Za-z.:%_-]+", host):
        raise ValueError(text)
    return Address(host, _port(port))


_BINARY = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_UNIT = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([kmgt])(i?b)?|b)?", re.IGNORECASE | re.ASCII)


def _scaled(text: str, decimal_bytes: bool) -> int:
    found = _UNIT.fullmatch(text)
    if found is None:
        raise ValueError(text)
    number, prefix, suffix = found[1], (found[2] or "").lower(), (found[3] or "").lower()
    factor = _BINARY[prefix]
    if decimal_bytes and suffix == "b":
        factor = 1000 ** ("", "k", "m", "g", "t").index(prefix)
    return int(float(number) * factor)


def _size(text: str) -> int:
    """cuttlefish's bytesize: KB is 1024 (observed: 3.10.8, cuttlefish_bytesize:parse/1)."""
    return _scaled(text, decimal_bytes=False)


def _quantity(text: str) -> int:
    """RabbitMQ's information units: MB is a million, MiB and M are 1024 squared."""
    return _scaled(text, decimal_bytes=True)


_DURATION = {"f": 1_209_600_000, "w": 604_800_000, "d": 86_400_000, "h": 3_600_000}
_DURATION |= {"m": 60_000, "s": 1000, "ms": 1}


def _duration_ms(text: str) -> int:
    """Plain milliseconds, or cuttlefish's 1h30m form."""
    if text.isdigit():
        return int(text)
    if not re.fullmatch(r"(\d+(?:ms|[fwdhms]))+", text):
        raise ValueError(text)
    return sum(int(n) * _DURATION[unit] for n, unit in re.findall(r"(\d+)(ms|[fwdhms])", text))


def _word(text: str) -> Value:
    if not text:
        raise ValueError(text)
    return text


def _option_list(text: str) -> OptionList:
    from mqd.config.erlang import parse
    from mqd.config.parse import ConfigError

    try:
        return option_list(parse(text))
    except (ConfigError, OptionError) as error:
        raise ValueError(text) from error


def _nothing(text: str) -> None:
    if text != "none":
        raise ValueError(text)


INTEGER = Kind("an integer", _integer)
NATURAL = Kind("an integer of 0 or more", _natural)
NUMBER = Kind("a number", _number)
BOOLEAN = Kind("true or false", _boolean)
STRING = Kind("a text", _word)
PORT = Kind("a port number", _port)
ADDRESS = Kind("a port or address:port", _address)
SIZE = Kind("a size such as 131072 or 128KB", _size)
QUANTITY = Kind("a number of bytes such as 500MB or 2GiB", _quantity)
DURATION = Kind("milliseconds, or a duration such as 30s", _duration_ms)
OPTIONS = Kind("a list of socket options such as [{raw,6,18,<<5000:64/native>>}]", _option_list)
NONE = Kind("the word none", _nothing)


def or_infinity(kind: Kind) -> Kind:
    """The word infinity is read as 0, which means no limit wherever this is used."""
    return Kind(f"{kind.label} or infinity", lambda t: 0 if t == "infinity" else kind.read(t))


def either(*kinds: Kind) -> Kind:
    """The first kind that can read the text does."""

    def read(text: str) -> Value:
        for kind in kinds:
            try:
                return kind.read(text)
            except (ValueError, KeyError):
                continue
        raise ValueError(text)

    return Kind(" or ".join(kind.label for kind in kinds), read)


def one_of(*words: str) -> Kind:
    """An enumeration."""

    def read(text: str) -> Value:
        if text not in words:
            raise ValueError(text)
        return text

    return Kind("one of " + ", ".join(words), read)
