"""HPACK (RFC 7541), as much as one gRPC call needs.

Decides how a header block is written (literals without indexing, always legal) and read (all of
it: static and dynamic table, Huffman strings). Never touches a socket.
"""

from __future__ import annotations

HeaderList = list[tuple[bytes, bytes]]


class HpackError(Exception):
    """A header block that breaks RFC 7541."""


# RFC 7541 appendix A, in order: name, space, value.
_STATIC_TEXT = b"""\
:authority
:method GET
:method POST
:path /
:path /index.html
:scheme http
:scheme https
:status 200
:status 204
:status 206
:status 304
:status 400
:status 404
:status 500
accept-charset
accept-encoding gzip, deflate
accept-language
accept-ranges
accept
access-control-allow-origin
age
allow
authorization
cache-control
content-disposition
content-encoding
content-language
content-length
content-location
content-range
content-type
cookie
date
etag
expect
expires
from
host
if-match
if-modified-since
if-none-match
if-range
if-unmodified-since
last-modified
link
location
max-forwards
proxy-authenticate
proxy-authorization
range
referer
refresh
retry-after
server
set-cookie
strict-transport-security
transfer-encoding
user-agent
vary
via
www-authenticate"""
_STATIC = tuple((n, v) for n, _, v in (e.partition(b" ") for e in _STATIC_TEXT.split(b"\n")))

# RFC 7541 appendix B is a canonical code, so the lengths say it all: letter - "A" + 5 bits for each
# symbol 0-255, then EOS.
_HUFFMAN_LENGTHS = (
    "ISXXXXXXXTZXXZXXXXXXXXZXXXXXXXXXBFFHIBDGFFDGDBBBAAABBBBBBBCDKBHFIBCCCCCCCCCCCCCCCCCCCCCCDC"
    "DIOIJBKABABABBBACCBBBABCBAABCCCCCKGJIXPRPPRRRSRSSSSSTSTTRSTSSSSQRSRSSTRQPRRSSQSRRTQRSSQQRQ"
    "SRSSPRRRSRRSVVPORSRUVVVWWVTUOQVWWVWTQQVVXWWWPTPQRQQSRRUUTTVSVWVVWWWWWXWWWWWVZ"
)
_EOS = 256


def _huffman_codes() -> dict[tuple[int, int], int]:
    """(length, code) -> symbol."""
    lengths = [ord(letter) - ord("A") + 5 for letter in _HUFFMAN_LENGTHS]
    codes: dict[tuple[int, int], int] = {}
    code = 0
    previous = 0
    for symbol in sorted(range(len(lengths)), key=lambda s: (lengths[s], s)):
        code <<= lengths[symbol] - previous if previous else 0
        previous = lengths[symbol]
        codes[previous, code] = symbol
        code += 1
    return codes


def huffman_decode(data: bytes) -> bytes:
    """Undo the Huffman coding of a string (§5.2); raises HpackError on a bad padding."""
    codes = _huffman_codes()  # built only when a peer does use it
    out = bytearray()
    code = length = 0
    for byte in data:
        for shift in range(7, -1, -1):
            code = code << 1 | (byte >> shift & 1)
            length += 1
            symbol = codes.get((length, code))
            if symbol is not None:
                if symbol == _EOS:
                    raise HpackError("end-of-string symbol inside a string")
                out.append(symbol)
                code = length = 0
    if length > 7 or code != (1 << length) - 1:
        raise HpackError("bad padding of a Huffman string")
    return bytes(out)


def _write_string(text: bytes) -> bytes:
    length = len(text)
    if length < 127:
        return bytes((length,)) + text
    head = bytearray((127,))
    length -= 127
    while length >= 128:
        head.append(length & 127 | 128)
        length >>= 7
    head.append(length)
    return bytes(head) + text


def encode(headers: HeaderList) -> bytes:
    """A header block that any decoder reads and none remembers (§6.2.2)."""
    return b"".join(b"\0" + _write_string(n) + _write_string(v) for n, v in headers)


class Decoder:
    """One direction of one connection: keeps the dynamic table between blocks."""

    def __init__(self, table_bytes_max: int = 4096) -> None:
        self._dynamic: list[tuple[bytes, bytes]] = []  # newest first
        self._bytes = 0
        self._bytes_max = table_bytes_max

    def decode(self, block: bytes) -> HeaderList:
        """All fields of one complete header block, in order."""
        headers: HeaderList = []
        pos = 0
        try:
            while pos < len(block):
                pos = self._field(block, pos, headers)
        except IndexError as error:
            raise HpackError("header block is cut off") from error
        return headers

    def _field(self, block: bytes, pos: int, headers: HeaderList) -> int:
        first = block[pos]
        if first & 0x80:
            index, pos = _integer(block, pos, 7)
            headers.append(self._entry(index))
            return pos
        if first & 0xE0 == 0x20:
            self._bytes_max, pos = _integer(block, pos, 5)
            self._evict()
            return pos
        remember = bool(first & 0x40)
        index, pos = _integer(block, pos, 6 if remember else 4)
        if index:
            name = self._entry(index)[0]
        else:
            name, pos = _string(block, pos)
        value, pos = _string(block, pos)
        headers.append((name, value))
        if remember:
            self._dynamic.insert(0, (name, value))
            self._bytes += len(name) + len(value) + 32  # §4.1
            self._evict()
        return pos

    def _entry(self, index: int) -> tuple[bytes, bytes]:
        if index == 0:
            raise HpackError("field index 0")
        if index <= len(_STATIC):
            return _STATIC[index - 1]
        return self._dynamic[index - len(_STATIC) - 1]

    def _evict(self) -> None:
        while self._bytes > self._bytes_max and self._dynamic:
            name, value = self._dynamic.pop()
            self._bytes -= len(name) + len(value) + 32


def _integer(block: bytes, pos: int, prefix_bits: int) -> tuple[int, int]:
    limit = (1 << prefix_bits) - 1
    value = block[pos] & limit
    pos += 1
    if value < limit:
        return value, pos
    shift = 0
    while True:
        byte = block[pos]
        pos += 1
        value += (byte & 127) << shift
        shift += 7
        if not byte & 128:
            return value, pos
        if shift > 28:
            raise HpackError("integer is too long")


def _string(block: bytes, pos: int) -> tuple[bytes, int]:
    coded = bool(block[pos] & 0x80)
    length, pos = _integer(block, pos, 7)
    end = pos + length
    if end > len(block):
        raise HpackError("string is cut off")
    text = block[pos:end]
    return (huffman_decode(text) if coded else text), end
