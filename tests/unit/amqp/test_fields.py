"""`mqd.amqp.fields`: each kind byte for byte, and what is refused.

Round trips of any table are tests/property/test_fields.py's.
"""

from __future__ import annotations

import json

import pytest

from mqd.amqp.fields import (
    DEPTH_MAX,
    Field,
    FieldError,
    Table,
    UnknownFieldType,
    decode_table,
    encode_table,
    from_json,
    to_json,
)

KINDS: list[tuple[bytes, Field]] = [
    (b"I\xff\xff\xff\xfe", ("signedint", -2)),
    (b"l" + b"\xff" * 8, ("long", -1)),
    (b"b\x80", ("byte", -128)),
    (b"B\x80", ("unsignedbyte", 128)),
    (b"s\x80\0", ("short", -32768)),
    (b"u\x80\0", ("unsignedshort", 32768)),
    (b"i\x80\0\0\0", ("unsignedint", 1 << 31)),
    (b"d\x3f\xf0" + b"\0" * 6, ("double", 1.0)),
    (b"f\x3f\x80\0\0", ("float", 1.0)),
    (b"T" + b"\0" * 7 + b"\x05", ("timestamp", 5)),
    (b"t\x01", ("bool", True)),
    (b"S\0\0\0\x02ab", ("longstr", b"ab")),
    (b"x\0\0\0\x01\0", ("binary", b"\0")),
    (b"V", ("void", None)),
    (b"D\x02\0\0\x01\0", ("decimal", (2, 256))),
    (b"A\0\0\0\x03t\0V", ("array", [("bool", False), ("void", None)])),
    (b"F\0\0\0\x03\x01kV", ("table", {"k": ("void", None)})),
]


def wrap(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


@pytest.mark.parametrize(("raw", "value"), KINDS, ids=[field[0] for _, field in KINDS])
def test_each_kind(raw: bytes, value: Field) -> None:
    data = wrap(b"\x01n" + raw)
    assert decode_table(b"??" + data + b"!", 2) == ({"n": value}, 2 + len(data))
    assert encode_table({"n": value}) == data


@pytest.mark.parametrize(("raw", "value"), KINDS, ids=[field[0] for _, field in KINDS])
def test_cut_off_anywhere(raw: bytes, value: Field) -> None:
    data = wrap(b"\x01n" + raw)
    for end in range(len(data)):
        with pytest.raises(FieldError):
            decode_table(data[:end])
    if len(raw) > 1:  # and by its own length
        with pytest.raises(FieldError):
            decode_table(wrap((b"\x01n" + raw)[:-1]))


def test_long_may_be_written_in_capitals() -> None:
    assert decode_table(wrap(b"\x01nL" + b"\xff" * 8))[0] == {"n": ("long", -1)}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (wrap(b"\x01nZ"), "unknown field type 90"),
        (wrap(b"\x05n"), "field name is cut off"),
        (wrap(b"\x01nS\0\0\0\x63a"), "longer than its frame"),
        (wrap(b"\x01nA\0\0\0\x04I\0\0\0"), "cut off"),
    ],
)
def test_what_cannot_be_read_is_said(data: bytes, words: str) -> None:
    with pytest.raises(FieldError, match=words):
        decode_table(data)


def test_a_value_does_not_reach_past_its_table() -> None:
    inner = b"F\0\0\0\x05\x01kI\0\0"  # four octets of int, two of them beyond the table
    with pytest.raises(FieldError):
        decode_table(wrap(b"\x01n" + inner + b"\0\0"))
    inner = b"F\0\0\0\x07\x01kS\0\0\0\x02"
    with pytest.raises(FieldError):
        decode_table(wrap(b"\x01n" + inner + b"ab"))


def test_unknown_types_are_told_apart() -> None:
    """3.10.8 treats them otherwise than what is cut off."""
    with pytest.raises(UnknownFieldType):
        decode_table(wrap(b"\x01nZ"))


def test_names_may_be_any_bytes() -> None:
    table, _ = decode_table(wrap(b"\x02\xff\xfeV"))
    assert encode_table(table) == wrap(b"\x02\xff\xfeV")


@pytest.mark.parametrize("tag", [b"A", b"F"])
def test_nesting_is_bounded(tag: bytes) -> None:
    body = b"V"
    for _ in range(DEPTH_MAX * 40):
        body = b"A" + wrap(body) if tag == b"A" else b"F" + wrap(b"\x01n" + body)
    with pytest.raises(FieldError, match="nested too deeply"):
        decode_table(wrap(b"\x01n" + body))


def test_the_last_of_two_values_counts() -> None:
    assert decode_table(wrap(b"\x01nt\0\x01nt\x01"))[0] == {"n": ("bool", True)}


def test_what_cannot_be_written() -> None:
    with pytest.raises(FieldError, match="unknown field kind 'colour'"):
        encode_table({"n": ("colour", 5)})


def test_json_is_read_back_without_loss() -> None:
    table: Table = {f"k{index}": value for index, (_, value) in enumerate(KINDS)}
    table["raw"] = ("longstr", b"\xff\xfe")
    assert from_json(json.loads(json.dumps(to_json(table)))) == table
