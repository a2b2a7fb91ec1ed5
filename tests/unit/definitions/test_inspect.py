"""mqd.definitions.inspect: as Elixir shows it. Observed: Elixir 1.13 of 3.10.8's tools."""

from __future__ import annotations

import pytest

from mqd.definitions.inspect import inspect_bytes


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"not json", '"not json"'),
        (b'x"y\\z', '"x\\"y\\\\z"'),
        (b"x#{y", '"x\\#{y"'),
        (b"a\tb\nc", '"a\\tb\\nc"'),
        ("é".encode(), '"é"'),
        ("é".encode() * 3000, f'"{"é" * 3000}"'),
        (b"x" * 4097, f'"{"x" * 4096}" <> ...'),
        (b"x\x01", "<<120, 1>>"),
        (b"\x80" * 60, f"<<{', '.join(['128'] * 50)}, ...>>"),
    ],
)
def test_shown(data: bytes, shown: str) -> None:
    assert inspect_bytes(data) == shown
