"""Frames of the links: however cut they come out whole, and what is none is refused in bounds."""

from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqd import limits
from mqd.cluster.links import frames, greeting
from mqd.cluster.links.frames import Decoder, Frame, Garbled
from mqd.cluster.links.greeting import Hello, Refusal
from mqd.errors import ErrorCode, MqdError
from mqd.metadata.commands import Member

STEP = limits.LINK_FRAME_BYTES_MAX
SIZES = st.one_of(
    st.integers(0, 40), st.sampled_from([STEP - 1, STEP, STEP + 1, 2 * STEP, 2 * STEP + 9])
)
CARRIERS = st.sampled_from([frames.SEND, frames.REQUEST, frames.REPLY, frames.FAILURE])
SENT = st.lists(
    st.tuples(CARRIERS, st.integers(0, 65_535), st.integers(0, 2**32 - 1), SIZES), max_size=6
)


def written(sent: list[Frame]) -> bytes:
    return b"".join(bytes(piece) for each in sent for piece in frames.pieces(*each))


def fed(decoder: Decoder, data: bytes, cuts: list[int]) -> list[Frame]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    got: list[Frame] = []
    for begin, end in itertools.pairwise(edges):
        got += decoder.feed(data[begin:end])
    return got


@given(SENT, st.lists(st.integers(0, 10**7), max_size=12))
def test_what_was_written_is_read_however_it_is_cut(
    sent: list[tuple[int, int, int, int]], cuts: list[int]
) -> None:
    given_ = [(kind, service, call, b"p" * size) for kind, service, call, size in sent]
    decoder = Decoder(STEP)
    assert fed(decoder, written(given_), cuts) == given_
    assert decoder.kept_bytes == 0


@given(SENT.filter(bool))
def test_byte_by_byte(sent: list[tuple[int, int, int, int]]) -> None:
    small = [(kind, service, call, b"q" * (size % 50)) for kind, service, call, size in sent]
    data = written(small)
    assert fed(Decoder(STEP), data, list(range(len(data)))) == small


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_garbage_is_frames_or_garbled_and_never_more(data: bytes, cuts: list[int]) -> None:
    decoder = Decoder(limits.LINK_HELLO_BYTES_MAX)
    try:
        for kind, _, _, payload in fed(decoder, data, cuts):
            assert frames.HELLO <= kind <= frames.FAILURE
            assert len(payload) <= len(data)
    except Garbled:
        return
    assert decoder.kept_bytes <= len(data)


@given(SENT.filter(bool), st.data())
def test_a_flipped_byte_is_survived(
    sent: list[tuple[int, int, int, int]], data: st.DataObject
) -> None:
    raw = bytearray(written([(k, s, c, b"r" * (n % 50)) for k, s, c, n in sent]))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(Garbled):
        list(Decoder(STEP).feed(bytes(raw)))


def test_memory_is_bounded_before_a_frame_is_complete() -> None:
    decoder = Decoder(2048)
    with pytest.raises(Garbled):
        list(decoder.feed(frames.HEAD.pack(2049, frames.HELLO, 0, 0)))
    decoder = Decoder(STEP, message_bytes_max=3 * STEP)
    part = frames.frame(frames.PART, payload=bytes(STEP))
    assert list(decoder.feed(part * 3)) == []
    with pytest.raises(Garbled):
        list(decoder.feed(part))


@pytest.mark.parametrize("kind", [frames.HELLO, frames.NAME, frames.WELCOME])
def test_parts_belong_to_payloads(kind: int) -> None:
    part = frames.frame(frames.PART, payload=bytes(STEP))
    with pytest.raises(Garbled):
        list(Decoder(STEP).feed(part + frames.frame(kind)))
    with pytest.raises(Garbled):
        list(Decoder(STEP).feed(frames.frame(frames.PART, payload=b"short")))


def test_a_beat_may_come_between_parts() -> None:
    part = frames.frame(frames.PART, payload=b"x" * STEP)
    data = part + frames.frame(frames.BEAT) + frames.frame(frames.SEND, 3, 0, b"y")
    assert list(Decoder(STEP).feed(data)) == [
        (frames.BEAT, 0, 0, b""),
        (frames.SEND, 3, 0, b"x" * STEP + b"y"),
    ]


def test_failures_travel() -> None:
    for code in ErrorCode:
        error = frames.failed(frames.failure(MqdError(code, "why: ü")))
        assert (error.code, error.detail) == (code, "why: ü")
    assert frames.failed(b"\xff\xffnew").code is ErrorCode.INTERNAL
    with pytest.raises(Garbled):
        frames.failed(b"\0")


TEXT = st.text(max_size=60)
NUMBER = st.integers(0, 2**64 - 1)


@given(st.builds(Hello, TEXT, TEXT, NUMBER, TEXT, NUMBER))
def test_greetings_travel(hello: Hello) -> None:
    assert greeting.parse(hello.encode()) == hello


@given(st.binary(max_size=100))
def test_bad_greetings_are_garbled(data: bytes) -> None:
    with contextlib.suppress(Garbled):
        hello = greeting.parse(data)
        assert hello.version != greeting.VERSION or hello.encode() == data
    with contextlib.suppress(Garbled):
        greeting.parse_refusal(data)


def test_another_version_is_told_apart_by_its_number_alone() -> None:
    payload = b"\0\2" + bytes(16) + b"whatever follows"
    assert greeting.parse(payload).version == 2


OURS = Hello("b", "0b", 1, "c", 5)
MEMBERS = {name: Member(name, f"0{name}", 1) for name in "abc"}


@pytest.mark.parametrize(
    ("theirs", "dialled", "certified", "verdict"),
    [
        (Hello("a", "0a", 9, "c", 5), None, "a", None),
        (Hello("c", "0c", 9, "c", 5), "c", "c", None),
        (Hello("a", "0a", 9, "c", 5, version=2), None, "a", Refusal.VERSION),
        (Hello("c", "0c", 9, "c", 5), None, "c", Refusal.NAME),  # it should wait for our call
        (Hello("b", "0b", 9, "c", 5), None, "b", Refusal.NAME),  # our own name
        (Hello("a", "0a", 9, "c", 5), None, "c", Refusal.NAME),  # not what its certificate says
        (Hello("c", "0c", 9, "c", 5), None, None, Refusal.NAME),
        (Hello("d", "0d", 9, "c", 5), "c", "d", Refusal.NAME),  # not whom we called
        (Hello("a", "0a", 9, "x", 5), None, "a", Refusal.CLUSTER),
        (Hello("a", "0a", 9, "c", 4), None, "a", Refusal.OLD),
        (Hello("a", "0a", 9, "c", 6), None, "a", Refusal.NEW),
        (Hello("a", "ff", 9, "c", 5), None, "a", Refusal.NOT_MEMBER),
        (Hello("A", "0a", 9, "c", 5), None, "A", Refusal.NOT_MEMBER),
    ],
)
def test_who_is_accepted(
    theirs: Hello, dialled: str | None, certified: str | None, verdict: Refusal | None
) -> None:
    found = greeting.judge(OURS, theirs, MEMBERS, certified=certified, dialled=dialled)
    assert found is verdict
