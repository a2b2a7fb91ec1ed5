"""What a queue has to keep to: its arguments and its policy, taken together.

Decides how the two are combined, setting by setting (RabbitMQ: rabbit_queue_type_util,
args_policy_lookup; policies documentation): of two numbers the lesser counts, of anything else the
argument. Never checks a value: arguments were checked when the queue was declared, policies when
they were set; one that is of the wrong kind all the same means nothing.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mqd.amqp.fields import Table
from mqd.policies.values import age_s


class Overflow(enum.Enum):
    """What becomes of a message for which there is no room."""

    DROP_HEAD = "drop-head"  # the oldest goes (dead-lettered: maxlen), the new one stays
    REJECT_PUBLISH = "reject-publish"  # the new one goes, its publisher is told by basic.nack
    REJECT_PUBLISH_DLX = "reject-publish-dlx"  # the same, and it is dead-lettered


@dataclass(frozen=True, slots=True)
class QueueRules:
    """None: no such rule. Times in milliseconds, but max_age_s."""

    message_ttl_ms: int | None = None
    expires_ms: int | None = None
    max_length: int | None = None  # ready messages
    max_length_bytes: int | None = None  # their bodies; of a stream: its segments
    overflow: Overflow = Overflow.DROP_HEAD
    dead_letter_exchange: str | None = None
    dead_letter_routing_key: str | None = None
    dead_letter_at_least_once: bool = False
    delivery_limit: int | None = None
    max_age_s: int | None = None
    segment_bytes: int | None = None

    @property
    def is_bounded(self) -> bool:
        """Whether there is a length it must not exceed."""
        return self.max_length is not None or self.max_length_bytes is not None


NO_RULES: Final = QueueRules()


def rules_of(arguments: Table, policy: Mapping[str, object]) -> QueueRules:
    """policy: the effective definition of what applies to the queue, empty for none."""
    if not arguments and not policy:
        return NO_RULES
    overflow = _text(arguments, policy, "overflow")
    return QueueRules(
        message_ttl_ms=_number(arguments, policy, "message-ttl"),
        expires_ms=_number(arguments, policy, "expires"),
        max_length=_number(arguments, policy, "max-length"),
        max_length_bytes=_number(arguments, policy, "max-length-bytes"),
        overflow=Overflow(overflow) if overflow in _OVERFLOWS else Overflow.DROP_HEAD,
        dead_letter_exchange=_text(arguments, policy, "dead-letter-exchange"),
        dead_letter_routing_key=_text(arguments, policy, "dead-letter-routing-key"),
        dead_letter_at_least_once=(
            _text(arguments, policy, "dead-letter-strategy") == "at-least-once"
        ),
        delivery_limit=_number(arguments, policy, "delivery-limit"),
        max_age_s=_age(arguments, policy),
        segment_bytes=_number(arguments, policy, "stream-max-segment-size-bytes"),
    )


_OVERFLOWS = frozenset(each.value for each in Overflow)


def _number(arguments: Table, policy: Mapping[str, object], key: str) -> int | None:
    values = []
    field = arguments.get("x-" + key)
    if field is not None and type(field[1]) is int:
        values.append(field[1])
    value = policy.get(key)
    if type(value) is int:
        values.append(value)
    return min(values, default=None)


def _text(arguments: Table, policy: Mapping[str, object], key: str) -> str | None:
    field = arguments.get("x-" + key)
    if field is not None and field[0] == "longstr":
        text: str = field[1].decode("utf-8", "surrogateescape")
        return text
    value = policy.get(key)
    return value if isinstance(value, str) else None


def _age(arguments: Table, policy: Mapping[str, object]) -> int | None:
    given = [_text(arguments, {}, "max-age"), _text({}, policy, "max-age")]
    ages = [age for text in given if text is not None and (age := age_s(text)) is not None]
    return min(ages, default=None)
