"""What a publisher says in the content header that the broker itself acts on.

Decides the routing keys a message has and the time it lives, and refuses headers of the wrong
kind. Never changes a header: `mqd.amqp.properties` does, on behalf of whoever publishes.
"""

from __future__ import annotations

import re

from mqd.amqp import properties
from mqd.amqp.fields import Field, Table
from mqd.amqp.replies import ChannelError, ReplyCode
from mqd.amqp.terms import format_string

EXPIRY_MS_MAX = 315_360_000_000  # ten years; observed: 3.10.8
_INTEGER = re.compile(r"([+-]?[0-9]+)(.*)", re.DOTALL)


def headers_of(header: bytes) -> Table:
    """The headers table of a content-header payload, empty when there is none.

    Raises FieldError when it cannot be read.
    """
    return properties.headers(header) or {}


def routing_keys(routing_key: str, header: bytes) -> list[str]:
    """The publish's routing key, then those of the headers CC and BCC.

    Entries that are no strings are passed over. Raises ChannelError when CC or BCC is no array
    (observed: 3.10.8), FieldError when the headers cannot be read.
    """
    keys = [routing_key]
    if not properties.has_cc_or_bcc(header):
        return keys
    table = headers_of(header)
    for name in ("CC", "BCC"):
        field = table.get(name)
        if field is None:
            continue
        if field[0] != "array":
            raise ChannelError(
                ReplyCode.PRECONDITION_FAILED,
                f'invalid message: {{unacceptable_type_in_header,"{name}",{field[0]}}}',
            )
        keys += listed_keys(field)
    return keys


def listed_keys(field: Field | None) -> list[str]:
    """Routing keys of a CC or BCC header; none where there is no such array."""
    if field is None or field[0] != "array":
        return []
    return [
        value.decode("utf-8", "surrogateescape") for kind, value in field[1] if kind == "longstr"
    ]


def hidden_keys(header: bytes) -> list[str]:
    """The keys of the header BCC, which `routing_keys` has accepted."""
    return listed_keys(headers_of(header).get("BCC"))


def expiration_ms(text: str) -> int:
    """The expiration property as a number of milliseconds.

    Raises ChannelError when it is none (texts observed: 3.10.8).
    """
    match = _INTEGER.fullmatch(text)
    if match is None:
        error = "no_integer"
    elif match[2]:
        error = f"{{leftover_string,{format_string(match[2])}}}"
    elif int(match[1]) < 0:
        error = f"{{value_negative,{int(match[1])}}}"
    elif int(match[1]) > EXPIRY_MS_MAX:
        error = f"{{value_too_large,{int(match[1])}}}"
    else:
        return int(match[1])
    raise ChannelError(ReplyCode.PRECONDITION_FAILED, f"invalid expiration '{text}': {error}")
