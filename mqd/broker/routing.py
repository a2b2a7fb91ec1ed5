"""From an exchange and routing keys to the queues a message goes to.

Decides the walk: from exchange to exchange along their bindings, each once, so that cycles end;
to the alternate exchange where an exchange finds nothing at all; a queue at most once. Never
looks inside an exchange type, and never at queues: a name it returns may be of none.

RabbitMQ: rabbit_exchange, route.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mqd.broker.exchanges.base import Destination, Exchange, Headers, no_headers


def route(
    exchanges: Mapping[str, Exchange],
    start: Exchange,
    routing_keys: Sequence[str],
    headers: Headers,
) -> list[str]:
    """Names of the queues, each once. routing_keys: the publish's own, then those of CC and BCC.

    The default exchange takes the keys for queue names: the caller looks which of them exist.
    """
    if not start.definition.name:
        return list(dict.fromkeys(routing_keys))
    return _walk(exchanges, start, routing_keys, headers)[0]


def route_by_key(
    exchanges: Mapping[str, Exchange], start: Exchange, routing_key: str
) -> list[str] | None:
    """As `route` for one key and a message without headers, when the key alone decides.

    None when an exchange on the way looks at headers: then the result must not be kept, and
    `route` has to be asked for every message.
    """
    if not start.definition.name:
        return [routing_key]
    names, cacheable = _walk(exchanges, start, (routing_key,), no_headers, by_key_alone=True)
    return names if cacheable else None


def cacheable(exchanges: Mapping[str, Exchange], start: Exchange, routing_key: str) -> bool:
    """Whether the way from here is decided by this routing key alone, until bindings change."""
    return route_by_key(exchanges, start, routing_key) is not None


def _walk(
    exchanges: Mapping[str, Exchange],
    start: Exchange,
    routing_keys: Sequence[str],
    headers: Headers,
    by_key_alone: bool = False,
) -> tuple[list[str], bool]:
    queues: dict[str, None] = {}
    seen = {start.definition.name}
    waiting = [start]
    while waiting:
        exchange = waiting.pop()
        if by_key_alone and exchange.needs_headers:
            return [], False
        for kind, name in _destinations(exchange, routing_keys, headers):
            if kind == "queue":
                queues[name] = None
            elif name not in seen:
                seen.add(name)
                found = exchanges.get(name)
                if found is not None:
                    waiting.append(found)
    return list(queues), True


def _destinations(
    exchange: Exchange, routing_keys: Sequence[str], headers: Headers
) -> Sequence[Destination]:
    if len(routing_keys) == 1 or exchange.needs_headers:
        found = list(exchange.route(routing_keys[0], headers))
    else:
        found = [hit for key in routing_keys for hit in exchange.route(key, headers)]
    if not found:
        alternate = exchange.alternate_exchange
        if alternate is not None:
            return (("exchange", alternate),)
    return found
