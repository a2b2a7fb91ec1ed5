"""Whether a second declare means the exchange or queue that is there.

Decides what counts as the same and says what differs first, in RabbitMQ's order and words (all
observed: 3.10.8). Arguments count only where the type knows them; widths of integers do not. Never
decides whether a first declare is allowed: `mqd.broker.queue_arguments` and
`mqd.broker.exchanges.registry` do.
"""

from __future__ import annotations

from mqd.amqp.fields import Field, Table
from mqd.amqp.replies import ChannelError, ReplyCode
from mqd.amqp.terms import format_atom, format_field
from mqd.broker.definitions import ExchangeDefinition, QueueDefinition
from mqd.broker.exchanges.base import ALTERNATE_EXCHANGE
from mqd.broker.queue_arguments import KNOWN, check_queue_arguments, queue_type
from mqd.names import Resource

__all__ = ["check_equivalent", "check_queue_arguments", "check_queue_equivalent"]

_CLASSIC: Field = ("longstr", b"classic")


def check_equivalent(existing: ExchangeDefinition, wanted: ExchangeDefinition) -> None:
    """Raises ChannelError (406) when the second declare of an exchange differs from the first.

    Of the arguments only alternate-exchange is compared.
    """
    resource = existing.resource
    _check_property(resource, "type", format_atom(existing.type), format_atom(wanted.type))
    _check_property(resource, "durable", existing.durable, wanted.durable)
    _check_property(resource, "auto_delete", existing.auto_delete, wanted.auto_delete)
    _check_property(resource, "internal", existing.internal, wanted.internal)
    _check_argument(resource, ALTERNATE_EXCHANGE, existing.arguments, wanted.arguments)


def check_queue_equivalent(
    existing: QueueDefinition,
    durable: bool,
    auto_delete: bool,
    exclusive: bool,
    arguments: Table,
) -> None:
    """Raises ChannelError (405, 406) when the second declare of a queue differs from the first.

    That the queue belongs to another connection is not known here, but that only one of the two
    is exclusive. An exclusive queue is never durable, so that one declared so is no different.
    """
    resource = existing.resource
    if exclusive != existing.exclusive:
        raise ChannelError(
            ReplyCode.RESOURCE_LOCKED,
            f"cannot obtain exclusive access to locked {resource}. It could be originally "
            "declared on another connection or the exclusive property value does not match that "
            "of the original declaration.",
        )
    if not exclusive:
        _check_property(resource, "durable", existing.durable, durable)
    _check_property(resource, "auto_delete", existing.auto_delete, auto_delete)
    if arguments or existing.arguments:
        for name in KNOWN[queue_type(existing.arguments)]:
            _check_argument(resource, name, existing.arguments, arguments)


def _check_property(resource: Resource, name: str, current: str | bool, wanted: str | bool) -> None:
    if current != wanted:
        raise _inequivalent(resource, name, f"'{_plain(wanted)}'", f"'{_plain(current)}'")


def _plain(value: str | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value


def _check_argument(resource: Resource, name: str, existing: Table, wanted: Table) -> None:
    current = existing.get(name)
    new = wanted.get(name)
    if current is None and new is None:
        return
    if current is None or new is None:
        if name == "x-queue-type" and _CLASSIC in (current, new):
            return  # a queue is classic unless it says otherwise
        raise _inequivalent(resource, name, _typed(new), _typed(current))
    if not _is_same(current, new):
        raise _inequivalent(resource, name, _untyped(new), _untyped(current))


def _is_same(current: Field, new: Field) -> bool:
    """Same value in whatever width; true is not 1, and 5.0 is not 5."""
    return type(current[1]) is type(new[1]) and bool(current[1] == new[1])


def _text(field: Field) -> str:
    if field[0] in ("longstr", "binary"):
        text: str = field[1].decode("utf-8", "surrogateescape")
        return text
    return format_field(field)


def _typed(field: Field | None) -> str:
    return "none" if field is None else f"the value '{_text(field)}' of type '{field[0]}'"


def _untyped(field: Field) -> str:
    return "none" if field[0] == "void" else f"'{_text(field)}'"


def _inequivalent(resource: Resource, name: str, received: str, current: str) -> ChannelError:
    return ChannelError(
        ReplyCode.PRECONDITION_FAILED,
        f"inequivalent arg '{name}' for {resource}: received {received} but current is {current}",
    )
