"""mqd.definitions.terms: Erlang's external term format. Bytes from Erlang/OTP 25."""

from __future__ import annotations

import contextlib
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqd.definitions.export import Pairs, Record
from mqd.definitions.terms import NoTerm, decode, encode
from mqd.definitions.values import Atom

# term_to_binary([#{<<"a">> => abc, d => [1,2], <<"u">> => 1.5}, 300, -1, {<<"x">>,99999999999},
#                 true, [1,300], -99999999999, 5000000000]), without the map's atom key
BYTES = bytes.fromhex(
    "83 6c 00000008 74 00000002 6d 00000001 61 64 0003 616263 6d 00000001 75 46 3ff8000000000000"
    "62 0000012c 62 ffffffff 68 02 6d 00000001 78 6e 05 00 ffe7764817 64 0004 74727565"
    "6c 00000002 61 01 62 0000012c 6a 6e 05 01 ffe7764817 6e 05 00 00f2052a01 6a".replace(" ", "")
)
VALUE: list[Any] = [
    {"a": Atom("abc"), "u": 1.5},
    300,
    -1,
    ("x", 99999999999),
    True,
    [1, 300],
    -99999999999,
    5000000000,
]


def unpacked(data: bytes) -> bytes:
    return b"\x83" + zlib.decompress(data[6:]) if data[1] == 80 else data


def test_bytes_are_erlangs() -> None:
    assert unpacked(encode(VALUE)) == BYTES
    assert decode(BYTES) == VALUE


def test_texts_lists_and_records() -> None:
    assert encode([1, 2]) == b"\x83k\x00\x02\x01\x02"
    assert encode([]) == b"\x83j"
    assert encode(Record(a="x")) == b"\x83t\x00\x00\x00\x01d\x00\x01am\x00\x00\x00\x01x"
    assert encode(Pairs([("k", 1)])) == bytes.fromhex("836c0000000168026d000000016b61016a")
    assert decode(encode(Pairs([("k", 1)]))) == {"k": 1}
    assert encode(None) == b"\x83d\x00\x04null"
    assert encode(Atom("\u0100")) == "\u0083w\u0002".encode("latin-1") + "\u0100".encode()


def test_a_long_one_is_compressed() -> None:
    data = encode(["x" * 1000] * 10)
    assert data[:2] == b"\x83P"
    assert len(data) < 200
    assert decode(data) == ["x" * 1000] * 10


TERMS = st.recursive(
    st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=20,
)


@given(TERMS)
def test_there_and_back(value: object) -> None:
    assert decode(encode(value)) == value


@given(st.binary(max_size=30), TERMS)
def test_any_bytes(data: bytes, value: object) -> None:
    whole = encode(value)
    for each in (data, b"\x83" + data, whole[:-1], whole + data[:1], whole[:5] + data):
        with contextlib.suppress(NoTerm):
            decode(each)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"{}", "does not begin as a term"),
        (b"\x83", "broken off or damaged near byte 0"),
        (b"\x83P\xff\xff\xff\xffx", "larger than"),
        (b"\x83P\x00\x00\x00\x05xx", "cannot be unpacked"),
        (b"\x83P\x00\x00\x00\x09" + zlib.compress(b"j"), "does not unpack to the size"),
        (b"\x83jj", "something follows the term"),
        (b"\x83q", "a term of kind 113 has no place"),
        (b"\x83l\xff\xff\xff\xffa\x01", "broken off"),
        (b"\x83l\x00\x00\x00\x01a\x01a\x02", "does not end in one"),
        (b"\x83" + b"l\x00\x00\x00\x01" * 300, "nested more than"),
        (b"\x83t\x00\x00\x00\x01a\x01a\x02", "a key that is no text"),
    ],
)
def test_what_is_no_term(data: bytes, words: str) -> None:
    with pytest.raises(NoTerm, match=words):
        decode(data)
