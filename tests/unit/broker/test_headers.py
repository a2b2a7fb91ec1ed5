"""What the broker reads in a content header."""

import pytest

from mqd.amqp.fields import FieldError
from mqd.amqp.properties import Properties, encode
from mqd.amqp.replies import ChannelError, ReplyCode
from mqd.broker.headers import expiration_ms, headers_of, routing_keys


def with_headers(**headers):
    return encode(Properties(content_type="a/b", headers=headers))


def array(*texts):
    return ("array", [("longstr", text.encode()) for text in texts])


def test_headers_of():
    assert headers_of(with_headers(a=("signedint", 1))) == {"a": ("signedint", 1)}
    assert headers_of(encode(Properties())) == {}
    with pytest.raises(FieldError):
        headers_of(with_headers(a=("signedint", 1))[:-2])


def test_routing_keys_of_a_plain_message():
    assert routing_keys("k", encode(Properties())) == ["k"]
    assert routing_keys("k", with_headers(other=array("x"))) == ["k"]


def test_routing_keys_of_cc_and_bcc_in_that_order():
    header = with_headers(BCC=array("b1"), CC=array("c1", "c2"))

    assert routing_keys("k", header) == ["k", "c1", "c2", "b1"]


def test_entries_that_are_no_strings_are_passed_over():
    header = with_headers(CC=("array", [("signedint", 3), ("longstr", b"c"), ("binary", b"x")]))

    assert routing_keys("k", header) == ["k", "c"]


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        # recorded: 3.10.8
        ({"BCC": ("longstr", b"z")}, '{unacceptable_type_in_header,"BCC",longstr}'),
        (
            {"CC": ("signedint", 4), "BCC": ("longstr", b"z")},
            '{unacceptable_type_in_header,"CC",signedint}',
        ),
        (
            {"BCC": ("signedint", 4), "CC": ("longstr", b"z")},
            '{unacceptable_type_in_header,"CC",longstr}',
        ),
    ],
)
def test_cc_of_another_type(headers, said):
    with pytest.raises(ChannelError) as caught:
        routing_keys("k", with_headers(**headers))
    assert caught.value.code is ReplyCode.PRECONDITION_FAILED
    assert caught.value.text == f"invalid message: {said}"


@pytest.mark.parametrize(
    ("value", "milliseconds"),
    [("0", 0), ("60000", 60000), ("+5", 5), ("007", 7), ("315360000000", 315360000000)],
)
def test_expiration(value, milliseconds):
    assert expiration_ms(value) == milliseconds


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("abc", "no_integer"),
        ("", "no_integer"),
        (" 5", "no_integer"),
        ("1.5", '{leftover_string,".5"}'),
        ("5 ", '{leftover_string," "}'),
        ("-1", "{value_negative,-1}"),
        ("315360000001", "{value_too_large,315360000001}"),
    ],
)
def test_bad_expiration(value, said):
    with pytest.raises(ChannelError) as caught:
        expiration_ms(value)
    assert caught.value.code is ReplyCode.PRECONDITION_FAILED
    assert caught.value.text == f"invalid expiration '{value}': {said}"
