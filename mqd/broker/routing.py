"""From an exchange and routing keys to the queues a message goes to.

Decides the walk: from exchange to exchange along their bindings, each once, so that cycles end;
to the alternate exchange where an exchange finds nothing at all; a queue at most once. Never
looks inside an exchange type, and never at queues: a name it returns may be of none.

An exchange may keep the message and route it later; it is found as a `Taker` among the names then.

RabbitMQ: rabbit_exchange, route.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mqd.broker.exchanges.base import Destination, Exchange, Offered, Taker

Found = str | Taker  # the name of a queue, or what takes the message in place of one
_ANY = Offered()


def route(
    exchanges: Mapping[str, Exchange],
    start: Exchange,
    routing_keys: Sequence[str],
    message: Offered,
) -> list[Found]:
    """Where it goes, each once. routing_keys: the publish's own, then those of CC and BCC.

    The default exchange takes the keys for queue names: the caller looks which of them exist.
    Raises ChannelError where an exchange is of a type that is not there.
    """
    if not start.definition.name:
        return list(dict.fromkeys(routing_keys))
    return _walk(exchanges, start, routing_keys, message)[0]


def route_by_key(
    exchanges: Mapping[str, Exchange], start: Exchange, routing_key: str
) -> list[Found] | None:
    """As `route` for one key and any message, when the key alone decides.

    None when an exchange on the way looks at the message: then the result must not be kept, and
    `route` has to be asked for every message.
    """
    if not start.definition.name:
        return [routing_key]
    found, cacheable = _walk(exchanges, start, (routing_key,), _ANY, by_key_alone=True)
    return found if cacheable else None


def cacheable(exchanges: Mapping[str, Exchange], start: Exchange, routing_key: str) -> bool:
    """Whether the way from here is decided by this routing key alone, until bindings change."""
    return route_by_key(exchanges, start, routing_key) is not None


def _walk(
    exchanges: Mapping[str, Exchange],
    start: Exchange,
    routing_keys: Sequence[str],
    message: Offered,
    by_key_alone: bool = False,
) -> tuple[list[Found], bool]:
    found: dict[Found, None] = {}
    seen = {start.definition.name}
    waiting = [start]
    while waiting:
        exchange = waiting.pop()
        if exchange.needs_headers:
            if by_key_alone:
                return [], False
            keeper = exchange.keeper(message)
            if keeper is not None:
                found[keeper] = None
                continue
        for kind, name in _destinations(exchange, routing_keys, message):
            if kind == "queue":
                found[name] = None
            elif name not in seen:
                seen.add(name)
                following = exchanges.get(name)
                if following is not None:
                    waiting.append(following)
    return list(found), True


def _destinations(
    exchange: Exchange, routing_keys: Sequence[str], message: Offered
) -> Sequence[Destination]:
    found = list(exchange.route_all(routing_keys, message))
    if not found:
        alternate = exchange.alternate_exchange
        if alternate is not None:
            return (("exchange", alternate),)
    return found
