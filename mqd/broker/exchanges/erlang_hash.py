"""Numbers that RabbitMQ computes from routing keys and headers, computed here the same way.

Decides two functions, so that a key goes to the same queue as in RabbitMQ and publishers, consumers
and shards that rely on it can be moved over: `portable_hash` is Erlang's phash2 of the term that a
value is there, `bucket_of` the jump consistent hash that draws from Erlang's generator exs1024.
Never knows exchanges. Sources: B. Jenkins, "lookup2"; J. Lamping and E. Veach, "A Fast, Minimal
Memory, Consistent Hash Algorithm"; S. Vigna, xorshift64* and xorshift1024*; every constant and
the order of steps observed: 3.10.8 on Erlang 25, value by value.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from mqd.amqp.fields import Field, Table

_M32 = 0xFFFF_FFFF
_M64 = 0xFFFF_FFFF_FFFF_FFFF
_M21 = 0x1F_FFFF
_RANGE = 0x7FF_FFFF  # phash2 without a range: 27 bits
_STEP = 0x9E37_79B9  # the golden ratio; a kind of term has a multiple of it

_INTEGER, _LIST_END, _ATOM, _TUPLE = (n * _STEP & _M32 for n in (1, 2, 3, 9))
_NEGATIVE, _POSITIVE, _FLOAT, _BINARY = (n * _STEP & _M32 for n in (10, 11, 12, 13))
_NIL = 3_468_870_702  # the empty list where nothing comes before it
_SMALL = 1 << 27  # integers below it, either sign, are hashed in one step
_DOUBLE = struct.Struct(">II")

UNDEFINED = 45_914_356  # of what is not there
Term = int | float | bytes | str | tuple["Term", ...] | list["Term"]  # str: an atom


def portable_hash(value: bytes | Field) -> int:
    """phash2 of a binary, or of a header's type and value. 27 bits."""
    return _term(value if isinstance(value, bytes) else (value[0], _value(value)), 0) & _RANGE


def portable_hash_of_all(keys: Sequence[bytes]) -> int:
    """phash2 of a list of binaries. 27 bits."""
    return _term(list(keys), 0) & _RANGE


def portable_hash_of_table(table: Table) -> int:
    """phash2 of arguments, with a range of 32 bits."""
    return _term(_value(("table", table)), 0)


def bucket_of(key: int, count: int) -> int:
    """Which of so many buckets a key falls into. When buckets are added at the end, a key stays
    where it was or moves to a new one. Costs the logarithm of count."""
    draws = _draws(key)
    bucket, following = -1, 0
    while following < count:
        bucket = following
        following = int((bucket + 1) / (next(draws) or 2.0**-64))
    return bucket


# -- terms ---------------------------------------------------------------------------------------


def _value(field: Field) -> Term:
    """The Erlang term that stands for the value in RabbitMQ."""
    kind, value = field
    if kind == "bool":
        return "true" if value else "false"
    if kind == "void":
        return "undefined"
    if kind == "table":
        return [
            (name.encode("utf-8", "surrogateescape"), item[0], _value(item))
            for name, item in value.items()
        ]
    if kind == "array":
        return [(item[0], _value(item)) for item in value]
    if kind == "decimal":
        return tuple(value)
    term: Term = value
    return term


def _term(term: Term, seed: int) -> int:
    match term:
        case str():
            atom = _atom(term)
            return _mixed(atom, 0, _ATOM, seed) if seed else atom
        case bytes():
            start = (_BINARY + seed) & _M32
            return _block(term, start) if term else start
        case int():
            return _integer(term, seed)
        case float():
            high, low = _DOUBLE.unpack(struct.pack(">d", term or 0.0))
            return _mixed(high, low, _FLOAT, seed)
        case tuple():
            seed = _mixed(len(term), 0, _TUPLE, seed)
            for item in term:
                seed = _term(item, seed)
            return seed
        case list():
            if not term and not seed:
                return _NIL
            for item in term:
                seed = _term(item, seed)
            return _mixed(2, 0, _LIST_END, seed)


def _integer(value: int, seed: int) -> int:
    if -_SMALL <= value < _SMALL:
        if value < 0:
            seed = _mixed(-value, 0, _INTEGER, seed)
        return _mixed(value & _M32, 0, _INTEGER, seed)
    kind = _NEGATIVE if value < 0 else _POSITIVE
    rest = abs(value)
    while rest:
        seed = _mixed(rest & _M32, rest >> 32 & _M32, kind, seed)
        rest >>= 64
    return seed


def _atom(name: str) -> int:
    """P. J. Weinberger's hash."""
    result = 0
    for byte in name.encode():
        result = (result << 4) + byte & _M32
        top = result & 0xF000_0000
        result ^= top >> 24 ^ top
    return result


def _mixed(first: int, second: int, kind: int, seed: int) -> int:
    return _mix(kind + first & _M32, kind + second & _M32, seed)[2]


def _block(data: bytes, seed: int) -> int:
    a = b = _STEP
    c = seed
    whole = len(data) // 12 * 12
    for x, y, z in struct.iter_unpack("<III", data[:whole]):
        a, b, c = _mix(a + x & _M32, b + y & _M32, c + z & _M32)
    tail = data[whole:]
    a += int.from_bytes(tail[:4], "little")
    b += int.from_bytes(tail[4:8], "little")
    c += len(data) + (int.from_bytes(tail[8:], "little") << 8)
    return _mix(a & _M32, b & _M32, c & _M32)[2]


def _mix(a: int, b: int, c: int) -> tuple[int, int, int]:
    a = (a - b - c ^ c >> 13) & _M32
    b = (b - c - a ^ a << 8) & _M32
    c = (c - a - b & _M32) ^ b >> 13
    a = (a - b - c & _M32) ^ c >> 12
    b = (b - c - a ^ a << 16) & _M32
    c = (c - a - b & _M32) ^ b >> 5
    a = (a - b - c & _M32) ^ c >> 3
    b = (b - c - a ^ a << 10) & _M32
    c = (c - a - b & _M32) ^ b >> 15
    return a, b, c


# -- the generator -------------------------------------------------------------------------------


def _draws(key: int) -> Iterator[float]:
    """exs1024 seeded with the key three times: numbers from 0 up to 1."""
    low = (key & _M21) + 1
    state = (low * 2_097_131 & _M21) << 43 | (low * 2_097_133 & _M21) << 22
    state |= (low * 2_097_143 & _M21) << 1 | 1
    ring = [0] * 16
    for place in range(15, -1, -1):
        state ^= state >> 12
        state ^= state << 25 & _M64
        state ^= state >> 27
        ring[place] = state * 2_685_821_657_736_338_717 & _M64
    at = 0
    while True:
        before = ring[at]
        at = at + 1 & 15
        this = ring[at]
        this ^= this << 31 & _M64
        ring[at] = this = before ^ before >> 30 ^ this ^ this >> 11
        yield (this * 1_181_783_497_276_652_981 & _M64) / 2.0**64
