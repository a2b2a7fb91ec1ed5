"""`mqd.amqp.codec`: every method of the catalogue, held against pamqp, and what that loses."""

from __future__ import annotations

from typing import Any

import pytest
from pamqp import commands, frame

from mqd.amqp.codec import (
    EIGHT,
    AccessRequest,
    AccessRequestOk,
    Method,
    decode_method,
    encode_method,
    erlang_binary,
)
from mqd.amqp.fields import Table
from mqd.amqp.replies import ConnectionError_, ReplyCode

TABLE = {"x-match": ("longstr", b"all"), "n": ("signedint", 5)}
VALUES: dict[str, list[Any]] = {
    "bit": [True, False],
    "octet": [9, 0],
    "short": [700, 0],
    "long": [70_000, 1],
    "longlong": [1 << 40, 2],
    "shortstr": ["name", ""],
    "longstr": [b"long\0bytes", b""],
    "table": [TABLE, {}],
}
CATALOGUE: dict[int, Any] = commands.INDEX_MAPPING
METHODS = [pytest.param(cls, id=cls.name) for _, cls in sorted(CATALOGUE.items())]


def filled(cls: type[Method], turn: int) -> Method:
    """A method with every argument set, past the class's own checks."""
    method = cls.__new__(cls)
    for at, name in enumerate(cls.attributes()):
        choices = VALUES[cls.amqp_type(name)]
        setattr(method, name, choices[(at + turn) % len(choices)])
    return method


def arguments(method: Method) -> dict[str, Any]:
    return {name: getattr(method, name) for name in type(method).attributes()}


@pytest.mark.parametrize("turn", [0, 1])
@pytest.mark.parametrize("cls", METHODS)
def test_what_is_written_is_read_back(cls: type[Method], turn: int) -> None:
    method = filled(cls, turn)
    data = encode_method(3, method)
    assert data[:3] == b"\x01\0\x03"
    assert data[-1:] == b"\xce"
    back = decode_method(data[7:-1])
    assert type(back) is cls
    assert arguments(back) == arguments(method)


@pytest.mark.parametrize("turn", [0, 1])
@pytest.mark.parametrize("cls", METHODS)
def test_as_pamqp_writes_it(cls: type[Method], turn: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cls, "validate", lambda self: None)  # stricter than the protocol
    ours, theirs = filled(cls, turn), filled(cls, turn)
    for name in cls.attributes():
        kind = cls.amqp_type(name)
        if kind == "table":
            setattr(ours, name, {})
            setattr(theirs, name, {})
        elif kind == "longstr":
            setattr(theirs, name, getattr(ours, name).decode())
    assert encode_method(7, ours) == frame.marshal(theirs, 7)


@pytest.mark.parametrize("cls", METHODS)
def test_cut_off_anywhere(cls: type[Method]) -> None:
    payload = encode_method(1, filled(cls, 0))[7:-1]
    for end in range(4, len(payload)):
        with pytest.raises(ConnectionError_) as caught:
            decode_method(payload[:end])
        assert caught.value.code is ReplyCode.FRAME_ERROR
        assert caught.value.method == (cls.index >> 16, cls.index & 0xFFFF)


def test_bytes_left_over_are_no_method() -> None:
    payload = encode_method(1, commands.Basic.Ack(1, False))[7:-1]
    with pytest.raises(ConnectionError_, match="cannot decode <<0,0,0,0,0,0,0,1,0,33>>"):
        decode_method(payload + b"!")


def test_unknown_method_is_named() -> None:
    with pytest.raises(ConnectionError_) as caught:
        decode_method(b"\0\x3c\0\xff")
    assert caught.value.code is ReplyCode.COMMAND_INVALID
    assert caught.value.text == "unknown method (class 60, method 255)"


def test_bad_text() -> None:
    payload = b"\0\x32\0\x0a\0\0\x02\xff\xfe\0\0\0\0\0"  # queue.declare
    with pytest.raises(ConnectionError_, match="Malformed UTF-8 in shortstr") as caught:
        decode_method(payload)
    assert caught.value.method == (0, 0)


def test_a_publish_may_have_any_bytes_for_names() -> None:
    """observed: 3.10.8; they come out as they came in."""
    payload = b"\0\x3c\0\x28\0\0\x01\xff\x02\xfe\x80\0"
    method = decode_method(payload)
    assert encode_method(1, method)[7:-1] == payload


def test_tables_keep_their_types() -> None:
    table: Table = {
        "a": ("unsignedbyte", 5),
        "b": ("byte", 5),
        "c": ("void", None),
        "d": ("array", []),
    }
    method: Any = commands.Queue.Declare(0, "q")
    method.arguments = table
    back: Any = decode_method(encode_method(1, method)[7:-1])
    assert back.arguments == table


def test_a_table_of_unknown_types() -> None:
    payload = b"\0\x32\0\x0a\0\0\x01q\0\0\0\0\x03\x01aZ"
    with pytest.raises(ConnectionError_, match="cannot decode field table") as caught:
        decode_method(payload)
    assert caught.value.method == (50, 10)


def test_names_are_not_held_to_the_patterns_of_the_xml() -> None:
    name = "ünusual name|with (anything)" + "x" * 200
    method: Any = commands.Queue.Declare(0, "q")
    method.queue = name
    back: Any = decode_method(encode_method(1, method)[7:-1])
    assert back.queue == name


def test_access_request_is_still_known() -> None:
    payload = b"\0\x1e\0\x0a\x05/data\x1f"
    request: Any = decode_method(payload)
    assert isinstance(request, AccessRequest)
    assert (request.realm, request.read) == ("/data", True)  # type: ignore[attr-defined]
    assert encode_method(1, AccessRequestOk(1)) == b"\x01\0\x01\0\0\0\x06\0\x1e\0\x0b\0\x01\xce"


@pytest.mark.parametrize(
    ("data", "text"),
    [(b"", "<<>>"), (b"x", '<<"x">>'), (b'a"\\', '<<"a\\"\\\\">>'), (b"\0\xff", "<<0,255>>")],
)
def test_erlang_binary(data: bytes, text: str) -> None:
    assert erlang_binary(data) == text


# -- AMQP 0-8 -------------------------------------------------------------------------------------


def test_close_of_eight_has_another_number() -> None:
    data = encode_method(0, commands.Connection.Close(320, "bye", 0, 0), EIGHT)
    assert data[7:11] == b"\0\x0a\0\x3c"
    assert isinstance(decode_method(data[7:-1], EIGHT), commands.Connection.Close)
    assert isinstance(decode_method(b"\0\x0a\0\x3d", EIGHT), commands.Connection.CloseOk)


def test_what_eight_leaves_out() -> None:
    assert encode_method(1, commands.Channel.OpenOk(), EIGHT)[3:7] == b"\0\0\0\x04"
    payload = b"\0\x3c\0\x14\0\0\1q\1t\0"
    consume: Any = decode_method(payload, EIGHT)
    assert (consume.queue, consume.arguments) == ("q", {})
    assert encode_method(1, consume, EIGHT)[7:-1] == payload


@pytest.mark.parametrize(
    "method",
    [commands.Connection.Blocked("why"), commands.Basic.Nack(1), commands.Confirm.Select()],
)
def test_what_eight_does_not_know(method: Method) -> None:
    assert encode_method(1, method, EIGHT) == b""
    with pytest.raises(ConnectionError_) as caught:
        decode_method(encode_method(1, method)[7:-1], EIGHT)
    assert caught.value.code in (ReplyCode.COMMAND_INVALID, ReplyCode.FRAME_ERROR)
