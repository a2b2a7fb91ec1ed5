"""Field values as Erlang spells them. Recorded: Erlang/OTP 25, io_lib:format("~p")."""

import pytest

from mqd.amqp.terms import format_binary, format_field, format_float, format_string


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b"", "<<>>"),
        (b"abc", '<<"abc">>'),
        (b'a"b\\c\n', '<<"a\\"b\\\\c\\n">>'),
        (b"\x01\x02", "<<1,2>>"),
        (b"\x80", "<<128>>"),
        ("é".encode(), '<<"é">>'),
        (b"\x1b\x08\t\x0b\x0c\r", '<<"\\e\\b\\t\\v\\f\\r">>'),
    ],
)
def test_binary(value, shown):
    assert format_binary(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [("", '""'), (".5", '".5"'), ('"', '"\\""'), ("\x01", "[1]"), ("é", '"é"')]
)
def test_string(value, shown):
    assert format_string(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1.5, "1.5"),
        (5.0, "5.0"),
        (1e20, "1.0e20"),
        (1e-7, "1.0e-7"),
        (1.25e-7, "1.25e-7"),
        (-0.5, "-0.5"),
        (123456789.125, "123456789.125"),
    ],
)
def test_float(value, shown):
    assert format_float(value) == shown


@pytest.mark.parametrize(
    ("field", "shown"),
    [
        (("signedint", -5), "-5"),
        (("bool", False), "false"),
        (("void", None), "undefined"),
        (("decimal", (1, 5)), "{1,5}"),
        (("timestamp", 4), "4"),
        (("float", 0.5), "0.5"),
        (("array", []), "[]"),
        (("array", [("signedint", 1), ("longstr", b"y")]), '[{signedint,1},{longstr,<<"y">>}]'),
        (("table", {"a": ("array", [("bool", True)])}), '[{<<"a">>,array,[{bool,true}]}]'),
    ],
)
def test_field(field, shown):
    assert format_field(field) == shown
