"""Values of a JSON body as the broker wants them.

Decides what counts as true, as a number, as arguments, and the words for what does not (RabbitMQ:
rabbit_mgmt_util, rabbit_mgmt_parse; observed: 3.10.8). Never knows which fields a request has.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from mqd.amqp.fields import Table
from mqd.definitions.values import NAME_BYTES_MAX, Wrong, from_table, to_table
from mqd.management.calls import Refused, bad_request

Json = Any


def malformed(word: str, value: Json) -> Refused:
    """["not_boolean","yes"]: 3.10.8 shows its own term as a list."""
    return Refused(400, "bad_request", [word, value])


def flag(body: Mapping[str, Json], key: str, default: bool) -> bool:
    """true, false, or these as texts."""
    value = body.get(key, default)
    found = {"true": True, "false": False}.get(value) if isinstance(value, str) else value
    if not isinstance(found, bool):
        raise malformed("not_boolean", value)
    return found


def integer(value: Json) -> int:
    """A number, or one as a text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and len(value) < 20 and value.lstrip("-").isdigit():
        return int(value)
    raise malformed("not_integer", value)


def text(body: Mapping[str, Json], key: str, default: str = "") -> str:
    """A text and nothing else."""
    value = body.get(key, default)
    if not isinstance(value, str):
        raise bad_request(f"{key}_not_string")
    return value


def short_text(body: Mapping[str, Json], key: str, default: str = "") -> str:
    """One that AMQP can carry as a short string."""
    value = text(body, key, default)
    return checked_name(key, value)


def checked_name(what: str, value: str) -> str:
    """Raises Refused for one that is too long."""
    size = len(value.encode("utf-8", "surrogateescape"))
    if size > NAME_BYTES_MAX:
        raise bad_request(f"{what} should be less than 255 bytes, actually was {size}\n")
    return value


def arguments(body: Mapping[str, Json], key: str = "arguments") -> Table:
    """An object of arguments; a list without anything is one."""
    value = body.get(key, {})
    if value == []:
        value = {}
    if not isinstance(value, dict):
        raise bad_request(f"{key}_not_object")
    try:
        return to_table(value)
    except Wrong as wrong:
        raise bad_request(str(wrong)) from wrong


def shown(table: Table) -> dict[str, Json]:
    """Arguments as JSON."""
    return from_table(table)


def decoded(value: Json) -> bytes:
    """Base64."""
    if not isinstance(value, str):
        raise malformed("not_base64", value)
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise malformed("not_base64", value) from None
