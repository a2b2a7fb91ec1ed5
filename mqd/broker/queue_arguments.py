"""Arguments of queues: what each one may be, and which queue type knows it.

Decides whether a queue may be declared with its arguments and properties, in RabbitMQ's order and
words (all observed: 3.10.8). Never gives an argument its meaning: queues do. Names that no queue
type knows are kept and mean nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mqd.amqp.fields import Field, Table
from mqd.amqp.replies import ChannelError, ReplyCode
from mqd.amqp.terms import format_string
from mqd.broker.definitions import QueueDefinition
from mqd.broker.headers import EXPIRY_MS_MAX
from mqd.policies import values

INTEGERS: Final = frozenset(
    ("signedint", "long", "byte", "short", "unsignedbyte", "unsignedshort", "unsignedint")
)
PRIORITY_MAX: Final = 255

# Each check gets the field and the whole table, and says what is wrong, or nothing.
Check = Callable[[Field, Table], str | None]


def _integer(field: Field) -> str | None:
    if field[0] in INTEGERS:
        return None
    return format_string(f"expected integer, got {field[0]}")


def _text(field: Field) -> str | None:
    return None if field[0] == "longstr" else f"{{unacceptable_type,{field[0]}}}"


def _not_negative(field: Field, arguments: Table) -> str | None:
    error = _integer(field)
    if error is None and field[1] < 0:
        return f"{{value_negative,{field[1]}}}"
    return error


def _positive(field: Field, arguments: Table) -> str | None:
    if field[0] in INTEGERS and field[1] == 0:
        return "{value_zero,0}"
    return _not_negative(field, arguments)


def _time(field: Field, arguments: Table) -> str | None:
    error = _not_negative(field, arguments)
    if error is None and field[1] > EXPIRY_MS_MAX:
        return f"{{value_too_large,{field[1]}}}"
    return error


def _expires(field: Field, arguments: Table) -> str | None:
    return _positive(field, arguments) or _time(field, arguments)


def _priority(field: Field, arguments: Table) -> str | None:
    error = _not_negative(field, arguments)
    if error is None and field[1] > PRIORITY_MAX:
        return f"{{max_value_exceeded,{field[1]}}}"
    return error


def _version(field: Field, arguments: Table) -> str | None:
    error = _not_negative(field, arguments)
    if error is None and field[1] not in values.QUEUE_VERSIONS:
        return format_string(f"unsupported queue version '{field[1]}'")
    return error


def _name(field: Field, arguments: Table) -> str | None:
    return _text(field)


def _dead_letter_routing_key(field: Field, arguments: Table) -> str | None:
    error = _text(field)
    if error is None and "x-dead-letter-exchange" not in arguments:
        return "routing_key_but_no_dlx_defined"
    return error


def _one_of(error: str, *words: str) -> Check:
    """error: may show the value as {}."""
    taken = [word.encode() for word in words]

    def check(field: Field, arguments: Table) -> str | None:
        wrong = _text(field)
        if wrong is None and field[1] not in taken:
            return error.format(field[1].decode("utf-8", "replace"))
        return wrong

    return check


def _bool(field: Field, arguments: Table) -> str | None:
    return None if field[0] == "bool" else f"{{unacceptable_type,{field[0]}}}"


def _max_age(field: Field, arguments: Table) -> str | None:
    error = _text(field)
    if error is None and values.age_s(field[1].decode("utf-8", "replace")) is None:
        return "invalid_max_age"  # 3.10.8 ends the connection where the number is missing
    return error


# In the order in which they are looked at, whatever the order of the client's table.
CHECKS: Final[dict[str, Check]] = {
    "x-expires": _expires,
    "x-message-ttl": _time,
    "x-dead-letter-exchange": _name,
    "x-dead-letter-routing-key": _dead_letter_routing_key,
    "x-dead-letter-strategy": _one_of("invalid_dlx_strategy", *values.DEAD_LETTER_STRATEGIES),
    "x-max-length": _not_negative,
    "x-max-length-bytes": _not_negative,
    "x-max-in-memory-length": _not_negative,
    "x-max-in-memory-bytes": _not_negative,
    "x-max-priority": _priority,
    "x-overflow": _one_of("invalid_overflow", *values.OVERFLOWS),
    "x-queue-mode": _one_of("\"unsupported queue mode '{}'\"", *values.QUEUE_MODES),
    "x-queue-version": _version,
    "x-single-active-consumer": _bool,
    "x-quorum-initial-group-size": _positive,
    "x-max-age": _max_age,
    "x-stream-max-segment-size-bytes": _not_negative,
    "x-initial-cluster-size": _positive,
    "x-queue-leader-locator": _one_of("invalid_queue_locator_arg", *values.LEADER_LOCATORS),
    # 3.10.8 ends the connection with 541 on a bad one; a word to the client is kinder
    "x-queue-master-locator": _one_of(
        "\"unsupported queue master locator '{}'\"", *values.MASTER_LOCATORS
    ),
}

_QUEUE_TYPE = _one_of("\"unsupported queue type '{}'\"", "classic", "quorum", "stream")

# What each type knows, in the order in which a second declare is compared with the first.
KNOWN: Final[dict[str, tuple[str, ...]]] = {
    "classic": (
        "x-expires",
        "x-message-ttl",
        "x-dead-letter-exchange",
        "x-dead-letter-routing-key",
        "x-max-length",
        "x-max-length-bytes",
        "x-max-priority",
        "x-overflow",
        "x-queue-mode",
        "x-queue-version",
        "x-single-active-consumer",
        "x-queue-type",
        "x-queue-master-locator",
    ),
    "quorum": (
        "x-dead-letter-exchange",
        "x-dead-letter-routing-key",
        "x-dead-letter-strategy",
        "x-expires",
        "x-max-length",
        "x-max-length-bytes",
        "x-max-in-memory-length",
        "x-max-in-memory-bytes",
        "x-overflow",
        "x-single-active-consumer",
        "x-queue-type",
        "x-quorum-initial-group-size",
        "x-delivery-limit",
        "x-message-ttl",
        "x-queue-leader-locator",
    ),
    "stream": (
        "x-max-length-bytes",
        "x-queue-type",
        "x-max-age",
        "x-stream-max-segment-size-bytes",
        "x-initial-cluster-size",
        "x-queue-leader-locator",
    ),
}
_KNOWN_TO_SOME: Final = frozenset(name for names in KNOWN.values() for name in names)


def queue_type(arguments: Table) -> str:
    """ "classic", "quorum" or "stream"; classic where nothing valid is said."""
    field = arguments.get("x-queue-type")
    if field is not None and field[0] == "longstr":
        name = field[1].decode("utf-8", "replace")
        if name in KNOWN:
            return str(name)
    return "classic"


def type_module(kind: str) -> str:
    """How error texts call a queue type."""
    return f"rabbit_{kind}_queue"


def check_server_named(arguments: Table) -> None:
    """Refuse to name a queue for a client when only the client can: quorum and stream.

    Raises ChannelError (406). Comes before permissions are looked at.
    """
    kind = queue_type(arguments)
    if kind != "classic":
        raise ChannelError(
            ReplyCode.PRECONDITION_FAILED,
            f"Cannot declare a server-named queue for type {type_module(kind)}",
        )


def check_queue_arguments(definition: QueueDefinition) -> None:
    """Refuse a new queue whose arguments or properties its type cannot have.

    Raises ChannelError (406).
    """
    arguments = definition.arguments
    if not arguments:
        return
    dead_letter = arguments.get("x-dead-letter-exchange")
    if dead_letter is not None and dead_letter[0] != "longstr":
        raise ChannelError(
            ReplyCode.PRECONDITION_FAILED,
            f"invalid type '{dead_letter[0]}' for arg 'x-dead-letter-exchange' "
            f"in {definition.resource}",
        )
    _check(definition, "x-queue-type", _QUEUE_TYPE)
    kind = queue_type(arguments)
    known = KNOWN[kind]
    for name, check in CHECKS.items():
        if name in arguments and name in known:
            _check(definition, name, check)
    for name in arguments:
        if name in _KNOWN_TO_SOME and name not in known:
            raise ChannelError(
                ReplyCode.PRECONDITION_FAILED,
                f"invalid arg '{name}' for {definition.resource} of queue type {type_module(kind)}",
            )
    if kind != "classic":
        _check_replicated(definition)


def _check(definition: QueueDefinition, name: str, check: Check) -> None:
    field = definition.arguments.get(name)
    if field is None:
        return
    error = check(field, definition.arguments)
    if error is not None:
        raise ChannelError(
            ReplyCode.PRECONDITION_FAILED,
            f"invalid arg '{name}' for {definition.resource}: {error}",
        )


def _check_replicated(definition: QueueDefinition) -> None:
    """What quorum queues and streams cannot be."""
    for wrong, name in (
        (definition.auto_delete, "auto-delete"),
        (definition.exclusive, "exclusive-owner"),
        (not definition.durable, "non-durable"),
    ):
        if wrong:
            raise ChannelError(
                ReplyCode.PRECONDITION_FAILED,
                f"invalid property '{name}' for {definition.resource}",
            )
    segment = definition.arguments.get("x-stream-max-segment-size-bytes")
    if segment is not None and segment[1] > values.SEGMENT_BYTES_MAX:
        raise ChannelError(
            ReplyCode.PRECONDITION_FAILED,
            "Exceeded max value for x-stream-max-segment-size-bytes",
        )
