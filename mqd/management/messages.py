"""Messages over HTTP: publishing one, getting some.

Decides how a message is written as JSON and read from it (observed: 3.10.8). What is published and
fetched is, by the rules of AMQP, as the user who asks; a message is answered for once it is where
it has to be.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final

from mqd import limits
from mqd.amqp.properties import NAMES, Properties, decode, encode
from mqd.amqp.replies import AmqpError, ReplyCode
from mqd.broker import consume, elsewhere
from mqd.broker.channel import Channel
from mqd.broker.message import content_of
from mqd.broker.publish import Target
from mqd.management import channel as channels
from mqd.management import fields
from mqd.management.calls import Answer, Call, bad_request, encoded, reply
from mqd.management.exchanges import name_of
from mqd.management.fields import malformed

Json = Any

_FLAGS_AT: Final = 12  # in a content header
_INTEGERS: Final = {"delivery_mode": 255, "priority": 255, "timestamp": 2**64 - 1}
# (no_ack, what becomes of a message that is not acknowledged: None: it goes back with the channel)
_ACK_MODES: Final = {
    "ack_requeue_true": (False, None),
    "ack_requeue_false": (True, None),
    "reject_requeue_true": (False, True),
    "reject_requeue_false": (False, False),
}


async def publish(call: Call) -> Answer:
    """Whether it was routed anywhere."""
    body = call.required("routing_key", "properties", "payload", "payload_encoding")
    payload = _payload(body)
    key = fields.short_text(body, "routing_key")
    header = encode(_properties(body["properties"]), len(payload))
    flags = int.from_bytes(header[_FLAGS_AT : _FLAGS_AT + 2], "big")
    limit = call.broker.settings.message_bytes_max
    if limit and len(payload) > limit:
        raise bad_request(
            f"406 PRECONDITION_FAILED - message size {len(payload)} is larger than configured max "
            f"size {limit}"
        )
    with channels.opened(call) as channel:
        channels.not_alarmed(channel)
        try:
            target = Target(channel, name_of(call), key, True)
            channel.select_tx()  # which tells when it is safe, and of what no queue took
            target.publish(content_of(header, payload, 1, 0), flags)
            await channels.answered(channel, channel.commit)
        except AmqpError as error:
            if error.code is ReplyCode.NOT_FOUND:
                raise bad_request(f"404 NOT_FOUND - {error.text}") from error
            if error.text == "partial tx completion":  # a queue did not take it
                text = "rejected Unable to publish message. Check queue limits."
                raise bad_request(text) from error
            raise
        routed = not channel.outlet.frames  # a message that is returned is written there
    return reply({"routed": routed})


def _payload(body: Mapping[str, Json]) -> bytes:
    payload, encoding = body["payload"], body["payload_encoding"]
    if not isinstance(payload, str):
        raise bad_request("payload_not_string")
    if encoding == "string":
        return payload.encode("utf-8", "surrogateescape")
    if encoding == "base64":
        return fields.decoded(payload)
    raise malformed("unsupported_encoding", encoding)


def _properties(given: Json) -> Properties:
    """Those that AMQP knows; others are passed over."""
    if given == []:
        given = {}
    if not isinstance(given, dict):
        raise bad_request("properties_not_object")
    found = Properties()
    for name in NAMES:
        if name not in given:
            continue
        value = given[name]
        if name == "headers":
            value = fields.arguments(given, "headers")
        elif name in _INTEGERS:
            if isinstance(value, bool) or not isinstance(value, int):
                raise malformed("not_int", name)
            if not 0 <= value <= _INTEGERS[name]:
                raise malformed("not_in_range", name)
        elif not isinstance(value, str):
            raise malformed("not_binary", name)
        else:
            fields.checked_name(name, value)
        setattr(found, name, value)
    return found


async def get(call: Call) -> Answer:
    """At most `count` messages, as many as there are at that moment and fit into an answer."""
    body = call.required("ackmode", "count", "encoding")
    count = fields.integer(body["count"])
    if body["encoding"] not in ("auto", "base64"):
        raise bad_request("Unsupported encoding. Please use auto or base64.")
    mode = body["ackmode"]
    if not isinstance(mode, str) or mode not in _ACK_MODES:
        listed = ", ".join(_ACK_MODES)
        raise bad_request(f"Unsupported ackmode. Please use one of {listed}.")
    no_ack, requeue = _ACK_MODES[mode]
    truncate = fields.integer(body["truncate"]) if "truncate" in body else None
    if truncate is not None and truncate < 0:
        raise malformed("not_in_range", truncate)
    name = call.names["queue"]
    rows: list[bytes] = []
    tags: list[int] = []
    size = 0
    with channels.opened(call) as channel:
        while count and size < limits.HTTP_GET_BYTES_MAX:
            taken = await _take(channel, name, no_ack=no_ack)
            if taken is None:
                break
            tags.append(taken[0])
            rows.append(encoded(_row(taken, body["encoding"], truncate)))
            size += len(rows[-1])
            count -= 1
        for tag in tags if requeue is not None else ():  # now: else they would come again
            channel.nack(tag, multiple=False, requeue=requeue is True)
    return Answer(200, b"[" + b",".join(rows) + b"]")


async def _take(channel: Channel, name: str, *, no_ack: bool) -> consume.Got | None:
    found: consume.Got | None = await channels.answered(
        channel, lambda done: elsewhere.get(channel, name, no_ack=no_ack, done=done)
    )
    return found


def _row(taken: consume.Got, encoding: str, truncate: int | None) -> dict[str, Json]:
    _, redelivered, message, content, left = taken
    shown = message if content is message.content else type(message)(message.names, content)
    payload = shown.body
    return {
        "payload_bytes": len(payload),
        "redelivered": redelivered,
        "exchange": message.exchange,
        "routing_key": message.routing_key,
        "message_count": left,
        "properties": _shown(decode(shown.header)),
        **_encoded(payload if truncate is None else payload[:truncate], encoding),
    }


def _encoded(payload: bytes, encoding: str) -> dict[str, str]:
    if encoding == "auto":
        try:
            return {"payload": payload.decode(), "payload_encoding": "string"}
        except UnicodeDecodeError:
            pass
    return {"payload": base64.b64encode(payload).decode(), "payload_encoding": "base64"}


def _shown(properties: Properties) -> Json:
    """Those that are set; a list when none is (observed: 3.10.8)."""
    found: dict[str, Json] = {}
    for name in reversed(NAMES):
        value = getattr(properties, name)
        if value is not None:
            found[name] = fields.shown(value) if name == "headers" else value
    return found or []
