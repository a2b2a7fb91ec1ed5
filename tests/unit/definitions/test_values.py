"""mqd.definitions.values: fields, and arguments there and back."""

from __future__ import annotations

from typing import Any

import pytest

from mqd.amqp.fields import Table
from mqd.definitions import values
from mqd.definitions.values import Wrong, from_table, to_table


def test_arguments_get_the_types_that_3_10_8_gives_them() -> None:
    plain: dict[str, Any] = {
        "i": 5,
        "big": 2**40,
        "f": 1.5,
        "b": True,
        "s": "é",
        "l": [1, "x"],
        "t": {"k": False},
    }
    table: Table = {
        "i": ("long", 5),
        "big": ("long", 2**40),
        "f": ("double", 1.5),
        "b": ("bool", True),
        "s": ("longstr", "é".encode()),
        "l": ("array", [("long", 1), ("longstr", b"x")]),
        "t": ("table", {"k": ("bool", False)}),
    }
    assert to_table(plain) == table
    assert from_table(table) == plain


def test_what_json_has_not_becomes_what_3_10_8_makes_of_it() -> None:
    table: Table = {
        "void": ("void", None),
        "decimal": ("decimal", (1, 15)),
        "binary": ("longstr", b"\xff\xfe"),
        "timestamp": ("timestamp", 1577836800),
    }
    assert from_table(table) == {
        "void": "undefined",
        "decimal": 1.15,
        "binary": "Not UTF-8, base64 is: //4=",
        "timestamp": 1577836800,
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"x": None}, "argument 'x' is null, which no argument can be"),
        ({"x": [2**63]}, "argument 'x' is a number of more than 64 bits"),
        ({"x" * 256: 1}, "is longer than 255 bytes"),
    ],
)
def test_what_no_argument_can_be(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(Wrong, match=words):
        to_table(arguments)


@pytest.mark.parametrize(
    ("read", "item", "words"),
    [
        (values.text, {}, "key is missing"),
        (values.text, {"key": 1}, "key must be a text, but is a number"),
        (values.text, {"key": None}, "key is missing"),
        (values.name, {"key": "é" * 128}, "key is longer than 255 bytes"),
        (values.flag, {}, "key is missing"),
        (values.flag, {"key": "true"}, "key must be true or false, but is a text"),
        (values.flag, {"key": 1}, "key must be true or false, but is a number"),
        (values.mapping, {"key": "x"}, "key must be an object, but is a text"),
        (values.mapping, {"key": [1]}, "key must be an object, but is a list"),
        (values.mapping, {"key": True}, "key must be an object, but is true"),
    ],
)
def test_wrong_fields(read: Any, item: dict[str, Any], words: str) -> None:
    with pytest.raises(Wrong) as caught:
        read(item, "key")
    assert str(caught.value) == words


def test_right_fields() -> None:
    assert values.text({"key": "x"}, "key") == "x"
    assert values.text({}, "key", "default") == "default"
    assert values.flag({"key": False}, "key", True) is False
    assert values.flag({}, "key", True) is True
    assert values.mapping({"key": []}, "key") == {}
    assert values.mapping({}, "key") == {}
    assert values.mapping({"key": {"a": 1}}, "key") == {"a": 1}
