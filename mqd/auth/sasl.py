"""SASL responses: from the bytes of connection.start-ok to a name and a password.

Decides which mechanisms there are and what their responses mean. Never checks the password.
Both mechanisms are done with one response. Source: RFC 4616 (PLAIN), AMQP 0-8 (AMQPLAIN).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from mqd.amqp.fields import FieldError, decode_table
from mqd.amqp.replies import ConnectionError_, ReplyCode

MECHANISMS: Final = ("AMQPLAIN", "PLAIN")  # in the order 3.10.8 announces them


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a peer says it is. The password keeps its bytes and stays out of repr."""

    username: str
    password: bytes = field(repr=False)


def parse(mechanism: str, response: bytes) -> Credentials:
    """The credentials in a response of that mechanism.

    Raises ConnectionError_: SYNTAX_ERROR when the response has not the mechanism's form,
    COMMAND_INVALID when the mechanism is none of MECHANISMS. A peer in its handshake is told
    neither (observed: 3.10.8 closes the socket after three seconds); the texts are for the log.
    """
    parser = _PARSERS.get(mechanism)
    if parser is None:
        raise ConnectionError_(
            ReplyCode.COMMAND_INVALID, f"unknown authentication mechanism '{mechanism}'"
        )
    return parser(response)


def _plain(response: bytes) -> Credentials:
    """[authzid] NUL authcid NUL password; the authzid, which 3.10.8 refuses, is ignored."""
    parts = response.split(b"\x00")
    if len(parts) != 3:
        # the response itself is not repeated: it may hold the password
        raise ConnectionError_(ReplyCode.SYNTAX_ERROR, "PLAIN response is malformed")
    return Credentials(_text(parts[1]), parts[2])


def _amqplain(response: bytes) -> Credentials:
    """A field table without its length: LOGIN and PASSWORD, long strings."""
    try:
        table, _ = decode_table(len(response).to_bytes(4, "big") + response)
    except FieldError as error:
        raise ConnectionError_(
            ReplyCode.SYNTAX_ERROR, f"AMQPLAIN response is no field table: {error}"
        ) from error
    login = table.get("LOGIN")
    password = table.get("PASSWORD")
    if login is None or password is None:
        raise ConnectionError_(
            ReplyCode.SYNTAX_ERROR, "AMQPLAIN auth info is missing LOGIN or PASSWORD field"
        )
    if login[0] != "longstr" or password[0] != "longstr":
        raise ConnectionError_(
            ReplyCode.SYNTAX_ERROR,
            "AMQPLAIN auth info uses unsupported type for LOGIN or PASSWORD field",
        )
    return Credentials(_text(login[1]), password[1])


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


_PARSERS: Final = {"PLAIN": _plain, "AMQPLAIN": _amqplain}
