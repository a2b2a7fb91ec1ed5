"""How each kind of value is read (sizes and durations observed: cuttlefish of 3.10.8)."""

from __future__ import annotations

import pytest

from mqd.config import values
from mqd.config.values import Address, Kind, Value


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        (values.INTEGER, "-1", -1),
        (values.NATURAL, "7", 7),
        (values.NUMBER, "0.4", 0.4),
        (values.NUMBER, "1", 1.0),
        (values.BOOLEAN, "true", True),
        (values.BOOLEAN, "off", False),
        (values.STRING, "a b", "a b"),
        (values.PORT, "65535", 65535),
        (values.ADDRESS, "5672", Address("", 5672)),
        (values.ADDRESS, "127.0.0.1:5672", Address("127.0.0.1", 5672)),
        (values.ADDRESS, "::1:5672", Address("::1", 5672)),
        (values.ADDRESS, "[::1]:5672", Address("::1", 5672)),
        (values.ADDRESS, "localhost:1", Address("localhost", 1)),
        (values.SIZE, "1KB", 1024),
        (values.SIZE, "2mb", 2 * 1024**2),
        (values.SIZE, "1.5GB", 1_610_612_736),
        (values.QUANTITY, "50MB", 50_000_000),
        (values.QUANTITY, "1GiB", 1024**3),
        (values.QUANTITY, "2k", 2048),
        (values.DURATION, "3000", 3000),
        (values.DURATION, "1h30m", 5_400_000),
        (values.DURATION, "10s", 10_000),
        (values.NONE, "none", None),
        (values.or_infinity(values.NATURAL), "infinity", 0),
        (values.one_of("a", "b"), "b", "b"),
        (values.either(values.INTEGER, values.one_of("off")), "off", "off"),
    ],
)
def test_good(kind: Kind, text: str, expected: Value) -> None:
    assert kind.read(text) == expected


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (values.INTEGER, "1_000"),
        (values.INTEGER, "٣"),
        (values.NATURAL, "-1"),
        (values.NUMBER, "nan"),
        (values.BOOLEAN, "yes"),
        (values.PORT, "65536"),
        (values.ADDRESS, "a b:1"),
        (values.ADDRESS, "127.0.0.1:"),
        (values.SIZE, "1XB"),
        (values.DURATION, "soon"),
        (values.NONE, "all"),
        (values.one_of("a", "b"), "c"),
    ],
)
def test_bad(kind: Kind, text: str) -> None:
    with pytest.raises((ValueError, KeyError)):
        kind.read(text)


def test_an_address_is_shown_as_it_is_written() -> None:
    assert (str(Address("", 5672)), str(Address("::1", 1))) == ("5672", "::1:1")
