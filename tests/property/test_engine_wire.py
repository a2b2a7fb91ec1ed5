"""What a nats-server sends is read back, however the bytes are cut; nonsense is refused, and what
is not complete is kept. What is sent is what the protocol's grammar says."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqd.cluster.engine import wire
from mqd.cluster.engine.wire import Decoder, Garbled, Msg, Said

names = st.text("abcXYZ019._$-@~", min_size=1, max_size=20)
values = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20).map(str.strip)
heads = st.dictionaries(names, values, max_size=3)
status = st.sampled_from(("", "404", "503", "204 EOB", "408 Request Timeout"))
bodies = st.one_of(st.binary(max_size=40), st.sampled_from((b"\r\n", b"MSG a 1 2\r\n", b"")))


def told(message: Msg, line: str = "") -> bytes:
    """As a server says it. line: its own, behind the version of headers."""
    words = [message.subject, str(message.sid), *([message.reply] if message.reply else [])]
    if message.headers is None:
        return (
            " ".join(["MSG", *words, str(len(message.data))]).encode()
            + b"\r\n"
            + message.data
            + b"\r\n"
        )
    fields = "".join(
        f"{name}:{value}\r\n"
        for name, value in message.headers.items()
        if name not in ("Status", "Description")
    )
    head = f"NATS/1.0{' ' + line if line else ''}\r\n{fields}\r\n".encode()
    sizes = [str(len(head)), str(len(head) + len(message.data))]
    return " ".join(["HMSG", *words, *sizes]).encode() + b"\r\n" + head + message.data + b"\r\n"


@st.composite
def items(draw: st.DrawFn) -> tuple[Msg | Said, bytes]:
    if draw(st.booleans()):
        word, text = draw(
            st.sampled_from(
                (
                    ("PING", ""),
                    ("PONG", ""),
                    ("+OK", ""),
                    ("-ERR", "'Unknown Protocol Operation'"),
                    ("INFO", '{"server_id": "x", "max_payload": 1}'),
                )
            )
        )
        return Said(word, text), f"{word} {text}".strip().encode() + b"\r\n"
    subject, sid, data = draw(names), draw(st.integers(1, 99)), draw(bodies)
    reply = draw(st.one_of(st.just(""), names))
    if draw(st.booleans()):
        message = Msg(subject, sid, reply, data)
        return message, told(message)
    line, headers = draw(status), dict(draw(heads))
    code, _, text = line.partition(" ")
    own = {"Status": code} if code else {}
    own |= {"Description": text} if text else {}
    message = Msg(subject, sid, reply, data, own | headers)
    return message, told(message, line)


@given(st.lists(items(), max_size=8), st.lists(st.integers(0, 400), max_size=12))
def test_however_it_is_cut(said: list[tuple[Msg | Said, bytes]], cuts: list[int]) -> None:
    data = b"".join(raw for _, raw in said)
    decoder = Decoder()
    found: list[Msg | Said] = []
    for start, end in pairwise([0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]):
        found += decoder.feed(data[start:end])
    assert found == [item for item, _ in said]


@given(st.lists(st.binary(max_size=60), max_size=6), st.booleans())
def test_nonsense_is_refused_or_kept(pieces: list[bytes], begins: bool) -> None:
    decoder = Decoder()
    try:
        for piece in [b"MSG "] * begins + pieces:
            list(decoder.feed(piece))
    except Garbled:
        pass


@pytest.mark.parametrize(
    "data",
    [
        b"MSG a\r\n",
        b"MSG a 1 x\r\n",
        b"MSG a 1 -5\r\n",
        b"MSG a 1 2\r\nabc\r\n",
        b"HMSG a 1 9 3\r\nNATS/1.0\r\n\r\n\r\n",
        b"HMSG a 1 12 12\r\nNOPE/1.0\r\n\r\n\r\n",
        b"x" * (wire.LINE_BYTES_MAX + 1),
    ],
)
def test_what_cannot_be(data: bytes) -> None:
    with pytest.raises(Garbled):
        list(Decoder().feed(data))


_PUB = re.compile(rb"(?s)PUB (\S+)(?: (\S+))? (\d+)\r\n(.*)\r\n")
_HPUB = re.compile(rb"(?s)HPUB (\S+)(?: (\S+))? (\d+) (\d+)\r\n(.*)\r\n")


@given(names, bodies, st.one_of(st.just(""), names), heads)
def test_what_is_published(subject: str, data: bytes, reply: str, headers: dict[str, str]) -> None:
    plain = _PUB.fullmatch(wire.publish(subject, data, reply))
    assert plain is not None
    to = (subject.encode(), reply.encode() or None)
    assert plain.groups() == (*to, b"%d" % len(data), data)
    headed = _HPUB.fullmatch(wire.publish(subject, data, reply, wire.header_block(headers)))
    assert headed is not None
    *where, head_size, size, rest = headed.groups()
    assert tuple(where) == to
    head = int(head_size)
    assert len(rest) == int(size)
    assert rest[head:] == data
    back = Msg(subject, 1, reply, data, headers)
    line = " ".join(["HMSG", subject, "1", *([reply] if reply else [])]).encode()
    raw = line + b" %d %d\r\n" % (head, len(rest)) + rest + b"\r\n"
    assert list(Decoder().feed(raw)) == [back]
