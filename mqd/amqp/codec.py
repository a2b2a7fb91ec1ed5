"""Methods to and from bytes, by pamqp's catalogue of the protocol.

Decides how the arguments of any method are read and written: which arguments there are, in which
order and of which type, pamqp's classes say. Two things pamqp would lose are read here instead:
field tables keep their wire types (`mqd.amqp.fields`), and names are not held to the patterns of
the XML, because RabbitMQ takes any UTF-8. AMQP 0-8 is the same catalogue with some methods under
other numbers, shorter or missing (`EIGHT`). Never decides whether a method is legal now.
"""

from __future__ import annotations

import struct
from typing import Any

from pamqp import base, commands

from mqd.amqp.fields import FieldError, UnknownFieldType, decode_table, encode_table
from mqd.amqp.replies import ConnectionError_, ReplyCode

Method = base.Frame

_SHORT = struct.Struct(">H")
_LONG = struct.Struct(">I")
_LONGLONG = struct.Struct(">Q")
_ENVELOPE = struct.Struct(">BHI")
_PUBLISH = b"\x00\x3c\x00\x28"
_NUMBERS = {"octet": struct.Struct(">B"), "short": _SHORT, "long": _LONG, "longlong": _LONGLONG}


class _Truncated(Exception):
    """The arguments are shorter or longer than the method's."""


class _BadText(Exception):
    pass


class AccessRequest(base.Frame):
    """access.request: gone from the XML, still answered by RabbitMQ (ticket 1)."""

    __slots__ = ["realm", "exclusive", "passive", "active", "write", "read"]
    index = 0x001E000A
    name = "Access.Request"
    _realm = "shortstr"
    _exclusive = _passive = _active = _write = _read = "bit"


class AccessRequestOk(base.Frame):
    """access.request-ok."""

    __slots__ = ["ticket"]
    index = 0x001E000B
    name = "Access.RequestOk"
    _ticket = "short"

    def __init__(self, ticket: int = 1) -> None:
        self.ticket = ticket


def _plan(cls: type[Method]) -> tuple[tuple[str, str], ...]:
    return tuple((name, cls.amqp_type(name)) for name in cls.attributes())


_Plan = tuple[tuple[str, str], ...]  # argument and its type, in order; "absent" is not on the wire


class Catalogue:
    """The methods of one version of the protocol.

    read: number on the wire -> class and arguments. written: number of the class -> number on the
    wire and arguments.
    """

    def __init__(self, methods: dict[int, tuple[type[Method], _Plan]]) -> None:
        self.read = methods
        self.written = {cls.index: (index, plan) for index, (cls, plan) in methods.items()}


NINE = Catalogue(
    {
        index: (cls, _plan(cls))
        for index, cls in (
            *commands.INDEX_MAPPING.items(),
            (AccessRequest.index, AccessRequest),
            (AccessRequestOk.index, AccessRequestOk),
        )
    }
)


# What 3.10.8 speaks with a client whose header asks for 0-8 (observed, method by method).
_RENUMBERED: dict[int, int] = {
    commands.Connection.Close.index: 0x000A003C,
    commands.Connection.CloseOk.index: 0x000A003D,
}
_UNKNOWN_TO_EIGHT = frozenset(
    cls.index
    for cls in (
        commands.Connection.Blocked,  # has the number of 0-8's close: 3.10.8 drops the socket
        commands.Connection.Unblocked,
        commands.Connection.UpdateSecret,
        commands.Connection.UpdateSecretOk,
        commands.Exchange.Bind,
        commands.Exchange.BindOk,
        commands.Exchange.Unbind,
        commands.Exchange.UnbindOk,
        commands.Basic.Nack,
        commands.Confirm.Select,
        commands.Confirm.SelectOk,
    )
)
_ABSENT_FROM_EIGHT = {
    (commands.Channel.OpenOk.index, "channel_id"),
    (commands.Basic.Consume.index, "arguments"),
}


def _plan_of_eight(index: int, plan: _Plan) -> _Plan:
    return tuple(
        (name, "absent" if (index, name) in _ABSENT_FROM_EIGHT else kind) for name, kind in plan
    )


EIGHT = Catalogue(
    {
        _RENUMBERED.get(index, index): (cls, _plan_of_eight(index, plan))
        for index, (cls, plan) in NINE.read.items()
        if index not in _UNKNOWN_TO_EIGHT
    }
)


def erlang_binary(data: bytes) -> str:
    """<<1,2,3>> or <<"text">>, as RabbitMQ shows bytes in its texts (observed: 3.10.8)."""
    if data and all(32 <= octet < 127 for octet in data):
        return '<<"' + data.decode("ascii").replace("\\", "\\\\").replace('"', '\\"') + '">>'
    return "<<" + ",".join(map(str, data)) + ">>"


def decode_method(payload: bytes, catalogue: Catalogue = NINE) -> Method:
    """The method in a method frame's payload.

    payload: at least the two ids. Tables in it are `mqd.amqp.fields.Table`. Raises
    ConnectionError_: 501 for arguments that cannot be read, 503 for a method nobody knows.
    """
    index = _LONG.unpack_from(payload)[0]
    plan = catalogue.read.get(index)
    method_id = (index >> 16, index & 0xFFFF)
    if plan is None:
        # 3.10.8 drops the socket without a word here; a close that names the method is kinder.
        raise ConnectionError_(
            ReplyCode.COMMAND_INVALID,
            f"unknown method (class {method_id[0]}, method {method_id[1]})",
            method_id,
        )
    cls, arguments = plan
    method = cls.__new__(cls)
    try:
        _read(method, arguments, payload)
    except _BadText as error:
        raise ConnectionError_(
            ReplyCode.FRAME_ERROR, "Malformed UTF-8 in shortstr", (0, 0)
        ) from error
    except UnknownFieldType as error:
        # 3.10.8 drops the socket without a word here too.
        raise ConnectionError_(
            ReplyCode.FRAME_ERROR, f"cannot decode field table: {error}", method_id
        ) from error
    except (_Truncated, FieldError, struct.error, IndexError) as error:
        shown = erlang_binary(payload[4:])
        raise ConnectionError_(
            ReplyCode.FRAME_ERROR, f"cannot decode {shown}", method_id
        ) from error
    return method


def _read(method: Method, arguments: tuple[tuple[str, str], ...], payload: bytes) -> None:
    pos = 4
    bit = 0
    # observed: 3.10.8 takes any bytes for the exchange and routing key of a publish, and only there
    errors = "surrogateescape" if payload.startswith(_PUBLISH) else "strict"
    for name, kind in arguments:
        if kind == "bit":
            if bit == 0:
                if pos >= len(payload):
                    raise _Truncated
                pos += 1
            setattr(method, name, bool(payload[pos - 1] >> bit & 1))
            bit = (bit + 1) & 7
            continue
        bit = 0
        value: Any
        if kind == "absent":
            value, end = {}, pos
        elif kind == "shortstr":
            end = pos + 1 + payload[pos]
            if end > len(payload):
                raise _Truncated
            try:
                value = payload[pos + 1 : end].decode("utf-8", errors)
            except UnicodeDecodeError as error:
                raise _BadText from error
        elif kind == "table":
            value, end = decode_table(payload, pos)
        elif kind == "longstr":
            end = pos + 4 + _LONG.unpack_from(payload, pos)[0]
            if end > len(payload):
                raise _Truncated
            value = payload[pos + 4 : end]
        else:
            number = _NUMBERS[kind]
            value = number.unpack_from(payload, pos)[0]
            end = pos + number.size
        setattr(method, name, value)
        pos = end
    if pos != len(payload):
        raise _Truncated


def _encode_text(value: str | bytes) -> bytes:
    return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value


def encode_method(channel_id: int, method: Method, catalogue: Catalogue = NINE) -> bytes:
    """The whole method frame; empty when the catalogue has no such method.

    Tables in it are `mqd.amqp.fields.Table`.
    """
    if method.index not in catalogue.written:
        return b""
    index, arguments = catalogue.written[method.index]
    parts = [_LONG.pack(index)]
    bits = -1
    shift = 0
    for name, kind in arguments:
        value: Any = getattr(method, name)
        if kind == "bit":
            bits = max(bits, 0) | (bool(value) << shift)
            shift += 1
            continue
        if bits >= 0:
            parts.append(bytes((bits,)))
            bits, shift = -1, 0
        if kind == "shortstr":
            raw = _encode_text(value)
            parts += (bytes((len(raw),)), raw)
        elif kind == "table":
            parts.append(encode_table(value))
        elif kind == "longstr":
            raw = _encode_text(value)
            parts += (_LONG.pack(len(raw)), raw)
        elif kind != "absent":
            parts.append(_NUMBERS[kind].pack(value))
    if bits >= 0:
        parts.append(bytes((bits,)))
    payload = b"".join(parts)
    return _ENVELOPE.pack(1, channel_id, len(payload)) + payload + b"\xce"
