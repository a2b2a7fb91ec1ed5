"""What a step brought, as lines that two brokers can be compared by.

Decides which orders are promised. On a channel: replies, returns and closes among themselves; the
deliveries to one consumer; consume-ok before deliveries, cancel-ok after them. Not: confirms among
themselves (a set), deliveries from one queue against those from another, one channel against
another. Names that a server makes and times are masked as in `tests/protocol`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.protocol import notation, wire
from tests.protocol.peer import Event

_WORD = re.compile(r"[A-Za-z0-9_.#*$/@+-]+")


@dataclass(slots=True)
class Consumer:
    """Who deliveries go to: the queue they come from, and whether they have to be settled."""

    queue: str
    no_ack: bool


@dataclass(slots=True)
class Delivery:
    """A delivery that the client has to settle. batch: the step that brought it."""

    tag: int
    batch: int
    mixed: bool  # others of the batch came from other queues: the order of tags is chance


@dataclass(slots=True)
class Channel:
    """What the client side of a channel has to remember."""

    consumers: dict[str, Consumer] = field(default_factory=dict)
    outstanding: list[Delivery] = field(default_factory=list)
    settled_in_tx: list[Delivery] = field(default_factory=list)
    last_queue: str = ""


def lines(events: list[Event], consumers: dict[str, Consumer], published: int) -> list[str]:
    """One channel's events of one step, in an order that does not depend on chance."""
    deliveries = [event for event in events if event.name == "basic.deliver"]
    confirms = [event for event in events if "seqnos" in event.values]
    others = [event for event in events if event not in deliveries and event not in confirms]
    shown = [*map(_show, others), *_confirmed(confirms), *_disorders(events, published)]
    mixed = is_mixed(deliveries, consumers)
    for tag in sorted({event.values["consumer_tag"] for event in deliveries}):
        mine = [event for event in deliveries if event.values["consumer_tag"] == tag]
        shown += [_message(f"> {_string(tag)}", event, mixed) for event in mine]
    if mixed:
        tags = sorted(event.values["delivery_tag"] for event in deliveries)
        shown.append("tags " + ",".join(map(str, tags)))
    return shown


def is_mixed(deliveries: Iterable[Event], consumers: dict[str, Consumer]) -> bool:
    """Whether they come from several queues, or readers of streams."""
    return len({_queue_of(event, consumers) for event in deliveries}) > 1


def _queue_of(event: Event, consumers: dict[str, Consumer]) -> str:
    """Where it comes from; each reader of a stream is sent what it reads by itself."""
    tag: str = event.values["consumer_tag"]
    if "x-stream-offset" in event.values["props"].get("headers", ()):
        return tag
    consumer = consumers.get(tag)
    return consumer.queue if consumer else ""


def _confirmed(confirms: list[Event]) -> list[str]:
    shown = []
    for name in ("confirm.ack", "confirm.nack"):
        seqnos = sorted(
            n for event in confirms if event.name == name for n in event.values["seqnos"]
        )
        if seqnos:
            shown.append(f"{name[8:]} {','.join(map(str, seqnos))}")
    return shown


def _disorders(events: list[Event], published: int) -> list[str]:
    """What came in an order that is never right."""
    found = []
    names = [event.name for event in events]
    if published == 1 and "basic.return" in names and "confirm.ack" in names:
        if names.index("confirm.ack") < names.index("basic.return"):
            found.append("confirmed before it was returned")
    for index, event in enumerate(events):
        if event.name not in ("basic.consume-ok", "basic.cancel-ok"):
            continue
        is_start = event.name == "basic.consume-ok"
        wrong = events[:index] if is_start else events[index + 1 :]
        tag = event.values["consumer_tag"]
        if any(e.name == "basic.deliver" and e.values["consumer_tag"] == tag for e in wrong):
            found.append(f"delivered {'before' if is_start else 'after'} {event.name}")
    return found


def _show(event: Event) -> str:
    if event.name == "basic.get-ok":
        left = event.values["message_count"]
        return _message("got", event, mixed=False) + f" left={left}"
    if event.name == "basic.return":
        values = event.values
        return _message(f"return {values['reply_code']} {_value(values['reply_text'])}", event)
    return " ".join((event.name, *map(_value, event.values.values())))


def _message(what: str, event: Event, mixed: bool = False) -> str:
    values = event.values
    parts = [what]
    if "delivery_tag" in values:
        tag = "?" if mixed else values["delivery_tag"]
        parts.append(f"#{tag}{'*' if values['redelivered'] else ''}")
    parts += [_string(values["exchange"]), _string(values["routing_key"])]
    if values["props"]:
        parts.append("{" + notation.show_pairs(values["props"]) + "}")
    parts.append(_string(wire.text(values["body"])))
    return " ".join(parts)


def _value(value: Any) -> str:
    return _string(value) if isinstance(value, str) else notation.show(value)


def _string(value: str) -> str:
    return value if _WORD.fullmatch(value) else notation.quote(value)
