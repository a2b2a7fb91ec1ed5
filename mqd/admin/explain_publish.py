"""Where a message would go, and what would become of it there.

Decides by the walk of `mqd.broker.routing`, made again step by step so that each can be told; a
test holds the two together. Nothing is published: exchanges are asked with `route`, which remembers
nothing, and a random one chooses, as it would.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from shlex import quote
from typing import Any, Final

from mqd.admin import explain_keys, explain_permission
from mqd.admin.explain_queue import is_full
from mqd.admin.explaining import Answer, Reason, at, many, near
from mqd.admin.json_text import parse_object
from mqd.amqp.fields import Field, FieldError, Table, encode_table
from mqd.amqp.properties import Properties, encode
from mqd.auth.permissions import DEFAULT_EXCHANGE
from mqd.broker.definitions import BindingDefinition
from mqd.broker.exchanges.base import Destination, Exchange, Offered
from mqd.broker.exchanges.delayed_message import DelayedMessageExchange, delay_ms
from mqd.broker.headers import listed_keys
from mqd.broker.message import content_of, names_of
from mqd.broker.queues.base import Queue
from mqd.broker.queues.rules import Overflow
from mqd.broker.vhost import VHost
from mqd.errors import ErrorCode, MqdError
from mqd.metadata.machine import State

NEAR_SHOWN_MAX: Final = 5
NEAR_LOOKED_AT_MAX: Final = 5000
SHOWN_MAX: Final = 10  # destinations of one exchange, and queues, that are told of one by one
_PLUGINS: Final = {
    "x-consistent-hash": "rabbitmq_consistent_hash_exchange",
    "x-delayed-message": "rabbitmq_delayed_message_exchange",
    "x-modulus-hash": "rabbitmq_sharding",
    "x-random": "rabbitmq_random_exchange",
    "x-recent-history": "rabbitmq_recent_history_exchange",
}


def table_of(json: str) -> Table:
    """Headers as a client would send them. Raises INVALID_ARGUMENT."""
    if not json:
        return {}
    try:
        given = parse_object(json, "headers")
        table = {name: _field(value) for name, value in given.items()}
        encode_table(table)
    except (MqdError, FieldError, struct.error, UnicodeError, RecursionError) as error:
        raise MqdError(
            ErrorCode.INVALID_ARGUMENT,
            f"headers have to be an object in JSON, like '{{\"type\": \"invoice\"}}', not '{json}'",
        ) from error
    return table


def _field(value: Any) -> Field:
    if value is None:
        return ("void", None)
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, int):
        return ("long", value)
    if isinstance(value, float):
        return ("double", value)
    if isinstance(value, str):
        return ("longstr", value.encode())
    if isinstance(value, list):
        return ("array", [_field(item) for item in value])
    return ("table", {name: _field(item) for name, item in value.items()})


@dataclass(slots=True)
class _Walk:
    """What has been found so far, in the order in which it was."""

    vhost: VHost
    keys: list[str]
    headers: Table
    message: Offered
    queues: dict[str, None] = field(default_factory=dict)
    reasons: list[Reason] = field(default_factory=list)
    refused: bool = False
    delayed: bool = False


def explain(
    vhost: VHost, state: State, exchange: str, routing_key: str, headers: Table, user: str = ""
) -> Answer:
    """user: whose permissions are looked at; empty for nobody's."""
    name = "" if exchange == DEFAULT_EXCHANGE else exchange
    keys = [routing_key, *listed_keys(headers.get("CC")), *listed_keys(headers.get("BCC"))]
    content = content_of(encode(Properties(headers=headers or None), 0), b"", 1, 4096)
    message = Offered(names_of(name, routing_key), content, headers=headers)
    walk = _Walk(vhost, keys, headers, message)
    answer = Answer("publish", name, vhost.name, "", "", walk.reasons)
    start = vhost.exchanges.get(name)
    said = f"a message to exchange '{name or '(default)'}' with routing key '{routing_key}'"
    if user and (reason := _refused(state, vhost, start, name, routing_key, user)):
        answer.outcome, answer.says = "refused", f"{said} is refused"
        walk.reasons.append(reason)
        return answer
    if start is None:
        answer.outcome = "refused"
        answer.says = f"{said} is refused: there is no such exchange"
        walk.reasons.append(
            Reason(
                "no_exchange",
                f"the channel is closed with 404 (NOT_FOUND){near(name, vhost.exchanges)}",
                f"mqctl list_exchanges {at(vhost.name)} name type",
            )
        )
        return answer
    if start.definition.internal:
        answer.outcome, answer.says = "refused", f"{said} is refused: the exchange is internal"
        walk.reasons.append(
            Reason("internal_exchange", "only exchanges that are bound to it may route to it")
        )
        return answer
    if not name:
        _by_name(walk)
    else:
        _follow(walk, start)
    answer.queues = list(walk.queues)
    _conclude(answer, walk, said)
    return answer


def _conclude(answer: Answer, walk: _Walk, said: str) -> None:
    if walk.refused:
        answer.outcome, answer.says = "refused", f"{said} is refused"
    elif walk.queues:
        shown = ", ".join(f"'{name}'" for name in answer.queues[:SHOWN_MAX])
        if len(answer.queues) > SHOWN_MAX:
            shown += " and others"
        answer.outcome = "routed"
        answer.says = f"{said} goes to {many(len(walk.queues), 'queue')}: {shown}"
        for name in answer.queues[:SHOWN_MAX]:
            walk.reasons += _kept(walk.vhost.queues[name])
    elif walk.delayed:
        answer.outcome, answer.says = "delayed", f"{said} waits first, and is routed then"
    else:
        answer.outcome = "unroutable"
        answer.says = f"{said} goes nowhere"
        walk.reasons.append(
            Reason(
                "unroutable",
                "it is dropped, and confirmed all the same; with the flag mandatory it comes back "
                "as basic.return 312 (NO_ROUTE)",
            )
        )
    if walk.vhost.broker.alarms and answer.outcome != "refused":
        names = " and ".join(sorted(walk.vhost.broker.alarms))
        walk.reasons.append(
            Reason(
                "alarm",
                f"an alarm is on ({names}): the publisher is held until it is over",
                "mq-diagnostics alarms",
            )
        )


def _refused(
    state: State, vhost: VHost, start: Exchange | None, name: str, key: str, user: str
) -> Reason | None:
    topic = start is not None and start.definition.type == "topic"
    found = explain_permission.explain(state, user, vhost.name, "write", name, key if topic else "")
    return found.reasons[0] if found.outcome == "refused" else None


def _by_name(walk: _Walk) -> None:
    """The default exchange: keys are names of queues."""
    for key in dict.fromkeys(walk.keys):
        if key in walk.vhost.queues:
            walk.queues[key] = None
            walk.reasons.append(Reason("default_exchange", f"the key is the name of queue '{key}'"))
        else:
            walk.reasons.append(
                Reason(
                    "no_queue",
                    f"no queue is called '{key}'{near(key, walk.vhost.queues)}",
                    f"mqctl list_queues {at(walk.vhost.name)} name",
                )
            )


def _follow(walk: _Walk, start: Exchange) -> None:
    """From exchange to exchange, each once."""
    seen = {start.name}
    waiting = [start]
    while waiting:
        exchange = waiting.pop()
        for kind, name in _step(walk, exchange):
            if kind == "queue":
                if name in walk.vhost.queues:
                    walk.queues[name] = None
            elif name not in seen:
                seen.add(name)
                following = walk.vhost.exchanges.get(name)
                if following is not None:
                    waiting.append(following)


def _step(walk: _Walk, exchange: Exchange) -> list[Destination]:
    """Where it goes from one exchange, and why."""
    what = f"exchange '{exchange.name}' ({exchange.definition.type})"
    if not exchange.is_there:
        kind = exchange.definition.type
        walk.refused = True
        plugin = _PLUGINS.get(kind)
        walk.reasons.append(
            Reason(
                "exchange_type_missing",
                f"{what} is of a type whose plugin is not enabled: the channel is closed with 406",
                f"mq-plugins enable {plugin}" if plugin else "mq-plugins list",
            )
        )
        return []
    if isinstance(exchange, DelayedMessageExchange):
        delay = delay_ms(walk.headers.get("x-delay"))
        if delay:
            walk.delayed = True
            walk.reasons.append(
                Reason("delayed", f"{what} keeps it for {delay} ms, then routes it as follows")
            )
    found = list(dict.fromkeys(d for key in walk.keys for d in exchange.route(key, walk.message)))
    for destination in found[:SHOWN_MAX]:
        walk.reasons.append(_matched(what, exchange.name, destination, walk))
    if len(found) > SHOWN_MAX:
        more = f"{what} leads to {len(found) - SHOWN_MAX} more"
        walk.reasons.append(Reason("more_bindings", more))
    if found:
        return found
    bindings = walk.vhost.bindings.of_source(exchange.name)
    walk.reasons.append(
        Reason(
            "no_binding_matches",
            f"{what} has {many(len(bindings), 'binding')}"
            + (", none of which matches" if bindings else ": nothing is bound to it"),
            f"mqctl list_bindings {at(walk.vhost.name)} source_name routing_key destination_name",
        )
    )
    walk.reasons += _nearly(walk, exchange, bindings)
    alternate = exchange.alternate_exchange
    if alternate is None:
        return []
    walk.reasons.append(_alternate(walk.vhost, exchange, alternate))
    return [("exchange", alternate)]


def _matched(what: str, source: str, destination: Destination, walk: _Walk) -> Reason:
    kind, name = destination
    leading = walk.vhost.bindings.of_destination(kind, name)
    keys = [binding.binding_key for binding in leading if binding.source == source]
    fits = [k for k in keys if any(explain_keys.topic_matches(k, key) for key in walk.keys)]
    key = (fits or keys or [""])[0]
    return Reason("binding", f"{what} leads to {kind} '{name}' by its binding '{key}'")


def _alternate(vhost: VHost, exchange: Exchange, alternate: str) -> Reason:
    by = "its argument"
    if "alternate-exchange" not in exchange.arguments and exchange.policy is not None:
        by = f"policy '{exchange.policy.name}'"
    if alternate in vhost.exchanges:
        return Reason(
            "alternate_exchange", f"so it goes to the alternate exchange '{alternate}' ({by})"
        )
    return Reason(
        "alternate_exchange_missing",
        f"the alternate exchange '{alternate}' ({by}) is not there"
        f"{near(alternate, vhost.exchanges)}",
        f"mqctl list_exchanges {at(vhost.name)} name type",
    )


def _nearly(walk: _Walk, exchange: Exchange, bindings: list[BindingDefinition]) -> Iterator[Reason]:
    kind = exchange.definition.type
    if isinstance(exchange, DelayedMessageExchange):
        inner = exchange.arguments.get("x-delayed-type", ("longstr", b""))
        kind = inner[1].decode("utf-8", "replace")
    told = 0
    for binding in bindings[:NEAR_LOOKED_AT_MAX]:
        shown = f"key '{binding.binding_key}'"
        if kind == "direct":
            why = explain_keys.of_direct(binding.binding_key, walk.keys[0])
        elif kind == "topic":
            why = explain_keys.of_topic(binding.binding_key, walk.keys[0])
        elif kind == "headers":
            why, shown = explain_keys.of_headers(binding.arguments, walk.headers), "arguments"
        else:
            return
        if why:
            told += 1
            yield Reason(
                "nearly",
                f"the binding to {binding.destination_kind} '{binding.destination}' with {shown} "
                f"nearly matches: {why}",
            )
        if told == NEAR_SHOWN_MAX:
            return


def _kept(queue: Queue) -> Iterator[Reason]:
    """What would become of it in a queue."""
    rules = queue.rules
    policy = queue.policy.name if queue.policy is not None else None
    source = f"policy '{policy}' or its arguments" if policy else "its arguments"
    name = f"queue '{queue.name}'"
    look = f"mqctl explain queue {at(queue.vhost.name)} {quote(queue.name)}"
    if is_full(queue) and rules.overflow is not Overflow.DROP_HEAD:
        yield Reason(
            "rejected",
            f"{name} is full and refuses it: its publisher gets basic.nack when it asked for "
            f"confirms, and hears nothing otherwise ({source})",
            look,
        )
    elif is_full(queue):
        gone = "it is dropped itself" if rules.max_length == 0 else "its oldest message goes for it"
        where = rules.dead_letter_exchange
        to = f", to the dead-letter exchange '{where}'" if where else ""
        yield Reason("drops_head", f"{name} is full: {gone}{to} ({source})", look)
    if rules.message_ttl_ms is not None:
        yield Reason("message_ttl", f"in {name} it expires after {rules.message_ttl_ms} ms")
