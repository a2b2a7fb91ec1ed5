"""mqd.storage.spool: pages come back, room is reused, a full disc is survived."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqd.errors import MqdError
from mqd.limits import SPOOL_BLOCK_BYTES
from mqd.storage.spool import FileSpool


@pytest.fixture
def spool(tmp_path: Path) -> FileSpool:
    return FileSpool(tmp_path)


def test_pages_come_back_once(spool: FileSpool) -> None:
    handles = [spool.write(bytes([number]) * number * 1000) for number in range(10)]
    assert [spool.take(handle) for handle in handles] == [
        bytes([number]) * number * 1000 for number in range(10)
    ]
    with pytest.raises(KeyError):
        spool.take(handles[0])


def test_a_part_of_a_page_is_read_and_the_page_stays(spool: FileSpool) -> None:
    spool.write(bytes(5000))
    handle = spool.write(bytes(range(200)) * 50)
    assert spool.read(handle, 4000, 300) == (bytes(range(200)) * 2)[:300]
    assert spool.take(handle) == bytes(range(200)) * 50


def test_the_file_has_no_name(tmp_path: Path) -> None:
    spool = FileSpool(tmp_path / "new")
    spool.write(b"page")
    assert list((tmp_path / "new").iterdir()) == []


def test_an_empty_spool_is_an_empty_file(spool: FileSpool) -> None:
    handles = [spool.write(bytes(10_000)) for _ in range(10)]
    assert spool.disc_bytes == 10 * 3 * SPOOL_BLOCK_BYTES
    for handle in handles:
        spool.drop(handle)
    assert spool.disc_bytes == 0
    assert os.fstat(spool._fd).st_size == 0


def test_room_is_reused(spool: FileSpool) -> None:
    """A queue whose backlog moves along needs no more room than the backlog."""
    handles = [spool.write(bytes(8192)) for _ in range(10)]
    for _ in range(1000):
        assert spool.take(handles.pop(0)) == bytes(8192)
        handles.append(spool.write(bytes(8192)))
    assert spool.disc_bytes <= 11 * 8192


def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MqdError, match=r"cannot create a spool file in .*/file"):
        FileSpool(tmp_path / "file")


def test_a_full_disc_keeps_pages_in_memory(
    spool: FileSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    troubles: list[str | None] = []
    spool.on_trouble = troubles.append
    kept = spool.write(b"kept")
    real = os.pwrite

    def full(fd: int, data: bytes, offset: int) -> int:
        if len(data) > 3000:
            return real(fd, data[:1000], offset)  # a short write, as a nearly full disc makes
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    held = [spool.write(bytes([number]) * 4000) for number in range(3)]
    assert troubles == ["No space left on device"]
    assert not spool.retry()
    assert spool.read(held[1], 3990, 5) == b"\1" * 5
    assert spool.take(held[0]) == b"\0" * 4000
    monkeypatch.setattr(os, "pwrite", real)
    assert spool.retry()
    assert troubles == ["No space left on device", None]
    assert [spool.take(handle) for handle in held[1:]] == [b"\1" * 4000, b"\2" * 4000]
    assert spool.take(kept) == b"kept"
    assert spool.disc_bytes == 0


@given(
    st.lists(
        st.tuples(st.sampled_from(["write", "take", "drop"]), st.integers(0, 30_000)),
        max_size=60,
    )
)
def test_against_a_dictionary(steps: list[tuple[str, int]]) -> None:
    spool = FileSpool("/tmp")
    model: dict[int, bytes] = {}
    for number, (step, size) in enumerate(steps):
        if step == "write":
            page = bytes([number % 256]) * size
            model[spool.write(page)] = page
        elif model:
            handle = list(model)[size % len(model)]
            page = model.pop(handle)
            if step == "take":
                assert spool.take(handle) == page
            else:
                spool.drop(handle)
        gaps = sum(length for _, length in spool._gaps)
        used = sum(max(1, -(-len(page) // SPOOL_BLOCK_BYTES)) for page in model.values())
        assert (gaps + used) * SPOOL_BLOCK_BYTES == spool.disc_bytes
    for handle, page in model.items():
        assert spool.take(handle) == page
    assert spool.disc_bytes == 0
    spool.close()
