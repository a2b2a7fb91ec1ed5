"""From the broker's values to the messages that carry them.

Decides how text, field tables and Erlang-like terms are put on the wire. Never chooses what is
listed (`listing`) and never formats for people: that is the tool's part.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mqd.amqp.fields import Field, Table
from mqd.config.erlang import Atom, Chars, Plain
from mqd.rpc.v1 import values_pb2 as pb


def text(value: str) -> str:
    """A name as protobuf can carry it: AMQP lets names be no UTF-8, protobuf does not."""
    if value.isascii():
        return value
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def table(value: Table) -> pb.Table:
    """A field table in the order it was sent (observed: 3.10.8 sorts bindings' arguments alone)."""
    return pb.Table(
        entries=[pb.TableEntry(name=text(name), value=field(item)) for name, item in value.items()]
    )


def field(value: Field) -> pb.FieldValue:
    """One field value under its wire kind."""
    kind, content = value
    if kind == "longstr":
        return _longstr(content)
    if kind == "table":
        return pb.FieldValue(table=table(content))
    if kind == "array":
        return pb.FieldValue(array=pb.FieldArray(items=[field(item) for item in content]))
    if kind == "decimal":
        return pb.FieldValue(decimal=pb.Decimal(scale=content[0], value=content[1]))
    if kind == "void":
        return pb.FieldValue(void=True)
    if kind == "binary":
        return pb.FieldValue(binary=bytes(content))
    return pb.FieldValue(**{kind: content})


def _longstr(content: bytes) -> pb.FieldValue:
    try:
        return pb.FieldValue(longstr=bytes(content).decode())
    except UnicodeDecodeError:
        return pb.FieldValue(longstr_bytes=bytes(content))


def atom(name: str) -> pb.Term:
    return pb.Term(atom=text(name))


def binary(value: str) -> pb.Term:
    """Text as RabbitMQ keeps it: <<"...">>."""
    return pb.Term(binary=text(value))


def term_list(items: Iterable[pb.Term]) -> pb.Term:
    return pb.Term(list=pb.TermList(items=items))


def term_tuple(items: Iterable[pb.Term]) -> pb.Term:
    return pb.Term(tuple=pb.TermList(items=items))


def proplist(pairs: Mapping[str, pb.Term]) -> pb.Term:
    """[{key, value}, ...] with atoms for keys."""
    return pb.Term(
        proplist=pb.TermMap(
            pairs=[pb.TermPair(key=atom(key), value=value) for key, value in pairs.items()]
        )
    )


def erlang_term(value: Plain) -> pb.Term:
    """A term of `mqd.config.erlang`; true and false are atoms there and booleans here."""
    if isinstance(value, Atom):
        return pb.Term(boolean=value == "true") if value in ("true", "false") else atom(value)
    if isinstance(value, Chars):
        return pb.Term(chars=text(value))
    if isinstance(value, bytes):
        try:
            return pb.Term(binary=value.decode())
        except UnicodeDecodeError:
            return pb.Term(octets=value)
    if isinstance(value, bool):
        return pb.Term(boolean=value)
    if isinstance(value, float):
        return pb.Term(float=value)
    if isinstance(value, int):
        small = -(1 << 63) <= value < 1 << 63
        return pb.Term(integer=value) if small else atom(str(value))
    if isinstance(value, dict):
        pairs = [pb.TermPair(key=erlang_term(k), value=erlang_term(v)) for k, v in value.items()]
        return pb.Term(map=pb.TermMap(pairs=pairs))
    items = [erlang_term(item) for item in value]
    return term_tuple(items) if isinstance(value, tuple) else term_list(items)
