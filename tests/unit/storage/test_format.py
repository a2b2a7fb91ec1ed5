"""mqd.storage.format: what is packed is read back, what is damaged is noticed."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqd.broker.message import Message
from mqd.storage.format import (
    Damaged,
    Drop,
    pack_messages,
    pack_settled,
    unpack_messages,
    unpack_settled,
)
from tests.stores import message

# the bytes of version 1, for ever: two messages of queue 5, one of them for queue 6 too
FIXTURE = bytes.fromhex(
    "0100000003000000"
    "050000000000000005000000000000000600000000000000"
    "010001"
    "01000000" "03000000" "000171"
    "02000000" "000000000100000001000000" "0300000002000000" "6162637879"
)  # fmt: skip


def test_version_1_is_read() -> None:
    records = unpack_messages(FIXTURE, 9)
    assert list(records.queue_ids) == [5, 5, 6]
    assert [each.content for each in records.messages] == [b"abc", b"xy", b"xy"]
    assert [each.persistent for each in records.messages] == [True, False, True]
    assert {each.names for each in records.messages} == {b"\x00\x01q"}
    assert [(each.segment, each.index) for each in records.messages] == [(9, 0), (9, 1), (9, 2)]


def test_version_1_is_written() -> None:
    first, second = Message(b"\0\1q", b"abc", True), Message(b"\0\1q", b"xy")
    copy = second.copy()
    copy.persistent = True
    assert pack_messages([5, 5, 6], [first, second, copy]) == FIXTURE


def test_equal_content_objects_are_stored_once() -> None:
    one = message(bytes(10_000))
    copies = [one, *(one.copy() for _ in range(99))]
    blob = pack_messages(list(range(100)), copies)
    assert len(blob) < 13_000
    records = unpack_messages(blob, 1)
    assert [each.content for each in records.messages] == [one.content] * 100
    assert list(records.queue_ids) == list(range(100))


def test_a_moved_record_keeps_its_key() -> None:
    keys = [3 << 24 | 7, 4 << 24, 9 << 24 | 1]
    records = unpack_messages(pack_messages([1, 1, 1], [message()] * 3, keys), 3)
    assert records.moved
    assert [(each.segment, each.index) for each in records.messages] == [(3, 7), (4, 0), (9, 1)]


def test_an_unknown_version_is_refused() -> None:
    blob = bytearray(pack_messages([1], [message()]))
    blob[0] = 9
    with pytest.raises(Damaged, match="unknown version 9"):
        unpack_messages(bytes(blob), 1)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2**63),
            st.binary(max_size=20),
            st.integers(0, 4),
            st.booleans(),
            st.sampled_from([0, 0, 1, 10**12]),
            st.sampled_from([0, 0, 3]),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_messages_round_trip(rows: list[tuple[int, bytes, int, bool, int, int]]) -> None:
    shared = [b"", b"x", b"some content", bytes(300), b"y"]
    messages = []
    for _, names, at, durable, expires_ms, count in rows:
        messages.append(Message(names, shared[at], durable))
        messages[-1].expires_ms = expires_ms
        messages[-1].delivery_count = count
    blob = pack_messages([row[0] for row in rows], messages, None, 5)
    records = unpack_messages(blob, 2)
    assert list(records.queue_ids) == [row[0] for row in rows]
    assert [(m.names, m.content, m.persistent, m.delivery_count) for m in records.messages] == [
        (m.names, m.content, m.persistent, m.delivery_count) for m in messages
    ]
    assert [m.expires_ms for m in records.messages] == [
        m.expires_ms + 5 if m.expires_ms else 0 for m in messages
    ]
    assert blob[0] == (2 if any(row[4] or row[5] for row in rows) else 1)


def test_a_plain_message_pays_nothing_for_what_it_has_not() -> None:
    one, other = message(), message()
    plain = pack_messages([1, 1], [one, other])
    other.expires_ms = 7
    other.delivery_count = 1
    assert len(pack_messages([1, 1], [one, other])) == len(plain) + 2 * (8 + 4)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_damaged_or_read(blob: bytes) -> None:
    for unpack in (unpack_settled, lambda data: unpack_messages(data, 1)):
        with contextlib.suppress(Damaged):
            unpack(blob)


def test_a_made_up_count_takes_no_memory() -> None:
    blob = FIXTURE[:4] + b"\xff\xff\xff\xff" + FIXTURE[8:]
    with pytest.raises(Damaged, match="more messages than bytes"):
        unpack_messages(blob, 1)


@given(st.integers(0, len(FIXTURE) - 1))
def test_a_cut_blob_is_damaged(length: int) -> None:
    with pytest.raises(Damaged):
        unpack_messages(FIXTURE[:length], 1)


@given(
    st.lists(st.integers(0, 2**63), max_size=20),
    st.lists(
        st.builds(
            Drop,
            st.integers(0, 2**63),
            st.integers(0, 2**39),
            st.frozensets(st.integers(0, 2**63), max_size=5),
        ),
        max_size=4,
    ),
    st.dictionaries(st.integers(0, 2**63), st.integers(0, 2**32 - 1), max_size=5),
)
def test_settled_round_trip(keys: list[int], drops: list[Drop], counts: dict[int, int]) -> None:
    told = unpack_settled(pack_settled(keys, drops, counts))
    assert (list(told.keys), told.drops, told.counts) == (keys, drops, counts)


def test_a_flipped_bit_in_settled_is_noticed() -> None:
    blob = pack_settled([1, 2], [Drop(3, 4, frozenset({5}))], {6: 7})
    for at in range(len(blob)):
        damaged = bytearray(blob)
        damaged[at] ^= 0x10
        with pytest.raises(Damaged):
            unpack_settled(bytes(damaged))


def test_nothing_settled_takes_no_bytes() -> None:
    assert pack_settled([], []) == b""
