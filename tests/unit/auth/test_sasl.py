"""SASL responses become credentials, or say what is wrong with them."""

import pytest

from mqd.amqp.fields import encode_table
from mqd.amqp.replies import ConnectionError_, ReplyCode
from mqd.auth import sasl


def amqplain(**fields):
    return encode_table(fields)[4:]


def test_plain():
    assert sasl.parse("PLAIN", b"\0guest\0pa\xffss") == sasl.Credentials("guest", b"pa\xffss")


def test_plain_ignores_the_authorization_identity():
    assert sasl.parse("PLAIN", b"someone\0guest\0pw") == sasl.Credentials("guest", b"pw")


@pytest.mark.parametrize("response", [b"", b"abc", b"\0guest", b"\0guest\0guest\0"])
def test_plain_malformed(response):
    with pytest.raises(ConnectionError_) as caught:
        sasl.parse("PLAIN", response)
    assert caught.value.code is ReplyCode.SYNTAX_ERROR
    assert "guest" not in caught.value.text  # it might be the password


def test_amqplain():
    response = amqplain(LOGIN=("longstr", b"guest"), PASSWORD=("longstr", b"pw"))

    assert sasl.parse("AMQPLAIN", response) == sasl.Credentials("guest", b"pw")


@pytest.mark.parametrize(
    ("response", "text"),
    [
        (b"", "is missing LOGIN or PASSWORD"),
        (amqplain(LOGIN=("longstr", b"guest")), "is missing LOGIN or PASSWORD"),
        (
            amqplain(LOGIN=("longstr", b"guest"), PASSWORD=("signedint", 4)),
            "uses unsupported type for LOGIN or PASSWORD",
        ),
        (b"\x05LO", "is no field table"),
        (b"\xff" * 300, "is no field table"),
    ],
)
def test_amqplain_malformed(response, text):
    with pytest.raises(ConnectionError_, match=text) as caught:
        sasl.parse("AMQPLAIN", response)
    assert caught.value.code is ReplyCode.SYNTAX_ERROR


@pytest.mark.parametrize("mechanism", ["EXTERNAL", "plain", ""])
def test_unknown_mechanism(mechanism):
    with pytest.raises(ConnectionError_) as caught:
        sasl.parse(mechanism, b"\0guest\0guest")
    assert caught.value.text == f"unknown authentication mechanism '{mechanism}'"
    assert caught.value.code is ReplyCode.COMMAND_INVALID


def test_password_stays_out_of_repr():
    assert "secret" not in repr(sasl.Credentials("guest", b"secret"))
